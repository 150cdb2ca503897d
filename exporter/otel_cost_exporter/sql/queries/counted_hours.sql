-- The sums of whole hours that are in none of the days. The reader selects at the marker `keys` what is grouped and
-- filtered by, and which hours at `then`; the dimension is empty for all calls.
SELECT
    /* keys */
    hour AS began, outcome, cost_status, charge, row_count,
    cost, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    waste, unknown_waste, project AS payer, first_ts, last_ts
FROM rollup_hour
WHERE dimension = $dimension /* then */
