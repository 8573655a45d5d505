#!/usr/bin/env bash
# Runs the main job on embedded databases, showing each command as a person would type it. What `make demo` calls.
set -euo pipefail
cd "$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
show() {
  printf '\n$ xdb'
  for word in "$@"; do
    case $word in *" "*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  printf '\n'
  cargo run --quiet --package xdb -- "$@"
}
show init --demo
show run
show query "select * from mart.main.cross_db_analysis order by revenue_eur desc, customer"
show show product_sales --limit 0
echo
echo "To check by eye: seeds/README.md. The project: project.example.yml, profiles.example.yml, models/."
