-- What was spent. Runs as it is, for the whole of the books. The reader groups by inserting columns of `facts` at the
-- marker `by`, filters at `where`, and orders at `first` and `then`.
SELECT
    /* by */
    count(*) FILTER (outcome <> 'refused') AS calls,
    count(*) FILTER (outcome = 'error') AS failed_calls,
    count(*) FILTER (outcome = 'cut') AS cut_calls,
    count(*) FILTER (outcome = 'refused') AS refused_calls,
    coalesce(sum(input_tokens), 0) AS input_tokens,
    coalesce(sum(output_tokens), 0) AS output_tokens,
    coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
    coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens,
    coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
    -- Unknown is not zero: where calls were sent and none has a price, there is no figure.
    CASE
        WHEN count(*) FILTER (outcome <> 'refused') = 0 THEN 0
        WHEN count(*) FILTER (outcome <> 'refused' AND cost IS NOT NULL) > 0 THEN sum(cost)
    END AS cost_usd,
    coalesce(sum(cost) FILTER (cost_status = 'estimated'), 0) AS estimated_cost_usd,
    count(*) FILTER (outcome <> 'refused' AND cost_status = 'estimated') AS estimated_calls,
    count(*) FILTER (outcome <> 'refused' AND cost_status = 'unknown') AS unknown_calls,
    coalesce(sum(input_tokens) FILTER (cost_status = 'unknown'), 0) AS unknown_input_tokens,
    coalesce(sum(output_tokens) FILTER (cost_status = 'unknown'), 0) AS unknown_output_tokens,
    coalesce(sum(waste), 0) AS waste_usd,
    count(*) FILTER (waste_status = 'unknown') AS unknown_waste_calls
FROM facts
WHERE true /* where */
GROUP BY ALL
ORDER BY /* first */ cost_usd DESC NULLS LAST, calls DESC /* then */;
