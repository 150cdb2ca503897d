-- The fresh sums become part of the hours and days that they touch, which are written anew.
CREATE OR REPLACE TEMP TABLE merged_hours AS
WITH touched AS (
    SELECT * FROM rollup_hour WHERE hour IN (SELECT hour FROM rollup_fresh)
    UNION ALL BY NAME
    FROM rollup_fresh
)
FROM sums_again('touched');

CREATE OR REPLACE TEMP TABLE merged_days AS
WITH touched AS (
    SELECT * FROM rollup_day WHERE day IN (SELECT hour::DATE FROM rollup_fresh)
    UNION ALL BY NAME
    SELECT hour::DATE AS day, * EXCLUDE (hour) FROM rollup_fresh
)
FROM sums_again('touched');

DELETE FROM rollup_hour WHERE hour IN (SELECT hour FROM rollup_fresh);
DELETE FROM rollup_day WHERE day IN (SELECT hour::DATE FROM rollup_fresh);
DELETE FROM rollup_fresh;
