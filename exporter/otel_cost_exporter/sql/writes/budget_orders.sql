-- Somebody has decided something about a budget.
INSERT INTO budget_orders
VALUES ($given_ts, $given_by, $kind, $dimension, $id, $unit, $period, $limit_amount, $reason);
