-- The hours of which calls or sums tell, and how many calls each has.
SELECT hour, sum(calls)::BIGINT AS calls
FROM (
    SELECT date_trunc('hour', start_ts) AS hour, count(*) AS calls FROM calls GROUP BY ALL
    UNION ALL
    SELECT DISTINCT hour, 0 FROM hourly
)
WHERE true /* hours */
GROUP BY hour
ORDER BY hour;
