-- What happened to budgets. Runs as it is, for the last events of the whole books; the reader filters at the marker `where`,
-- begins behind the page before at `after`, and orders at `order`.
SELECT
    event_ts AS "at",
    kind, dimension, id, unit,
    coalesce(period, '') AS period,
    limit_amount AS "limit",
    spent, held, share,
    call_amount AS call,
    model, service, environment,
    replace(trace_id::VARCHAR, '-', '') AS trace_id,
    CASE WHEN span_id IS NOT NULL THEN printf('%016x', span_id) END AS span_id
    /* place */
FROM budget_events
WHERE true /* where */ /* after */
ORDER BY /* order: */ event_ts DESC, event_id DESC /* :order */
LIMIT $limit;
