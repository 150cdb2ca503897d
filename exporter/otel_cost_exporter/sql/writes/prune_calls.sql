-- Calls from before the variable `until` go, and what else is told of them one by one. Their sums stay.
DELETE FROM calls WHERE start_ts < getvariable('until');
DELETE FROM former_costs WHERE start_ts < getvariable('until');
