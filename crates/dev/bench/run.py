#!/usr/bin/env python3
"""run.py: measures xdb beside its peers on TPC-H data in PostgreSQL and MariaDB; writes docs/benchmarks.md.

Called by `make bench` inside with-services.sh, which has started both servers (XDB_TEST_SERVICES) with empty data.
Environment: XDB_BENCH_CACHE (the folder setup.sh filled), XDB_BENCH_XDB (the release binary), XDB_BENCH_RUNS (3), XDB_BENCH_WARMUP (1),
XDB_BENCH_ONLY (a regular expression on group names), XDB_BENCH_TPCH_RUNS (as XDB_BENCH_RUNS), XDB_BENCH_SCALE (1), XDB_BENCH_SLOW (30).
Each figure is of whole processes: wall time, CPU of the client's process tree, peak memory of its largest process. In
a group the contenders take turns, so that a machine that slows down slows them all. A contender whose first run takes more
than XDB_BENCH_SLOW seconds is run that once, and the table says so.
"""
import math, os, platform, re, shlex, statistics, subprocess, sys, time
from datetime import date
from pathlib import Path

import tpch

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[2]
CACHE = Path(os.environ["XDB_BENCH_CACHE"])
XDB = os.environ["XDB_BENCH_XDB"]
RUNS = int(os.environ.get("XDB_BENCH_RUNS", "3"))
WARMUP = int(os.environ.get("XDB_BENCH_WARMUP", "1"))
SCALE = os.environ.get("XDB_BENCH_SCALE", "1")
TPCH_RUNS = int(os.environ.get("XDB_BENCH_TPCH_RUNS", RUNS))
SLOW = float(os.environ.get("XDB_BENCH_SLOW", "30"))
ONLY = re.compile(os.environ.get("XDB_BENCH_ONLY", "."))
VENV = Path((CACHE / "venv.path").read_text().strip())
DATA = Path((CACHE / "data.path").read_text().strip())
SERVICES = Path(os.environ["XDB_TEST_SERVICES"])
PROJECT = SERVICES / "bench-project"
TABLES = "region nation part supplier partsupp customer orders lineitem".split()


def profile(name):
    lines = (SERVICES / name / "profile.yml").read_text().splitlines()
    return {k.strip(): v.strip().strip('"') for k, v in (line.split(":", 1) for line in lines if ":" in line)}


PG, MY = profile("postgres"), profile("mariadb")
ENV = dict(
    os.environ,
    PGHOST=PG["host"], PGPORT=PG["port"], PGUSER=PG["user"], PGPASSWORD=PG["password"], PGDATABASE=PG["database"],
    PGSSLMODE="disable", MYSQL_PWD=MY["password"],
    BENCH_PG="postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=disable".format(**PG),
    BENCH_MY="mysql://{user}:{password}@{host}:{port}/{database}".format(**MY),
    BENCH_ARROWS=str(CACHE / "lineitem.arrows"), BENCH_PARQUET=str(DATA / "lineitem.parquet"),
)
MYSQL = f"mariadb --no-defaults -h {MY['host']} -P {MY['port']} -u {MY['user']} {MY['database']}"


def sh(command, **kw):
    return subprocess.run(["bash", "-c", "set -eo pipefail; " + command], check=True, env=ENV, **kw)


def psql(sql):
    sh(f"psql -X -q -v ON_ERROR_STOP=1 -c {shlex.quote(sql)} >/dev/null")


def mysql(sql):
    sh(f"{MYSQL} -e {shlex.quote(sql)}")


