-- The history of `questions.py`: $calls calls over 90 days up to now, in order of time, of 12 projects whose runs of some 60
-- calls go through five stages, three roles and forty scenes; each role of a run asks one model, and 97 of 100 calls have a
-- known cost.
INSERT INTO calls BY NAME
WITH models AS (
    FROM (VALUES
        (0, 'openai', 'gpt-4o', 2.5, 10.0), (1, 'openai', 'gpt-4o-mini', 0.15, 0.6), (2, 'openai', 'gpt-4.1', 2.0, 8.0),
        (3, 'openai', 'o4-mini', 1.1, 4.4), (4, 'anthropic', 'claude-sonnet-4-5', 3.0, 15.0),
        (5, 'anthropic', 'claude-haiku-4-5', 1.0, 5.0), (6, 'google', 'gemini-2.5-pro', 1.25, 10.0)
    ) AS models (number, provider, model, input_usd, output_usd)
),
numbered AS (
    SELECT
        i,
        hash(i) % 100 AS luck,
        hash(i // 1000 * 16 + hash(i, 4) % 16, hash(i, 9) % 3) % 7 AS model_number,
        200 + hash(i, 2) % 8000 AS input_tokens,
        20 + hash(i, 3) % 1500 AS output_tokens,
        -- Sixteen runs go on at a time, and every 1,000 calls others begin.
        (i // 1000) * 16 + hash(i, 4) % 16 AS run_number
    FROM range($calls) AS t (i)
)
SELECT
    (now() AT TIME ZONE 'UTC') - to_microseconds((($calls - i) * (90 * 86400000000 // $calls))) AS start_ts,
    start_ts + to_milliseconds((500 + hash(i, 5) % 9000)::BIGINT) AS end_ts,
    start_ts AS received_ts,
    md5(i::VARCHAR)::UUID AS trace_id,
    hash(i, 6) AS span_id,
    'otel_cost' AS scope,
    'agent-' || hash(run_number) % 4 AS service,
    'production' AS environment,
    provider,
    'chat' AS operation,
    model AS request_model,
    model AS response_model,
    'resp-' || md5(i::VARCHAR) AS response_id,
    input_tokens, output_tokens,
    CASE WHEN luck % 3 = 0 THEN input_tokens // 2 END AS cache_read_tokens,
    CASE WHEN luck <> 99
        THEN (input_tokens * input_usd::DECIMAL(9, 4) + output_tokens * output_usd::DECIMAL(9, 4))::DECIMAL(18, 4) / 1000000
    END::DECIMAL(18, 12) AS cost,
    CASE luck WHEN 99 THEN 'unknown' WHEN 98 THEN 'estimated' WHEN 97 THEN 'estimated' ELSE 'known' END AS cost_status,
    'local' AS cost_source,
    '2026-11-01' AS price_version,
    CASE WHEN hash(i, 7) % 50 = 0 THEN 'error' ELSE 'ok' END AS outcome,
    1 AS attempts,
    'project-' || lpad((hash(run_number, 1) % 12)::VARCHAR, 2, '0') AS project,
    'run-' || lpad(run_number::VARCHAR, 8, '0') AS run,
    'session-' || lpad((run_number // 4)::VARCHAR, 8, '0') AS session,
    ['plan', 'draft', 'review', 'revise', 'check'][1 + (hash(i, 8) % 5)::BIGINT] AS stage,
    ['author', 'critic', 'editor'][1 + (hash(i, 9) % 3)::BIGINT] AS "role",
    'scene-' || lpad((hash(i, 10) % 40)::VARCHAR, 2, '0') AS scene,
    MAP {}::MAP(VARCHAR, VARCHAR) AS extra
FROM numbered
JOIN models ON number = model_number
ORDER BY i;
