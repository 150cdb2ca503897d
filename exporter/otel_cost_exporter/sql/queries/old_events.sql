-- How many events of budgets are from before a time.
SELECT count(*) AS events FROM budget_events WHERE event_ts < $until;
