-- What people decided about budgets, the oldest first.
SELECT given_ts, given_by, kind, dimension, id, unit, period, limit_amount, reason
FROM budget_orders
ORDER BY given_ts;
