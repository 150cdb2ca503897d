-- What was paid, in the columns of FOCUS: a row for each meter of a call whose cost somebody knows. Runs as it is, for the
-- whole of the books; the reader filters calls at the marker.
SELECT *
FROM focus
SEMI JOIN (
    SELECT
        start_ts AS x_CallStart,
        replace(trace_id::VARCHAR, '-', '') AS x_TraceId,
        printf('%016x', span_id) AS x_SpanId
    FROM facts
    WHERE true /* where */
) USING (x_CallStart, x_TraceId, x_SpanId);
