#!/usr/bin/env bash
# setup.sh CACHE: the peers in a Python environment, and TPC-H data, both in CACHE. Safe to run twice.
set -euo pipefail
cache=${1:?usage: setup.sh CACHE}
scale=${XDB_BENCH_SCALE:-1}
mkdir -p "$cache"
venv="$cache/peers-1"
if [ ! -f "$venv/ready" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'tpchgen-cli==4.0.0' 'connectorx==0.4.6' 'duckdb==1.5.5' \
    'duckdb-extension-postgres-scanner==1.5.5' 'duckdb-extension-mysql-scanner==1.5.5' \
    'adbc-driver-postgresql==1.13.0' 'adbc-driver-manager==1.13.0' pyarrow pandas
  touch "$venv/ready"
fi
data="$cache/tpch-sf$scale"
if [ ! -f "$data/ready" ]; then
  mkdir -p "$data"
  "$venv/bin/tpchgen-cli" csv -s "$scale" --output-dir "$data"
  "$venv/bin/tpchgen-cli" parquet -s "$scale" --tables lineitem --output-dir "$data"
  touch "$data/ready"
fi
echo "$venv" >"$cache/venv.path"
echo "$data" >"$cache/data.path"
