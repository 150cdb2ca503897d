-- The sums of whole days. The reader selects at the marker `keys` what is grouped and filtered by; the dimension is empty
-- for all calls.
SELECT
    /* keys */
    day::TIMESTAMP AS began, outcome, cost_status, charge, row_count,
    cost, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    waste, unknown_waste, project AS payer, first_ts, last_ts
FROM rollup_day
WHERE dimension = $dimension AND day >= $days_from::DATE AND day < $days_until::DATE
