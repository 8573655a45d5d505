#!/bin/sh
# Installs the MariaDB server if it isn't there. Exit 77: it can't be had here (the reason is on stderr).
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/usr/local/bin"

have() {
    command -v mariadbd >/dev/null 2>&1 && command -v mariadb-install-db >/dev/null 2>&1 && command -v mariadb >/dev/null 2>&1
}

have && exit 0
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" -eq 0 ]; then
        SUDO=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        SUDO="sudo"
    else
        echo "mariadb: not installed, and installing it needs root (apt-get install mariadb-server)" >&2
        exit 77
    fi
    # A server that the package starts by itself would be someone else's server on port 3306: forbid it while installing.
    POLICY=/usr/sbin/policy-rc.d
    MADE=no
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' | $SUDO tee "$POLICY" >/dev/null
        $SUDO chmod +x "$POLICY"
        MADE=yes
    fi
    cleanup() { if [ "$MADE" = yes ]; then $SUDO rm -f "$POLICY"; fi; }
    trap cleanup EXIT
    try() { $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mariadb-server mariadb-client >&2; }
    try || { $SUDO apt-get update >&2 && try; } || {
        echo "mariadb: apt-get could not install mariadb-server" >&2
        exit 77
    }
elif command -v brew >/dev/null 2>&1; then
    brew install mariadb >&2 || {
        echo "mariadb: brew could not install mariadb" >&2
        exit 77
    }
else
    echo "mariadb: not installed, and neither apt-get nor brew is here" >&2
    exit 77
fi
have || {
    echo "mariadb: installed, but mariadbd, mariadb-install-db or mariadb is not on the PATH" >&2
    exit 77
}
