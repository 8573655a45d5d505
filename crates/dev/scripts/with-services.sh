#!/usr/bin/env bash
# with-services.sh COMMAND...: runs COMMAND with every test server of tests/services/ that can be had here.
#
# Each server is installed if need be (install.sh), started by its start.sh on a free port with its data in a new temp
# folder (never one that was running already), named to COMMAND through XDB_TEST_SERVICES, and stopped at the end, also
# when COMMAND fails or on Ctrl-C. One line a connector says what it is tested against, or why not, before COMMAND's
# output and again after it.
#
#   XDB_TEST_SUMMARY=REGEX     after that, COMMAND's last line that matches is shown once more
#   XDB_TEST_REQUIRE=all       a server that can't be had is a failure
#   XDB_TEST_ONLY="postgres"   only these servers
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
[ $# -gt 0 ] || { echo "usage: with-services.sh COMMAND..." >&2; exit 2; }

# Unix sockets live in here, and their paths may have no more than about 100 bytes (macOS's TMPDIR alone has 50).
base=${TMPDIR:-/tmp}
[ ${#base} -le 40 ] || base=/tmp
run=$(mktemp -d "$base/xdb-test.XXXXXX")
chmod 755 "$run" # a server that refuses to be root runs as another user

started=()
stop_all() {
  trap '' INT TERM
  for name in ${started[@]+"${started[@]}"}; do
    "$repo/tests/services/$name/stop.sh" "$run/$name" >&2 || echo "with-services: could not stop $name" >&2
  done
  rm -rf "$run"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

free_port() { # below the range that kernels hand out for outgoing connections; start.sh is tried again if it was taken
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
field() { sed -n "s/^$2 *= *\"\(.*\)\" *$/\1/p" "$1" | head -n 1; } # of service.toml

lines=()
missing=0
covered=" "
note() { lines+=("$(printf '%-10s %s' "$1" "$2")"); }

for dir in "$repo"/tests/services/*/; do
  [ -f "$dir/service.toml" ] || continue
  name=$(basename "$dir")
  title=$(field "$dir/service.toml" title)
  connector=$(field "$dir/service.toml" connector)
  covered="$covered$connector "
  if [ -n "${XDB_TEST_ONLY:-}" ] && [[ " $XDB_TEST_ONLY " != *" $name "* ]]; then
    note "$connector" "SKIPPED against $title: not in XDB_TEST_ONLY"
    missing=1
    continue
  fi
  rc=0
  "$dir/install.sh" 2>"$run/$name.log" >&2 || rc=$?
  if [ $rc -ne 0 ]; then
    note "$connector" "SKIPPED against $title: $(tail -n 1 "$run/$name.log")"
    [ $rc -eq 77 ] || cat "$run/$name.log" >&2
    missing=1
    continue
  fi
  ok=no
  for attempt in 1 2 3; do
    rm -rf "${run:?}/$name"
    mkdir -m 755 "$run/$name"
    if "$dir/start.sh" "$run/$name" "$(free_port)" >"$run/$name.log" 2>&1; then ok=yes; break; fi
    "$dir/stop.sh" "$run/$name" >/dev/null 2>&1 || true
  done
  if [ $ok = yes ]; then
    started+=("$name")
    note "$connector" "tested against $(cat "$run/$name/version")"
  else
    echo "with-services: $name did not start (attempt $attempt):" >&2
    cat "$run/$name.log" >&2
    note "$connector" "SKIPPED against $title: the server did not start"
    missing=1
  fi
done
for dir in "$repo"/crates/connectors/*/; do
  connector=$(basename "$dir")
  [[ $covered == *" $connector "* ]] || note "$connector" "tested in temp folders (no server needed)"
done

printf '%s\n' "${lines[@]}"
if [ $missing -ne 0 ] && [ "${XDB_TEST_REQUIRE:-}" = all ]; then
  echo "with-services: XDB_TEST_REQUIRE=all, and a server is missing" >&2
  exit 1
fi

status=0
export XDB_TEST_SERVICES=$run
if [ -n "${XDB_TEST_SUMMARY:-}" ]; then
  "$@" 2>&1 | tee -i "$run/output.log" || status=$?
else
  "$@" || status=$?
fi

printf '%s\n' "${lines[@]}"
if [ -n "${XDB_TEST_SUMMARY:-}" ]; then grep -E "$XDB_TEST_SUMMARY" "$run/output.log" | tail -n 1; fi
exit $status
