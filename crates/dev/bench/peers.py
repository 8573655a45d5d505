#!/usr/bin/env python3
"""peers.py TASK: run one peer once on the TPC-H data that run.py loaded; prints rows and seconds.

Connection strings come from BENCH_PG and BENCH_MY, the Arrow file from BENCH_ARROWS.
"""
import os, re, sys, sysconfig, time
from urllib.parse import urlparse

TASK, START = sys.argv[1], time.time()
PG = os.environ.get("BENCH_PG", "postgresql://bench:bench@127.0.0.1:5432/tpch")
MY = os.environ.get("BENCH_MY", "mysql://bench:bench@127.0.0.1:3306/tpch")
ARROWS = os.environ.get("BENCH_ARROWS", "lineitem.arrows")

# The join models, with DuckDB's three-part names.
from models import MODELS as JOINS  # noqa: E402
MODELS = {n: re.sub(r"\bpg\.(\w+)(?=\s+[a-z]\b)", r"pg.public.\1", re.sub(r"\bmy\.(\w+)(?=\s+[a-z]\b)", r"my.{m}.\1", q)) for n, q in JOINS.items()}


def done(rows):
    print(f"{rows} rows {time.time() - START:.3f} s in process")


def dsn(url, db_key):
    u = urlparse(url)
    plain = " sslmode=disable" if db_key == "dbname" else ""
    return f"host={u.hostname} port={u.port} user={u.username} password={u.password} {db_key}={u.path[1:]}{plain}"


def duck():
    """A DuckDB connection with both servers attached as pg and my."""
    import duckdb
    site = sysconfig.get_paths()["purelib"]
    con = duckdb.connect()
    for ext in ("postgres_scanner", "mysql_scanner"):
        con.execute(f"LOAD '{site}/duckdb_extension_{ext}/extensions/v{duckdb.__version__}/{ext}.duckdb_extension'")
    con.execute(f"ATTACH '{dsn(PG, 'dbname')}' AS pg (TYPE postgres)")
    con.execute(f"ATTACH '{dsn(MY, 'database')}' AS my (TYPE mysql)")
    con.execute("CREATE SCHEMA IF NOT EXISTS pg.bench_out")
    return con


def stream(reader):
    done(sum(b.num_rows for b in reader))


mydb = urlparse(MY).path[1:]
kind, *rest = TASK.split("-")
lineitem = {"pg": "pg.public.lineitem", "my": f"my.{mydb}.lineitem"}
if kind == "cx":
    import connectorx
    n = int(rest[1])
    split = dict(partition_on="l_orderkey", partition_num=n) if n > 1 else {}
    done(connectorx.read_sql(PG if rest[0] == "pg" else MY, "select * from lineitem", return_type="arrow", **split).num_rows)
elif TASK == "adbc-pg":
    import adbc_driver_postgresql.dbapi as adbc
    with adbc.connect(PG) as con, con.cursor() as cur:
        cur.execute("select * from lineitem")
        stream(cur.fetch_record_batch())
elif TASK in ("duck-pg", "duck-my"):
    stream(duck().execute(f"select * from {lineitem[rest[0]]}").to_arrow_reader(100_000))
elif kind == "duck" and rest[0] in MODELS:
    con, out = duck(), f"pg.bench_out.duck_{rest[0]}"
    con.execute(f"drop table if exists {out}")
    con.execute(f"create table {out} as {MODELS[rest[0]].format(m=mydb)}")
    done(con.execute(f"select count(*) from {out}").fetchone()[0])
elif TASK in ("duck-copy-pg-my", "duck-copy-my-pg"):
    con = duck()
    source, out = (lineitem["pg"], f"my.{mydb}.li_duck") if rest[1] == "pg" else (lineitem["my"], "pg.bench_out.li_duck")
    con.execute(f"drop table if exists {out}")
    con.execute(f"create table {out} as select * from {source}")
    done(con.execute(f"select count(*) from {out}").fetchone()[0])
elif TASK.startswith("duck-file-"):
    con, path = duck(), TASK.removeprefix("duck-file-")
    if path.endswith(".parquet"):
        con.execute(f"copy (select * from {lineitem['pg']}) to '{path}' (format parquet)")
    else:
        con.execute(f"attach '{path}' as out")
        con.execute(f"create or replace table out.li as select * from {lineitem['pg']}")
    done(con.execute(f"select count(*) from {'out.li' if path.endswith('.duckdb') else repr(path)}").fetchone()[0])
elif TASK == "duck-sql":
    import csv
    result = duck().execute(open(os.environ["BENCH_SQL"]).read())
    with open(os.environ["BENCH_CSV"], "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(c[0] for c in result.description)
        rows = result.fetchall()
        out.writerows(rows)
    done(len(rows))
elif TASK == "arrow":
    import pyarrow as pa
    reader = duck().execute(f"select * from {lineitem['pg']}").to_arrow_reader(100_000)
    with pa.OSFile(ARROWS, "wb") as f, pa.ipc.new_stream(f, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
elif TASK == "adbc-load-pg":
    import adbc_driver_postgresql.dbapi as adbc, pyarrow as pa
    with adbc.connect(PG) as con, con.cursor() as cur:
        for ddl in ("create schema if not exists bench_out", "drop table if exists bench_out.li_adbc"):
            cur.execute(ddl)
        done(cur.adbc_ingest("li_adbc", pa.ipc.open_stream(pa.memory_map(ARROWS)), mode="create", db_schema_name="bench_out"))
        con.commit()
elif TASK in ("duck-load-pg", "duck-load-my"):
    import pyarrow as pa
    con, out = duck(), "pg.bench_out.li_duck" if rest[1] == "pg" else f"my.{mydb}.li_duck"
    con.register("src", pa.ipc.open_stream(pa.memory_map(ARROWS)))
    con.execute(f"drop table if exists {out}")
    con.execute(f"create table {out} as select * from src")
    done(con.execute(f"select count(*) from {out}").fetchone()[0])
else:
    sys.exit(__doc__)
