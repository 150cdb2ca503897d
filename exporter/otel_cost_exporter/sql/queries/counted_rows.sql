-- Calls row by row, in the shape of sums. Runs as it is, for the whole of the books; the reader selects at the marker `keys`
-- what is grouped and filtered by, and filters at `where`.
SELECT
    /* keys */
    start_ts AS began, outcome, cost_status, charge, 1 AS row_count,
    cost, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    waste, CASE WHEN waste_status = 'unknown' THEN 1 ELSE 0 END AS unknown_waste,
    project AS payer, start_ts AS first_ts, start_ts AS last_ts
FROM facts
WHERE true /* where */
