-- One row for each line of an order that wasn't cancelled. Ephemeral: part of the queries that refer to it.
select
    o.order_id,
    o.customer_id,
    o.ordered_at,
    o.currency,
    i.product_id,
    i.quantity,
    i.quantity * i.unit_price * (1 - coalesce(i.discount, 0)) as amount_eur
from {{ source('erp', 'orders') }} o
join {{ source('erp', 'order_items') }} i on i.order_id = o.order_id
where o.status <> 'cancelled'
