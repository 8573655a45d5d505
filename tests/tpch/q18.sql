-- TPC-H Q18: Large volume customer.
select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) as total_quantity
from {{ source('sales', 'customer') }}, {{ source('sales', 'orders') }}, {{ source('sales', 'lineitem') }}
where o_orderkey in (
    select l_orderkey
    from {{ source('sales', 'lineitem') }}
    group by l_orderkey
    having sum(l_quantity) > 300
  )
  and c_custkey = o_custkey
  and o_orderkey = l_orderkey
group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
order by o_totalprice desc, o_orderdate
limit 100
