-- The calls of the books, of a stretch of time, that may be those of `late`, told of by another: of the same trace, or with the
-- same response id. The two times are constants for DuckDB, by which it skips nearly all of the table; the limit is
-- for a server for tests, which may give all its responses one id.
SELECT
    trace_id, span_id, parent_span_id, scope, service, operation, request_model, response_model, response_id, input_tokens,
    output_tokens, charge, metered, cost, start_ts, end_ts
FROM calls
WHERE start_ts BETWEEN $earliest AND $latest AND (
    trace_id IN (SELECT trace_id::UUID FROM late)
    OR response_id IN (SELECT response_id FROM late WHERE response_id IS NOT NULL)
)
LIMIT 100000;
