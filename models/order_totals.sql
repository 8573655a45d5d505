-- What each order came to in the customer's currency; rates are in a CSV file. Incremental: a second run only reads
-- orders newer than those it has.
{{ config(materialized='incremental', unique_key='order_id') }}
select
    s.order_id,
    s.ordered_at,
    s.currency,
    cast(sum(s.amount_eur) as decimal(12, 2)) as total_eur,
    cast(sum(s.amount_eur * r.per_eur) as decimal(12, 2)) as total
from {{ ref('sales') }} s
join {{ source('lake', 'exchange_rates') }} r on r.currency = s.currency
{% if is_incremental() %}
where s.ordered_at > (select max(t.ordered_at) from {{ this }} t)
{% endif %}
group by s.order_id, s.ordered_at, s.currency
