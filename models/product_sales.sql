-- Products from a Parquet file, sales from a DuckDB file, joined by the DuckDB engine (and in its dialect).
{{ config(compute='duckdb') }}
select
    p.product_id,
    p.name as product,
    p.origin,
    cast(coalesce(sum(s.quantity), 0) as bigint) as sold,
    cast(coalesce(sum(s.amount_eur), 0) as decimal(12, 2)) as revenue_eur
from {{ source('lake', 'products') }} p
left join {{ ref('sales') }} s using (product_id)
group by all
order by p.product_id
