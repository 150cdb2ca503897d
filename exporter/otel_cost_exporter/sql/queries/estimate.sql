-- What calls cost, one by one and a run of them together: the tenth, the half and nine tenths of them cost that or less.
-- Runs as it is, for the whole of the books; the reader filters at the marker. Refused calls were never sent.
WITH sent AS (
    SELECT run, cost, input_tokens, output_tokens
    FROM facts
    WHERE outcome <> 'refused' AND charge IS NULL /* where */
),
-- A run of which a call has no known cost has no known cost itself.
runs AS (
    SELECT run, count(*) AS calls, CASE WHEN count(cost) = count(*) THEN sum(cost) END AS cost
    FROM sent
    WHERE run IS NOT NULL
    GROUP BY run
),
each_call AS (
    SELECT
        count(*) AS calls,
        count(*) FILTER (cost IS NULL) AS unknown_calls,
        count(*) FILTER (input_tokens IS NOT NULL AND output_tokens IS NOT NULL) AS sized_calls,
        sum(cost) AS cost_usd,
        coalesce(sum(input_tokens) FILTER (output_tokens IS NOT NULL), 0) AS input_tokens,
        coalesce(sum(output_tokens) FILTER (input_tokens IS NOT NULL), 0) AS output_tokens,
        quantile_disc(cost, 0.1) AS call_cost_low_usd,
        quantile_disc(cost, 0.9) AS call_cost_high_usd,
        quantile_disc(input_tokens, 0.1) AS input_tokens_low,
        quantile_disc(input_tokens, 0.9) AS input_tokens_high,
        quantile_disc(output_tokens, 0.1) AS output_tokens_low,
        quantile_disc(output_tokens, 0.9) AS output_tokens_high
    FROM sent
),
each_run AS (
    SELECT
        count(*) AS runs,
        count(*) FILTER (cost IS NULL) AS unknown_runs,
        quantile_disc(calls, 0.1) AS run_calls_low,
        quantile_disc(calls, 0.5) AS run_calls_median,
        quantile_disc(calls, 0.9) AS run_calls_high,
        quantile_disc(cost, 0.1) AS run_cost_low_usd,
        quantile_disc(cost, 0.5) AS run_cost_median_usd,
        quantile_disc(cost, 0.9) AS run_cost_high_usd
    FROM runs
)
SELECT *
FROM each_call, each_run;
