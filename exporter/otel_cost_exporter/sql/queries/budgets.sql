-- Every budget that was seen, and what its id has spent of it over all time, the most used first. The reader picks ids at
-- the marker `where`, counts them all at `also`, and ends at `limit`.
WITH paid AS NOT MATERIALIZED (
    SELECT dimension, id, outcome, cost_status, charge, row_count, cost, waste, input_tokens, output_tokens, last_ts
    FROM rollup_day
    UNION ALL
    SELECT dimension, id, outcome, cost_status, charge, row_count, cost, waste, input_tokens, output_tokens, last_ts
    FROM rollup_fresh
    UNION ALL
    SELECT dimension, id, outcome, cost_status, NULL, row_count, cost, waste, input_tokens, output_tokens, last_ts
    FROM spent_before
),
spent AS (
    SELECT
        dimension,
        id,
        any_value(limit_usd) AS limit_usd,
        any_value(limit_tokens) AS limit_tokens,
        coalesce(sum(cost), 0) + coalesce(sum(waste), 0) AS spent_usd,
        coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS spent_tokens,
        coalesce(sum(CASE WHEN outcome <> 'refused' AND charge IS NULL THEN row_count END), 0) AS calls,
        coalesce(sum(CASE WHEN outcome <> 'refused' AND cost_status = 'unknown' THEN row_count END), 0) AS unknown_calls,
        coalesce(sum(CASE WHEN outcome = 'refused' THEN row_count END), 0) AS refused_calls,
        date_trunc('second', max(last_ts)) AS last_seen
    FROM limits
    JOIN paid USING (dimension, id)
    WHERE true /* where */
    GROUP BY dimension, id
)
SELECT * /* also */
FROM spent
-- A limit of nothing is used up from the start.
ORDER BY
    greatest(
        CASE WHEN limit_usd = 0 THEN 'infinity' ELSE spent_usd::DOUBLE / limit_usd::DOUBLE END,
        CASE WHEN limit_tokens = 0 THEN 'infinity' ELSE spent_tokens::DOUBLE / limit_tokens END
    ) DESC NULLS LAST,
    dimension,
    id
/* limit */;
