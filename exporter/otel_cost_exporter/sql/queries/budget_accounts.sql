-- What has been spent of the budgets that processes share. The reader picks one at the marker `where`.
SELECT dimension, id, unit, period, limit_amount, spent, calls, booked_ts
FROM budget_accounts
WHERE true /* where */
ORDER BY dimension, id, unit, period;
