-- A file in `lake` for the people who want a spreadsheet.
{{ config(materialized='file', target='lake', format='csv') }}
select customer, country, orders, revenue_eur
from {{ ref('cross_db_analysis') }}
where orders > 0
order by revenue_eur desc
