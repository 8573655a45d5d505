#!/usr/bin/env bash
# bench.sh: builds xdb in release, gets the peers and TPC-H data (once, into the cache), starts PostgreSQL and MariaDB with room
# to breathe, and measures. What `make bench` and `cargo dev bench` call. Settings: see run.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../../.." && pwd)
cd "$repo"
export XDB_BENCH_CACHE=${XDB_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xdb/bench}
crates/dev/scripts/libduckdb.sh
cargo build --release --package xdb
export XDB_BENCH_XDB=${XDB_BENCH_XDB:-${CARGO_TARGET_DIR:-$repo/target}/release/xdb}
"$here/setup.sh" "$XDB_BENCH_CACHE"
export XDB_TEST_ONLY="postgres mariadb" XDB_TEST_REQUIRE=
export XDB_TEST_MARIADB_BUFFER_POOL=${XDB_TEST_MARIADB_BUFFER_POOL:-2G} XDB_TEST_MARIADB_LOG_SIZE=${XDB_TEST_MARIADB_LOG_SIZE:-1G}
exec crates/dev/scripts/with-services.sh python3 "$here/run.py"
