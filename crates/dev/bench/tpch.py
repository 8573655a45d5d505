"""The 22 TPC-H queries over two databases: texts for xdb and for DuckDB's ATTACH, and whether two answers are one.

The texts are tests/tpch/qNN.sql, written for scale factor 0.01. `sales` (lineitem, orders, customer) is PostgreSQL, `supply`
(part, partsupp, supplier, nation, region) is MariaDB.
"""
import csv, math, re
from decimal import Decimal, InvalidOperation
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "tests/tpch"
QUERIES = [f"q{n:02}" for n in range(1, 23)]
SOURCE = re.compile(r"\{\{\s*source\('(\w+)',\s*'(\w+)'\)\s*\}\}")


def text(query, scale):
    """The query's Jinja text. Q11's fraction is 0.0001 / SF by the specification."""
    sql = (FOLDER / f"{query}.sql").read_text()
    if query == "q11":
        fraction = f"{0.0001 / float(scale):.10f}".rstrip("0")
        sql, n = re.subn(r"\* 0\.01\b", f"* {fraction}", sql)
        assert n == 1, "Q11 has lost its fraction"
    return sql


def for_duckdb(query, scale, mydb):
    place = {"sales": "pg.public", "supply": f"my.{mydb}"}
    return SOURCE.sub(lambda m: f"{place[m[1]]}.{m[2]}", text(query, scale))


def same(a, b):
    """Whether two CSV files hold one answer: same rows in any order, numbers within 1 in 10^6 or half a cent (DuckDB's avg is a double)."""
    def rows(path):
        with open(path, newline="") as f:
            return sorted((tuple(r) for r in list(csv.reader(f))[1:]), key=key)

    def number(t):
        try:
            return Decimal(t)
        except InvalidOperation:
            return None

    def key(row):
        return [f"{number(v):.1f}" if number(v) is not None else v.rstrip() for v in row]

    left, right = rows(a), rows(b)
    if len(left) != len(right):
        return f"{len(left)} rows, not {len(right)}"
    for x, y in zip(left, right):
        for v, w in zip(x, y):
            m, n = number(v), number(w)
            fine = v.rstrip() == w.rstrip() if m is None or n is None else math.isclose(m, n, rel_tol=1e-6, abs_tol=0.005)
            if not fine:
                return f"{x} is not {y}"
    return None
