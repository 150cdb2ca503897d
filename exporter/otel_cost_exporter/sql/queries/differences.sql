-- Where the sums are not what they are sums of: hours against the calls, and days against the hours. Runs as it is, for
-- the whole of the books; `check` takes one part after the other at the markers.
WITH calls_then AS (
    SELECT * FROM calls WHERE true /* calls */
),
hours_then AS (
    SELECT * FROM hourly WHERE true /* hours */
),
days_then AS (
    SELECT day::TIMESTAMP AS hour, * EXCLUDE (day) FROM rollup_day WHERE true /* days */
),
hours_of_days AS (
    SELECT date_trunc('day', hour) AS hour, * EXCLUDE (hour) FROM rollup_hour WHERE true /* hours_of_days */
),
owed AS (
    SELECT 'hour' AS span, * FROM sums_of('calls_then')
    UNION ALL BY NAME
    SELECT 'day' AS span, * FROM sums_again('hours_of_days')
),
held AS (
    SELECT 'hour' AS span, * FROM sums_again('hours_then')
    UNION ALL BY NAME
    SELECT 'day' AS span, * FROM sums_again('days_then')
),
pairs AS (
    SELECT
        coalesce(owed.span, held.span) AS span,
        coalesce(owed.hour, held.hour) AS since,
        coalesce(owed.dimension, held.dimension) AS dimension,
        coalesce(owed.id, held.id) AS id,
        coalesce(owed.model, held.model) AS model,
        coalesce(owed.cost_status, held.cost_status) AS cost_status,
        -- The name of each figure, what it should be, and what it is.
        [
            {'figure': 'row_count', 'owed': owed.row_count::VARCHAR, 'held': held.row_count::VARCHAR},
            {'figure': 'cost', 'owed': owed.cost::VARCHAR, 'held': held.cost::VARCHAR},
            {'figure': 'input_tokens', 'owed': owed.input_tokens::VARCHAR, 'held': held.input_tokens::VARCHAR},
            {'figure': 'output_tokens', 'owed': owed.output_tokens::VARCHAR, 'held': held.output_tokens::VARCHAR},
            {'figure': 'cache_read_tokens', 'owed': owed.cache_read_tokens::VARCHAR, 'held': held.cache_read_tokens::VARCHAR},
            {'figure': 'cache_write_tokens', 'owed': owed.cache_write_tokens::VARCHAR, 'held': held.cache_write_tokens::VARCHAR},
            {'figure': 'reasoning_tokens', 'owed': owed.reasoning_tokens::VARCHAR, 'held': held.reasoning_tokens::VARCHAR},
            {'figure': 'attempts', 'owed': owed.attempts::VARCHAR, 'held': held.attempts::VARCHAR},
            {'figure': 'failures', 'owed': owed.failures::VARCHAR, 'held': held.failures::VARCHAR},
            {'figure': 'waste', 'owed': owed.waste::VARCHAR, 'held': held.waste::VARCHAR},
            {'figure': 'unknown_waste', 'owed': owed.unknown_waste::VARCHAR, 'held': held.unknown_waste::VARCHAR},
            -- A call that was taken back may have been the first or the last, so these may lie without.
            {'figure': 'first_ts', 'owed': owed.first_ts::VARCHAR, 'held': greatest(held.first_ts, owed.first_ts)::VARCHAR},
            {'figure': 'last_ts', 'owed': owed.last_ts::VARCHAR, 'held': least(held.last_ts, owed.last_ts)::VARCHAR}
        ] AS figures
    FROM owed
    FULL JOIN held
    ON owed.span = held.span
        AND owed.hour = held.hour
        AND owed.dimension = held.dimension
        AND owed.id = held.id
        AND owed.outcome = held.outcome
        AND owed.cost_status = held.cost_status
        AND owed.project IS NOT DISTINCT FROM held.project
        AND owed.provider IS NOT DISTINCT FROM held.provider
        AND owed.model IS NOT DISTINCT FROM held.model
        AND owed.service IS NOT DISTINCT FROM held.service
        AND owed.environment IS NOT DISTINCT FROM held.environment
        AND owed.operation IS NOT DISTINCT FROM held.operation
        AND owed.charge IS NOT DISTINCT FROM held.charge
    WHERE ROW(owed.row_count, owed.cost, owed.input_tokens, owed.output_tokens, owed.cache_read_tokens,
            owed.cache_write_tokens, owed.reasoning_tokens, owed.attempts, owed.failures, owed.waste,
            owed.unknown_waste)
        IS DISTINCT FROM
        ROW(held.row_count, held.cost, held.input_tokens, held.output_tokens, held.cache_read_tokens,
            held.cache_write_tokens, held.reasoning_tokens, held.attempts, held.failures, held.waste,
            held.unknown_waste)
        OR held.first_ts > owed.first_ts OR held.last_ts < owed.last_ts
),
differences AS MATERIALIZED (
    SELECT span, since, dimension, id, model, cost_status, figures.figure, figures.owed, figures.held
    FROM (SELECT * REPLACE (unnest(figures) AS figures) FROM pairs)
    WHERE figures.owed IS DISTINCT FROM figures.held
)
-- No count(*) OVER (): DuckDB 1.5 now and then fails there with an internal error (duckdb/duckdb#25713).
SELECT *, (SELECT count(*) FROM differences) AS number
FROM differences
ORDER BY ALL
LIMIT 100;
