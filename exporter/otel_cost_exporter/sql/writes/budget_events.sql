-- What happened to budgets, each event once.
INSERT INTO budget_events BY NAME
SELECT *, $received_ts AS received_ts
FROM batch
ON CONFLICT DO NOTHING;
