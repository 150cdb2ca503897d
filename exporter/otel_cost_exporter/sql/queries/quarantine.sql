-- What came and cannot stand in the books, by the reason and the service, with the last one of each. Runs as it is, for all that
-- is kept; the reader filters at the marker `where`, begins behind the page before at `after`, and orders at `order`.
WITH told AS (
    SELECT
        reason, service,
        count(*) AS count,
        min(received_ts) AS first_received,
        max(received_ts) AS last_received,
        arg_max({'start': start_ts, 'model': model, 'trace_id': trace_id, 'span_id': span_id}, received_ts) AS last_one
    FROM quarantine
    WHERE true /* where */
    GROUP BY reason, service
)
SELECT
    reason, service, count, first_received, last_received,
    last_one.start AS start,
    last_one.model AS model,
    last_one.trace_id AS trace_id,
    last_one.span_id AS span_id
    /* place */
FROM told
WHERE true /* after */
ORDER BY /* order: */ last_received DESC, reason DESC, coalesce(service, '') DESC /* :order */
LIMIT $limit;
