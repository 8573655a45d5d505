#!/usr/bin/env bash
# install.sh: make sure that PostgreSQL's server binaries are here. Exit 77 (reason on stderr) where they can't be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/find-bin.sh"
if [ -z "$PGBIN" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # Debian's package would start a server of its own on 5432: tell it not to make one.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/xdb-test.conf
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends postgresql postgresql-client openssl >&2 ||
      { apt-get update -q >&2 && apt-get install -y -q --no-install-recommends postgresql postgresql-client openssl >&2; } ||
      { echo "apt-get could not install postgresql" >&2; exit 77; }
  elif command -v brew >/dev/null; then
    brew install --quiet postgresql@16 >&2 || { echo "brew could not install postgresql@16" >&2; exit 77; }
  else
    echo "no PostgreSQL server binaries (initdb, postgres), and neither apt-get as root nor brew to install them" >&2
    exit 77
  fi
  . "$here/find-bin.sh"
fi
[ -n "$PGBIN" ] || { echo "PostgreSQL was installed, but initdb is not where it was looked for" >&2; exit 77; }
