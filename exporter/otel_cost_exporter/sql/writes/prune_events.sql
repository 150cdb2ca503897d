-- Events of budgets from before the variable `until` go.
DELETE FROM budget_events WHERE event_ts < getvariable('until');