def log(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def load():
    """The eight tables into both servers, with primary keys and statistics."""
    ddl = (HERE / "tpch.sql").read_text()
    log("loading PostgreSQL")
    sh("psql -X -q -v ON_ERROR_STOP=1", input=ddl.encode())
    for t in TABLES:
        sh(f"psql -X -q -c \"\\copy {t} from '{DATA}/{t}.csv' csv header\"")
    psql("analyze")
    log("loading MariaDB")
    sh(MYSQL, input=ddl.encode())
    for t in TABLES:
        sh(f"""{MYSQL} --local-infile=1 -e "load data local infile '{DATA}/{t}.csv' into table {t}
               fields terminated by ',' optionally enclosed by '\\"' lines terminated by '\\n' ignore 1 lines" """)
    mysql("analyze table " + ", ".join(TABLES))


def project():
    """A bench project: the three join models and the copies."""
    m = PROJECT / "models"
    m.mkdir(parents=True, exist_ok=True)
    (PROJECT / "xdb_project.yml").write_text("name: bench\nversion: '1'\ntarget: pg\n")
    (PROJECT / "profiles.yml").write_text(f"""
pg: {{adapter: postgres, host: {PG['host']}, port: {PG['port']}, user: {PG['user']}, password: "{PG['password']}", database: {PG['database']}, schema: public, sslmode: disable}}
my: {{adapter: mysql, host: {MY['host']}, port: {MY['port']}, user: {MY['user']}, password: "{MY['password']}", database: {MY['database']}, ssl_mode: disabled}}
lake: {{adapter: files, path: {DATA}}}
out: {{adapter: files, path: {PROJECT}/out}}
duck: {{adapter: duckdb, path: {PROJECT}/out.duckdb}}
lite: {{adapter: sqlite, path: {PROJECT}/out.sqlite}}
""")
    sources = "sources:\n"
    for conn in ("pg", "my"):
        sources += f"  - name: {conn}\n    profile: {conn}\n    tables: [{', '.join(f'{{name: {t}}}' for t in TABLES)}]\n"
    sources += "  - name: lake\n    profile: lake\n    tables: [{name: lineitem, identifier: lineitem.parquet}]\n"
    for name, conn, tables in (("sales", "pg", TABLES[5:]), ("supply", "my", TABLES[:5])):
        tables = ", ".join(f"{{name: {t}}}" for t in tables)
        sources += f"  - name: {name}\n    profile: {conn}\n    tables: [{tables}]\n"
    (m / "sources.yml").write_text(sources)
    for folder in ("tpch", "out"):
        (PROJECT / folder).mkdir(exist_ok=True)
    for q in tpch.QUERIES:
        (m / f"{q}.sql").write_text(tpch.text(q, SCALE))
        (PROJECT / "tpch" / f"{q}.sql").write_text(tpch.for_duckdb(q, SCALE, MY["database"]))
    table = "{{{{ config(materialized='table', compute='{e}', target='{t}'{x}) }}}}\n{sql}\n"
    peers = {}
    exec((HERE / "models.py").read_text(), peers)
    for engine in ("datafusion", "duckdb"):
        for name, sql in peers["MODELS"].items():
            pg, my = (lambda t: "{{ source('pg', '%s') }}" % t), (lambda t: "{{ source('my', '%s') }}" % t)
            text = re.sub(r"pg\.(\w+)\b(?=\s+[a-z]\b)", lambda x: pg(x[1]), sql)
            text = re.sub(r"my\.(\w+)\b(?=\s+[a-z]\b)", lambda x: my(x[1]), text)
            short = {"datafusion": "df", "duckdb": "dd"}[engine]
            (m / f"{name}_{short}.sql").write_text(table.format(e=engine, t="pg", x=", schema='bench_out'", sql=text))
    copy = "select * from {{{{ source('{s}', 'lineitem') }}}}"
    for name, s, t, x in (("c_pg_my", "pg", "my", ""), ("c_my_pg", "my", "pg", ", schema='bench_out'"),
                          ("l_pg", "lake", "pg", ", schema='bench_out'"), ("l_my", "lake", "my", "")):
        (m / f"{name}.sql").write_text(table.format(e="datafusion", t=t, x=x, sql=copy.format(s=s)))


    for t in ("duck", "lite"):
        (m / f"c_pg_{t}.sql").write_text(table.format(e="datafusion", t=t, x="", sql=copy.format(s="pg")))
    (m / "c_pg_parquet.sql").write_text("{{ config(materialized='file', format='parquet', target='out', compute='datafusion') }}\n"
                                        + copy.format(s="pg"))


def xdb_run(model, extra=""):
    return f"{XDB} run --project-dir {PROJECT} --profiles-dir {PROJECT} -s {model} {extra}"


def xdb_read(conn, threads):
    # One thread plans one split, and so one connection.
    return (f"{XDB} show --threads {threads} --project-dir {PROJECT} --profiles-dir {PROJECT} --compute datafusion --output arrow "
            f"--limit 0 --inline \"select * from {{{{ source('{conn}', 'lineitem') }}}}\"")


def peer(task):
    return f"{VENV}/bin/python {HERE}/peers.py {task}"


def tpch_section():
    """The 22 queries, answers compared; (Markdown lines, whether something of xdb failed)."""
    runs_text = "one run" if TPCH_RUNS == 1 else f"medians of {TPCH_RUNS} runs"
    out, bad = ["## TPC-H, 22 queries across PostgreSQL and MariaDB", "",
                f"lineitem, orders, customer in PostgreSQL, the others in MariaDB. Seconds of whole processes, {runs_text} each; in brackets",
                "the ratio to DuckDB's ATTACH of both. `=`: the answer is DuckDB's.", "",
                "| | DuckDB ATTACH | xdb (datafusion) | | xdb (duckdb) | | peak MB |", "|---|---|---|---|---|---|---|"], False
    names = {"DuckDB": "duck", "xdb (datafusion)": "datafusion", "xdb (duckdb)": "duckdb"}
    ratios = {c: [] for c in names}
    for q in tpch.QUERIES:
        csv_of = {c: PROJECT / "tpch" / f"{q}.{n}.csv" for c, n in names.items()}
        contenders = {"DuckDB": (f"env BENCH_SQL={PROJECT}/tpch/{q}.sql BENCH_CSV={csv_of['DuckDB']} {peer('duck-sql')}", None)}
        for c in ("xdb (datafusion)", "xdb (duckdb)"):
            contenders[c] = (f"{XDB} show --project-dir {PROJECT} --profiles-dir {PROJECT} --compute {names[c]} --output csv --limit 0 {q}"
                             f" > {csv_of[c]}", None)
        taken, failed = run_group(f"TPC-H {q}", contenders, TPCH_RUNS)
        median = {c: statistics.median(f[0] for f in runs) for c, runs in taken.items() if runs and c not in failed}
        cells = [q.upper(), f"{median['DuckDB']:.3g}" if "DuckDB" in median else "failed"]
        for c in ("xdb (datafusion)", "xdb (duckdb)"):
            if c not in median:
                cells += ["failed", failed.get(c, "?").splitlines()[-1][:60]]
                bad = True
                continue
            difference = tpch.same(csv_of[c], csv_of["DuckDB"]) if "DuckDB" in median else "not compared"
            if difference:
                bad = True
                log(f"TPC-H {q}: {c}: {difference}")
            ratio = median[c] / median["DuckDB"] if "DuckDB" in median else math.nan
            ratios[c].append(ratio)
            cells += [f"{median[c]:.3g} ({ratio:.2f}x)", "differs" if difference else "="]
        cells.append(" / ".join(f"{statistics.median(f[2] for f in taken[c]):.0f}" if c in median else "-" for c in names))
        out.append("| " + " | ".join(cells) + " |")
    for c in list(names)[1:]:
        if ratios[c]:
            mean = math.exp(sum(map(math.log, ratios[c])) / len(ratios[c]))
            out += ["", f"{c}: geometric mean {mean:.2f}x of DuckDB's time over {len(ratios[c])} queries, the slowest {max(ratios[c]):.2f}x."]
    return out + [""], bad


def groups():
    """Group -> (reference, {contender: (command, set-up before each run)})."""
    bench = "drop table if exists bench_out."
    load_data = (f"""{MYSQL} --local-infile=1 -e "load data local infile '{DATA}/lineitem.csv' into table li_ref
                  fields terminated by ',' optionally enclosed by '\\"' lines terminated by '\\n' ignore 1 lines" """)
    new_ref = "drop table if exists li_ref; create table li_ref like lineitem; alter table li_ref drop primary key"
    g = {}
    g["read PostgreSQL lineitem, 1 connection"] = ("psql COPY binary, thrown away", {
        "psql COPY binary, thrown away": ('psql -X -c "copy lineitem to stdout (format binary)"', None),
        "xdb": (xdb_read("pg", 1), None),
        "ConnectorX": (peer("cx-pg-1"), None),
        "ADBC": (peer("adbc-pg"), None),
    })
    g["read PostgreSQL lineitem, 2 connections"] = ("psql COPY binary, thrown away", {
        "psql COPY binary, thrown away": ('psql -X -c "copy lineitem to stdout (format binary)"', None),
        "xdb": (xdb_read("pg", 2), None),
        "ConnectorX": (peer("cx-pg-2"), None),
        "DuckDB": (peer("duck-pg"), None),
    })
    g["read MariaDB lineitem, 1 connection"] = ("ConnectorX", {
        "mariadb --quick, thrown away": (f"{MYSQL} --quick -e 'select * from lineitem'", None),
        "xdb": (xdb_read("my", 1), None),
        "ConnectorX": (peer("cx-my-1"), None),
        "DuckDB": (peer("duck-my"), None),
    })
    g["read MariaDB lineitem, 2 connections"] = ("ConnectorX", {
        "xdb": (xdb_read("my", 2), None),
        "ConnectorX": (peer("cx-my-2"), None),
    })
    g["load 6M rows into PostgreSQL"] = ("ADBC, from Arrow", {
        "xdb, from Parquet": (xdb_run("l_pg"), None),
        "ADBC, from Arrow": (peer("adbc-load-pg"), None),
        "DuckDB, from Arrow": (peer("duck-load-pg"), None),
    })
    g["load 6M rows into MariaDB"] = ("LOAD DATA LOCAL, from CSV", {
        "xdb, from Parquet": (xdb_run("l_my"), None),
        "LOAD DATA LOCAL, from CSV": (load_data, lambda: mysql(new_ref)),
    })
    g["model c: copy lineitem PostgreSQL -> MariaDB"] = ("DuckDB", {
        "xdb": (xdb_run("c_pg_my"), None),
        "DuckDB": (peer("duck-copy-pg-my"), None),
    })
    g["model c: copy lineitem MariaDB -> PostgreSQL"] = ("DuckDB", {
        "xdb": (xdb_run("c_my_pg"), None),
        "DuckDB": (peer("duck-copy-my-pg"), None),
    })
    g["copy lineitem PostgreSQL -> DuckDB"] = ("DuckDB", {
        "xdb": (xdb_run("c_pg_duck"), None),
        "DuckDB": (peer(f"duck-file-{PROJECT}/peer.duckdb"), None),
    })
    g["copy lineitem PostgreSQL -> Parquet"] = ("DuckDB", {
        "xdb": (xdb_run("c_pg_parquet"), None),
        "DuckDB": (peer(f"duck-file-{PROJECT}/peer.parquet"), None),
    })
    g["copy lineitem PostgreSQL -> SQLite"] = ("xdb", {"xdb": (xdb_run("c_pg_lite"), None)})
    for name, what in (("a", "orders of each customer"), ("b", "TPC-H Q5"), ("d", "a selective join")):
        g[f"model {name}: {what}"] = ("DuckDB", {
            "xdb (datafusion)": (xdb_run(f"{name}_df"), None),
            "xdb (duckdb)": (xdb_run(f"{name}_dd"), None),
            "DuckDB": (peer(f"duck-{name}"), lambda name=name: psql(f"{bench}duck_{name}")),
        })
    g["xdb --version"] = ("xdb --version", {"xdb --version": ([XDB, "--version"], None)})
    return g


def measure(command):
    """(wall s, CPU s, peak MB) of one run; its output is thrown away, its errors are not. A list is run without a shell."""
    arguments = command if isinstance(command, list) else ["bash", "-c", "exec " + command]
    start = time.perf_counter()
    with open(SERVICES / "bench.err", "wb") as err:
        p = subprocess.Popen(arguments, env=ENV, stdout=subprocess.DEVNULL, stderr=err,
                             cwd=SERVICES)
        _, status, usage = os.wait4(p.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"{command}\n" + (SERVICES / "bench.err").read_text()[-2000:])
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def run_group(name, contenders, runs=RUNS):
    taken = {c: [] for c in contenders}
    failed = {}
    for i in range(WARMUP + runs):  # the first round warms caches and isn't counted
        for c, (command, before) in contenders.items():
            if c in failed or (taken[c] and taken[c][0][0] > SLOW):
                continue
            try:
                if before:
                    before()
                figures = measure(command)
            except (RuntimeError, subprocess.CalledProcessError) as e:
                failed[c] = str(e)
                log(f"{name}: {c} FAILED: {e}")
                continue
            if i >= WARMUP or figures[0] > SLOW:
                taken[c].append(figures)
                log(f"{name}: {c}: {figures[0]:.2f} s, CPU {figures[1]:.2f} s, {figures[2]:.0f} MB")
    return taken, failed


def main():
    load()
    project()
    psql("create schema if not exists bench_out")
    sh(peer("arrow") + " >/dev/null")
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    out = [
        "# Benchmarks", "",
        "Written by `make bench`; don't edit. xdb (release build) beside its peers in one run, taking turns; every figure is the",
        f"median of {RUNS} runs of whole processes after {WARMUP} to warm up (in brackets: minimum–maximum; what takes over {SLOW:.0f} s is run once).",
        "CPU is the client's, memory its peak.",
        "Peers: ConnectorX 0.4.6, DuckDB 1.5.5 with its postgres and mysql extensions, ADBC PostgreSQL 1.13.0, the servers' own clients.", "",
        f"{date.today()}, TPC-H scale factor {SCALE}, {(SERVICES/'postgres'/'version').read_text().strip()},"
        f" {(SERVICES/'mariadb'/'version').read_text().strip()} (buffer pool {os.environ.get('XDB_TEST_MARIADB_BUFFER_POOL', '256M')}),"
        f" {os.cpu_count()} processors ({cpu}), {platform.system()} {platform.release()}, loopback without TLS, fsync off.", "",
    ]
    bad = False
    for name, (reference, contenders) in groups().items():
        if not ONLY.search(name):
            continue
        taken, failed = run_group(name, contenders)
        base = statistics.median(f[0] for f in taken[reference]) if taken.get(reference) else None
        out += [f"## {name}", "", f"| | wall s | ratio to {reference} | CPU s | peak MB |", "|---|---|---|---|---|"]
        for c, runs in taken.items():
            if c in failed or not runs:
                bad |= c.startswith("xdb")
                out.append(f"| {c} | failed: {failed.get(c, '?').splitlines()[-1][:120]} | | | |")
                continue
            wall = statistics.median(f[0] for f in runs)
            spread = f"{min(f[0] for f in runs):.3g}–{max(f[0] for f in runs):.3g}" if len(runs) > 1 else "one run"
            ratio = f"{wall / base:.2f}x" if base else ""
            out.append(f"| {c} | {wall:.3g} ({spread}) | {ratio} | {statistics.median(f[1] for f in runs):.2f} "
                       f"| {statistics.median(f[2] for f in runs):.0f} |")
        out.append("")
    if ONLY.search("TPC-H"):
        lines, wrong = tpch_section()
        out += lines
        bad |= wrong
    notes = HERE / "notes.md"
    if notes.exists():
        out += [notes.read_text().strip(), ""]
    target = REPO / "docs/benchmarks.md" if ONLY.pattern == "." and SCALE == "1" else SERVICES.parent / "xdb-bench-partial.md"
    target.write_text("\n".join(out))
    log(f"wrote {target}")
    print("\n".join(out))
    sys.exit(bad)


main()
