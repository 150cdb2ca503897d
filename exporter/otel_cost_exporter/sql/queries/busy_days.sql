-- The days of which sums tell, and how many there are.
SELECT day::TIMESTAMP AS day, count(*) AS sums
FROM (
    SELECT hour::DATE AS day FROM hourly
    UNION ALL
    SELECT day FROM rollup_day
)
WHERE true /* days */
GROUP BY day
ORDER BY day;
