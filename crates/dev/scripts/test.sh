#!/usr/bin/env bash
# test.sh [NEXTEST ARGUMENTS...]: builds the tests, starts the servers they need, runs them all, stops the servers.
# What `make test` calls. Without arguments: the whole workspace.
#
# The runner is cargo-nextest: each test in a process of its own (so that memory can be measured, and one crash is one
# failure), one summary for all crates. Where it isn't installed, it is built once into ${XDG_CACHE_HOME:-~/.cache}/xdb.
set -euo pipefail

NEXTEST=0.9.151
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
cd "$repo"
scripts=crates/dev/scripts
tools=${XDG_CACHE_HOME:-$HOME/.cache}/xdb/tools

"$scripts/libduckdb.sh"
if command -v cargo-nextest >/dev/null; then
  nextest=cargo-nextest
else
  nextest=$tools/bin/cargo-nextest
  if ! "$nextest" nextest --version 2>/dev/null | grep -q "$NEXTEST"; then
    echo "test.sh: building cargo-nextest $NEXTEST, once, into $tools" >&2
    # A debug build: it takes a third of the time, and a test runner mostly waits.
    CARGO_TARGET_DIR="$tools/build" cargo install --quiet --locked --debug --root "$tools" --version "$NEXTEST" cargo-nextest
    rm -rf "$tools/build"
  fi
fi

# The examples in doc comments, which nextest doesn't run.
if [ $# -eq 0 ]; then cargo test --quiet --workspace --doc; fi
"$nextest" nextest run --no-run "${@:---workspace}"

XDB_TEST_SUMMARY='^ *Summary ' "$scripts/with-services.sh" "$nextest" nextest run "${@:---workspace}"
