# Sourced by the scripts beside it: sets PGBIN to the folder of the newest PostgreSQL server binaries, or to nothing.
find_pgbin() {
  local candidate
  for candidate in ${XDB_TEST_PGBIN:+"$XDB_TEST_PGBIN"} \
    $(ls -d /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
      /usr/pgsql-*/bin 2>/dev/null | sort -rV) \
    $(pg_config --bindir 2>/dev/null); do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ]; then
      PGBIN=$candidate
      return
    fi
  done
  PGBIN=
}
find_pgbin
