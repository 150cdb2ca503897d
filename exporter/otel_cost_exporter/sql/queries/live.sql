-- What calls and charges cost that ended between two times. The reader filters at the marker.
SELECT
    count(*) FILTER (charge IS NULL) AS calls,
    count(*) FILTER (cost_status = 'unknown') AS unknown_calls,
    CASE WHEN count(*) = 0 THEN 0 ELSE sum(cost) END AS cost_usd
FROM facts
WHERE
    outcome <> 'refused'
    AND coalesce(end_ts, start_ts) > $ended_since AND coalesce(end_ts, start_ts) <= $ended_until /* where */;
