-- Which of the calls that came, the rows of `keys`, stand in the books already: the same span. Those of which only now the
-- application itself tells, as what it had said was taken off on the way, stand there at another's price. The two times are
-- constants for DuckDB, by which it skips nearly all of the table.
SELECT
    keys.row,
    keys.metered AND NOT calls.metered AS is_better,
    hash(hash(calls.trace_id), calls.span_id, coalesce(calls.operation = 'embeddings', false)) AS span,
    epoch_us(calls.start_ts) AS start
FROM keys
JOIN calls ON
    calls.start_ts = keys.start_ts
    AND calls.span_id = keys.span_id
    AND calls.trace_id = keys.trace_id::UUID
WHERE calls.start_ts BETWEEN $earliest AND $latest;
