#!/usr/bin/env bash
# stop.sh DIR: stop the server that start.sh DIR started. Not running is fine.
set -euo pipefail
dir=${1:?usage: stop.sh DIR}
[ -s "$dir/pid" ] || exit 0
rm -f "$dir/profile.yml"
pid=$(cat "$dir/pid")
# "fast shutdown": disconnects clients and stops cleanly.
kill -INT "$pid" 2>/dev/null || { rm -f "$dir/pid"; exit 0; }
for _ in $(seq 100); do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$pid" 2>/dev/null && kill -QUIT "$pid" 2>/dev/null
socket=$(cat "$dir/socket" 2>/dev/null || true)
case $socket in /tmp/xdb-pg.*) rm -rf "$socket" ;; esac
rm -f "$dir/pid"
exit 0
