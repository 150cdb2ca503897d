-- What was added last, and is in the sums of neither hours nor days so far. The reader selects at the marker `keys` what is
-- grouped and filtered by; the dimension is empty for all calls.
SELECT
    /* keys */
    hour AS began, outcome, cost_status, charge, row_count,
    cost, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    waste, unknown_waste, project AS payer, first_ts, last_ts
FROM rollup_fresh
WHERE dimension = $dimension AND hour >= $hours_from AND hour < $hours_until
