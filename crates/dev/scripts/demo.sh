#!/usr/bin/env bash
# Runs the main job on embedded databases, showing each command as a person would type it. What `make demo` calls.
set -euo pipefail
cd "$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
show() {
  printf '\n$ %s\n' "$*"
  cargo run --quiet --package xdb -- "${@:2}"
}
show xdb init --demo
show xdb run
show xdb show cross_db_analysis
