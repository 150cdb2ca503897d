-- The days that have calls, and how many.
SELECT date_trunc('day', start_ts)::TIMESTAMP AS day, count(*) AS calls
FROM calls
WHERE true /* days */
GROUP BY day
ORDER BY day;
