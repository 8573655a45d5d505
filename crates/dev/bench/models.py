"""The join models of the benchmark: customer, supplier, nation, region in MariaDB (`my`), orders, lineitem in PostgreSQL (`pg`)."""
MODELS = {
    "a": """select c.c_custkey, c.c_name, count(o.o_orderkey) as n_orders
from my.customer c left join pg.orders o on c.c_custkey = o.o_custkey group by c.c_custkey, c.c_name""",
    "b": """select n.n_name, sum(l.l_extendedprice * (1 - l.l_discount)) as revenue
from my.customer c join pg.orders o on c.c_custkey = o.o_custkey
join pg.lineitem l on l.l_orderkey = o.o_orderkey
join my.supplier s on l.l_suppkey = s.s_suppkey and c.c_nationkey = s.s_nationkey
join my.nation n on s.s_nationkey = n.n_nationkey join my.region r on n.n_regionkey = r.r_regionkey
where r.r_name = 'ASIA' and o.o_orderdate >= date '1994-01-01' and o.o_orderdate < date '1995-01-01' group by n.n_name""",
    "d": """select o.o_orderkey, o.o_orderdate, o.o_totalprice, o.o_orderpriority, c.c_custkey, c.c_name
from pg.orders o join my.customer c on o.o_custkey = c.c_custkey
where c.c_mktsegment = 'BUILDING' and o.o_orderdate >= date '1995-03-01' and o.o_orderdate < date '1995-04-01'""",
}
