#!/bin/sh
# stop.sh DIR: stops the server that start.sh started there.
set -eu
DIR=$1
[ -f "$DIR/pid" ] || exit 0
PID=$(cat "$DIR/pid")
kill "$PID" 2>/dev/null || exit 0
N=0
while kill -0 "$PID" 2>/dev/null; do
    N=$((N + 1))
    if [ "$N" -gt 200 ]; then
        kill -9 "$PID" 2>/dev/null || true
        break
    fi
    sleep 0.1
done
rm -f "$DIR/pid"
