-- Customers from SQLite, their orders from DuckDB, joined by DataFusion, written to `mart`.
{{ config(materialized='table', compute='datafusion') }}
select
    coalesce(c.name, '(unknown)') as customer,
    c.country,
    count(distinct s.order_id) as orders,
    cast(coalesce(sum(s.amount_eur), 0) as decimal(12, 2)) as revenue_eur
from {{ source('shop', 'customers') }} c
full join {{ ref('sales') }} s on s.customer_id = c.customer_id
group by c.customer_id, c.name, c.country
order by revenue_eur desc, customer
