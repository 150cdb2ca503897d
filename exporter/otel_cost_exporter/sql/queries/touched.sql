-- The days that fresh sums are of, and how many sums a merge of each reads.
SELECT day::TIMESTAMP AS day, count(*) AS sums
FROM (
    SELECT hour::DATE AS day FROM hourly WHERE hour IN (SELECT hour FROM rollup_fresh)
    UNION ALL
    SELECT day FROM rollup_day WHERE day IN (SELECT hour::DATE FROM rollup_fresh)
)
GROUP BY day
ORDER BY day;
