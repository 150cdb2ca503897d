-- What was spent; charges for other things are in the cost, and are no calls. The reader inserts what is counted, one of
-- counted_*.sql or several of them together, at the marker `counted`, groups by inserting columns at `keys`, filters at
-- `where` and `having`, adds columns at `also`, and orders at `order`. CASE takes DuckDB half the time of FILTER, where
-- there are many groups.
WITH counted AS NOT MATERIALIZED (
    /* counted: */ SELECT *, hour AS began, project AS payer FROM hourly WHERE dimension = '' /* :counted */
)
SELECT
    /* keys */
    coalesce(sum(CASE WHEN outcome <> 'refused' AND charge IS NULL THEN row_count ELSE 0 END), 0) AS calls,
    coalesce(sum(CASE WHEN outcome = 'error' THEN row_count ELSE 0 END), 0) AS failed_calls,
    coalesce(sum(CASE WHEN outcome = 'cut' THEN row_count ELSE 0 END), 0) AS cut_calls,
    coalesce(sum(CASE WHEN outcome = 'refused' THEN row_count ELSE 0 END), 0) AS refused_calls,
    coalesce(sum(input_tokens), 0) AS input_tokens,
    coalesce(sum(output_tokens), 0) AS output_tokens,
    coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
    coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens,
    coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
    -- Unknown is not zero: where calls were sent and none has a price, there is no figure.
    CASE
        WHEN coalesce(sum(CASE WHEN outcome <> 'refused' THEN row_count ELSE 0 END), 0) = 0 THEN 0
        WHEN sum(CASE WHEN outcome <> 'refused' AND cost_status <> 'unknown' THEN row_count ELSE 0 END) > 0
        THEN sum(cost)
    END AS cost_usd,
    coalesce(sum(CASE WHEN cost_status = 'estimated' THEN cost ELSE 0 END), 0) AS estimated_cost_usd,
    coalesce(
        sum(CASE WHEN outcome <> 'refused' AND cost_status = 'estimated' THEN row_count ELSE 0 END), 0
    ) AS estimated_calls,
    coalesce(
        sum(CASE WHEN outcome <> 'refused' AND cost_status = 'unknown' THEN row_count ELSE 0 END), 0
    ) AS unknown_calls,
    coalesce(sum(CASE WHEN cost_status = 'unknown' THEN input_tokens ELSE 0 END), 0) AS unknown_input_tokens,
    coalesce(sum(CASE WHEN cost_status = 'unknown' THEN output_tokens ELSE 0 END), 0) AS unknown_output_tokens,
    coalesce(sum(waste), 0) AS waste_usd,
    coalesce(sum(unknown_waste), 0) AS unknown_waste_calls
    /* also */
FROM counted
WHERE true /* where */
GROUP BY ALL
HAVING true /* having */
ORDER BY /* order: */ cost_usd DESC NULLS LAST, calls DESC /* :order */
/* limit */;
