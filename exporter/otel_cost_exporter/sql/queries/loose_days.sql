-- The days whose sums of days are not in order yet, and how many of these each has.
SELECT day, count(*) AS sums
FROM (SELECT day::TIMESTAMP AS day FROM rollup_day)
WHERE true /* days */
GROUP BY day
ORDER BY day;
