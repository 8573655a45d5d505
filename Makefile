# `make demo` and `make test` are all a newcomer needs. Both get the prebuilt DuckDB library first.
SHELL := bash
CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help demo test check fmt bench docs clean libduckdb

help: ## what there is
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

libduckdb:
	@crates/dev/scripts/libduckdb.sh

demo: libduckdb ## build xdb and run the example project on embedded databases
	$(CARGO) build --package xdb
	@crates/dev/scripts/demo.sh

test: ## start the test servers, run every test, stop the servers
	@crates/dev/scripts/test.sh

check: libduckdb ## formatting, lints, layering, stale docs, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) dev check
	@if command -v cargo-deny >/dev/null; then cargo-deny --config .config/deny.toml check licenses bans sources; \
	 else echo "SKIPPED: cargo-deny is not installed (cargo install --locked cargo-deny@0.20.2): licences not checked"; fi

fmt: ## format the code
	$(CARGO) fmt --all

bench: libduckdb ## measure xdb beside its peers (docs/benchmarks.md)
	@crates/dev/bench/bench.sh

docs: libduckdb ## write the generated docs again
	$(CARGO) dev docs

clean: ## remove what building and running left here
	rm -rf target .cache logs
