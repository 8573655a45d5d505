#!/bin/sh
# start.sh DIR PORT: a private MariaDB with its data in DIR, on 127.0.0.1:PORT and DIR/s.sock.
# Writes DIR/profile.yml (the connection), DIR/pid, DIR/version, and DIR/ca.pem where openssl is there (TLS is on then).
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/usr/local/bin"
DIR=$1
PORT=$2
mkdir -p "$DIR"
DIR=$(cd "$DIR" && pwd)
SOCKET="$DIR/s.sock"
# A socket's path may have 107 bytes on Linux, 103 on macOS.
if [ "${#SOCKET}" -gt 100 ]; then
    echo "mariadb: $SOCKET is too long for a unix socket" >&2
    exit 1
fi
# The server refuses to be root unless told so; DIR may lie where no other user can look.
AS=""
if [ "$(id -u)" -eq 0 ]; then AS="--user=root"; fi

if [ ! -d "$DIR/data/mysql" ]; then
    mariadb-install-db --no-defaults $AS --datadir="$DIR/data" --auth-root-authentication-method=normal \
        --skip-test-db --innodb-log-file-size=64M >"$DIR/install.log" 2>&1 || {
        cat "$DIR/install.log" >&2
        exit 1
    }
fi

TLS=""
if command -v openssl >/dev/null 2>&1; then
    if [ ! -f "$DIR/server.pem" ]; then
        {
            openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=xdb test CA" \
                -addext "basicConstraints=critical,CA:TRUE" -keyout "$DIR/ca-key.pem" -out "$DIR/ca.pem"
            openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$DIR/server-key.pem" -out "$DIR/server.csr"
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$DIR/san.cnf"
            openssl x509 -req -in "$DIR/server.csr" -CA "$DIR/ca.pem" -CAkey "$DIR/ca-key.pem" -CAcreateserial -days 3650 \
                -extfile "$DIR/san.cnf" -out "$DIR/server.pem"
        } >"$DIR/openssl.log" 2>&1 || { cat "$DIR/openssl.log" >&2; exit 1; }
    fi
    TLS="--ssl-ca=$DIR/ca.pem --ssl-cert=$DIR/server.pem --ssl-key=$DIR/server-key.pem"
fi

# DIR holds no spaces (temp folders don't), so the unquoted variables split only where meant.
# shellcheck disable=SC2086
nohup mariadbd --no-defaults $AS --datadir="$DIR/data" --port="$PORT" --bind-address=127.0.0.1 --socket="$SOCKET" \
    --pid-file="$DIR/pid" --log-error="$DIR/server.log" --skip-log-bin --skip-name-resolve --local-infile=ON \
    --character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci --max-allowed-packet=64M --max-connections=200 \
    --innodb-buffer-pool-size="${XDB_TEST_MARIADB_BUFFER_POOL:-256M}" --innodb-log-file-size="${XDB_TEST_MARIADB_LOG_SIZE:-64M}" \
    --innodb-flush-log-at-trx-commit=2 --performance-schema=OFF $TLS </dev/null >"$DIR/server.out" 2>&1 &
CHILD=$!

root() { mariadb --no-defaults --socket="$SOCKET" -uroot "$@"; }
N=0
until root -e 'select 1' >/dev/null 2>&1; do
    N=$((N + 1))
    if [ "$N" -gt 300 ] || ! kill -0 "$CHILD" 2>/dev/null; then
        echo "mariadb: the server did not start" >&2
        tail -20 "$DIR/server.log" >&2 || true
        kill "$CHILD" 2>/dev/null || true
        exit 1
    fi
    sleep 0.1
done
echo "$CHILD" >"$DIR/pid"

# `xdb` owns everything; `xdb_reader` may only read, and has no RELOAD or LOCK TABLES: tests use both.
root <<SQL
CREATE DATABASE IF NOT EXISTS xdb_test CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'xdb'@'%' IDENTIFIED BY 'xdb-Pa55';
GRANT ALL PRIVILEGES ON *.* TO 'xdb'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS 'xdb_reader'@'%' IDENTIFIED BY 'reader-Pa55';
GRANT SELECT ON *.* TO 'xdb_reader'@'%';
SQL

echo "MariaDB $(root -N -e 'select version()' | sed 's/-.*//')" >"$DIR/version"
cat >"$DIR/profile.yml" <<YML
adapter: mysql
host: 127.0.0.1
port: $PORT
user: xdb
password: xdb-Pa55
database: xdb_test
ssl_mode: disabled
YML
