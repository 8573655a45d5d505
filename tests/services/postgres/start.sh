#!/usr/bin/env bash
# start.sh DIR PORT: a private PostgreSQL on 127.0.0.1:PORT and on a Unix socket in DIR, its data under DIR.
#
# Over TCP it wants SCRAM passwords and offers TLS (a self-signed certificate, DIR/server.crt); over the socket it trusts.
# Roles: xdb (may create databases and schemas, not a superuser), xdb_reader (may only read), postgres (superuser, socket).
# Durability is off: the data is thrown away.
set -euo pipefail
dir=${1:?usage: start.sh DIR PORT} port=${2:?usage: start.sh DIR PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/find-bin.sh"
[ -n "$PGBIN" ] || { echo "no PostgreSQL server binaries: run install.sh" >&2; exit 1; }
mkdir -p "$dir" && rm -f "$dir/profile.yml"
dir=$(cd "$dir" && pwd)

# PostgreSQL refuses to run as root: become the user `postgres` (which must be able to reach DIR) for everything.
as=() owner=$(id -un)
if [ "$(id -u)" = 0 ]; then
  id postgres >/dev/null 2>&1 || { echo "running as root, but there is no user postgres to start the server as" >&2; exit 1; }
  as=(runuser -u postgres --) owner=postgres
  chown postgres "$dir"
  if ! (cd / && "${as[@]}" test -w "$dir"); then
    echo "the user postgres cannot reach $dir: choose a folder whose parents everyone may enter" >&2
    exit 1
  fi
fi
# A socket's path has room for about 100 bytes.
socket=$dir
if [ ${#socket} -gt 80 ]; then
  socket=$(mktemp -d /tmp/xdb-pg.XXXXXX)
  chown "$owner" "$socket"
fi
cd /

password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && printf '%s\n' "$password" >"$dir/pw")
chown "$owner" "$dir/pw"
if [ ! -d "$dir/data" ]; then
  "${as[@]}" "$PGBIN/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
    --auth-host=scram-sha-256 --auth-local=trust --pwfile="$dir/pw" >"$dir/initdb.log" 2>&1 ||
    "${as[@]}" "$PGBIN/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C --no-sync \
      --auth-host=scram-sha-256 --auth-local=trust --pwfile="$dir/pw" >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }
fi

ssl=off
if command -v openssl >/dev/null; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -addext 'basicConstraints=critical,CA:FALSE' \
    -keyout "$dir/server.key" -out "$dir/server.crt" 2>/dev/null && ssl=on
  chown "$owner" "$dir/server.key" "$dir/server.crt"
  chmod 600 "$dir/server.key"
fi

cat >>"$dir/data/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$socket'
ssl = $ssl
ssl_cert_file = '$dir/server.crt'
ssl_key_file = '$dir/server.key'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 100
shared_buffers = 128MB
max_wal_size = 2GB
logging_collector = off
EOF
"${as[@]}" "$PGBIN/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start >/dev/null ||
  { tail -20 "$dir/log" >&2; exit 1; }
head -1 "$dir/data/postmaster.pid" >"$dir/pid"

psql() { "${as[@]}" "$PGBIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$socket" -p "$port" -U postgres "$@"; }
psql -d postgres <<EOF >/dev/null
SET client_min_messages = warning;
DO \$\$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'xdb') THEN CREATE ROLE xdb LOGIN CREATEDB; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'xdb_reader') THEN CREATE ROLE xdb_reader LOGIN; END IF;
END \$\$;
ALTER ROLE xdb PASSWORD '$password';
ALTER ROLE xdb_reader PASSWORD '$password';
GRANT pg_read_all_data TO xdb_reader;
EOF
psql -d postgres -tAc "select 1 from pg_database where datname = 'xdb'" | grep -q 1 ||
  psql -d postgres -c 'create database xdb owner xdb'
psql -d xdb -c 'create extension if not exists citext' -c 'create extension if not exists hstore' >/dev/null 2>&1 || true
psql -d postgres -tAc "select 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)" >"$dir/version"

# Last, since its being there says that the server is ready.
cat >"$dir/profile.yml.new" <<EOF
adapter: postgres
host: 127.0.0.1
port: $port
user: xdb
password: "$password"
database: xdb
schema: public
EOF
printf '%s\n' "$socket" >"$dir/socket"
mv "$dir/profile.yml.new" "$dir/profile.yml"
