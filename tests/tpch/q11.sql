-- TPC-H Q11: Important stock identification. The fraction is 0.0001 / SF, for the tests' scale factor 0.01.
select ps_partkey, sum(ps_supplycost * ps_availqty) as value
from {{ source('supply', 'partsupp') }}, {{ source('supply', 'supplier') }}, {{ source('supply', 'nation') }}
where ps_suppkey = s_suppkey
  and s_nationkey = n_nationkey
  and n_name = 'GERMANY'
group by ps_partkey
having sum(ps_supplycost * ps_availqty) > (
    select sum(ps_supplycost * ps_availqty) * 0.01
    from {{ source('supply', 'partsupp') }}, {{ source('supply', 'supplier') }}, {{ source('supply', 'nation') }}
    where ps_suppkey = s_suppkey
      and s_nationkey = n_nationkey
      and n_name = 'GERMANY'
)
order by value desc
