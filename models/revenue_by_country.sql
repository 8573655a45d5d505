-- Everything it reads and writes is in `mart`, so `auto` lets that database do the work.
select
    country,
    count(*) as customers,
    sum(revenue_eur) as revenue_eur
from {{ ref('cross_db_analysis') }}
group by country
order by revenue_eur desc, country
