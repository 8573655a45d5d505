#!/usr/bin/env bash
# Puts the prebuilt DuckDB library into <repo>/.cache/libduckdb (DUCKDB_LIB_DIR of .cargo/config.toml); the build copies it
# from there to beside the binaries, which open it when they first need DuckDB.
# Does nothing where it is there already, or where DUCKDB_LIB_DIR names another. Building DuckDB from source instead
# takes over half an hour on two cores (cargo feature `duckdb-bundled`).
#
# The library comes from npm's package of DuckDB's own Node bindings, kept under ${XDG_CACHE_HOME:-~/.cache}/xdb; without
# npm, from DuckDB's release on GitHub.
set -euo pipefail

VERSION=1.5.6
PACKAGE_VERSION=1.5.6-r.1

say() { printf 'libduckdb: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

if [ -n "${DUCKDB_LIB_DIR:-}" ]; then
  say "using DUCKDB_LIB_DIR=$DUCKDB_LIB_DIR"
  exit 0
fi

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
case "$(uname -s)" in
  Linux) os=linux file=libduckdb.so ;;
  Darwin) os=darwin file=libduckdb.dylib ;;
  *) die "no prebuilt library for $(uname -s): set DUCKDB_LIB_DIR, or build with --features duckdb-bundled" ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) die "no prebuilt library for $(uname -m): set DUCKDB_LIB_DIR, or build with --features duckdb-bundled" ;;
esac
# musl's loader can't load a library made for glibc.
if [ "$os" = linux ] && ldd --version 2>&1 | grep -qi musl; then arch=$arch-musl; fi
platform=$os-$arch

# What the registry's `dist.integrity` must be. A platform that is not listed has not been verified by hand: there npm
# checks the download against what the registry says, and nothing checks the registry.
case "$platform" in
  linux-x64) integrity=sha512-IXcrZJE6kEqM0Z4wwdVnGBHX/frOS33VPNAwDXQ/Q+Fs84b058Qe94chrCCIcNJlG8Y3UHIUU4eBeCQxW5mN1Q== ;;
  *) integrity= ;;
esac

out=$repo/.cache/libduckdb
stamp=$out/version
wanted="$PACKAGE_VERSION $platform"
if [ -f "$out/$file" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then exit 0; fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/xdb
mkdir -p "$cache" "$out"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

sha512_of() { # in hex
  if command -v sha512sum >/dev/null; then sha512sum "$1"; else shasum -a 512 "$1"; fi | cut -d ' ' -f 1
}
verified() {
  [ -n "$integrity" ] || return 0
  local want
  want=$(printf '%s' "${integrity#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  [ "$(sha512_of "$1")" = "$want" ]
}

install_library() { # moved in last, so that a killed run leaves no half a library
  cp "$1" "$out/.$file.new"
  chmod 755 "$out/.$file.new"
  mv -f "$out/.$file.new" "$out/$file"
  printf '%s\n' "$wanted" >"$stamp"
  say "DuckDB $VERSION ($platform) is in $out"
}

from_npm() {
  local archive=$cache/duckdb-node-bindings-$platform-$PACKAGE_VERSION.tgz
  if [ -f "$archive" ] && ! verified "$archive"; then
    say "the cached $archive is damaged; fetching it again"
    rm -f "$archive"
  fi
  if [ ! -f "$archive" ]; then
    command -v npm >/dev/null || return 1
    say "fetching @duckdb/node-bindings-$platform@$PACKAGE_VERSION from npm"
    (cd "$work" && npm pack --silent "@duckdb/node-bindings-$platform@$PACKAGE_VERSION" >/dev/null) || return 1
    local got
    got=$(find "$work" -maxdepth 1 -name '*.tgz' | head -n 1)
    [ -n "$got" ] || return 1
    verified "$got" || die "what npm sent for $platform does not have the pinned hash: not used"
    [ -n "$integrity" ] || say "note: the hash for $platform is not pinned; npm checked it against the registry's"
    mv -f "$got" "$archive"
  fi
  tar -xzf "$archive" -C "$work"
  local library
  library=$(find "$work/package" -name "$file" | head -n 1)
  [ -n "$library" ] || die "$archive holds no $file"
  install_library "$library"
}

from_github() { # Not verified: could not be tried where this was written. The zip's hash is not pinned.
  command -v curl >/dev/null || return 1
  local name
  case "$platform" in
    linux-x64) name=libduckdb-linux-amd64.zip ;;
    linux-arm64) name=libduckdb-linux-arm64.zip ;;
    darwin-*) name=libduckdb-osx-universal.zip ;;
    *) return 1 ;;
  esac
  say "fetching $name of DuckDB $VERSION from GitHub (its hash is not pinned)"
  curl -fsSL --retry 3 -o "$work/lib.zip" \
    "https://github.com/duckdb/duckdb/releases/download/v$VERSION/$name" || return 1
  if command -v unzip >/dev/null; then
    unzip -q -o "$work/lib.zip" "$file" -d "$work" || return 1
  else
    python3 -m zipfile -e "$work/lib.zip" "$work" || return 1
  fi
  install_library "$work/$file"
}

from_npm || from_github || die "could not be fetched from npm (is npm installed?) nor from GitHub.
Set DUCKDB_LIB_DIR to a folder with $file of DuckDB $VERSION, or build with --features duckdb-bundled."
