-- Every budget that was seen, and what its id has spent of it over all time, the most used first.
WITH paid AS (
    UNPIVOT (
        SELECT
            start_ts, cost, input_tokens, output_tokens, outcome, cost_status,
            project, plan, session, run, stage, role, scene, task, quest, analysis
        FROM calls
    )
    ON project, plan, session, run, stage, role, scene, task, quest, analysis
    INTO NAME dimension VALUE id
    UNION ALL BY NAME
    SELECT
        start_ts, cost, input_tokens, output_tokens, outcome, cost_status,
        unnest(map_keys(extra)) AS dimension, unnest(map_values(extra)) AS id
    FROM calls
    WHERE cardinality(extra) > 0
),
spent AS (
    SELECT
        dimension,
        id,
        any_value(limit_usd) AS limit_usd,
        any_value(limit_tokens) AS limit_tokens,
        coalesce(sum(cost), 0) AS spent_usd,
        coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS spent_tokens,
        count(*) FILTER (outcome <> 'refused') AS calls,
        count(*) FILTER (outcome <> 'refused' AND cost_status = 'unknown') AS unknown_calls,
        count(*) FILTER (outcome = 'refused') AS refused_calls,
        date_trunc('second', max(start_ts)) AS last_seen
    FROM limits
    JOIN paid USING (dimension, id)
    GROUP BY dimension, id
)
SELECT *
FROM spent
-- A limit of nothing is used up from the start.
ORDER BY
    greatest(
        CASE WHEN limit_usd = 0 THEN 'infinity' ELSE spent_usd::DOUBLE / limit_usd::DOUBLE END,
        CASE WHEN limit_tokens = 0 THEN 'infinity' ELSE spent_tokens::DOUBLE / limit_tokens END
    ) DESC NULLS LAST,
    dimension,
    id;
