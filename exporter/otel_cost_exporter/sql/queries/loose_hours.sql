-- The days whose sums of hours are not in order yet, and how many of these each has.
SELECT day, count(*) AS sums
FROM (SELECT date_trunc('day', hour) AS day FROM rollup_hour)
WHERE true /* days */
GROUP BY day
ORDER BY day;
