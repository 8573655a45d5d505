{{ config(materialized='view') }}
select customer, revenue_eur
from {{ ref('cross_db_analysis') }}
where revenue_eur >= {{ var('minimum_revenue') }}
