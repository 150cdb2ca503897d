-- How accounts stand that have changed.
INSERT INTO budget_accounts BY NAME
SELECT * FROM batch
ON CONFLICT (dimension, id, unit, period) DO UPDATE SET
    limit_amount = excluded.limit_amount,
    spent = excluded.spent,
    calls = excluded.calls,
    booked_ts = excluded.booked_ts;
