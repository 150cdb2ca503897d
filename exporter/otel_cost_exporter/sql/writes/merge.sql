-- Fresh sums become part of the hours and days that they touch, which are written anew: those from the variable `since` until
-- `until`, and of their ids those that fall into `bucket` of so many `buckets`.
CREATE OR REPLACE TEMP TABLE merging AS
FROM rollup_fresh
WHERE hour >= getvariable('since') AND hour < getvariable('until')
    AND hash(id) % getvariable('buckets') = getvariable('bucket');

CREATE OR REPLACE TEMP TABLE merged_hours AS
WITH touched AS (
    SELECT * FROM rollup_hour
    WHERE hour >= getvariable('since') AND hour < getvariable('until') AND hour IN (SELECT hour FROM merging)
        AND hash(id) % getvariable('buckets') = getvariable('bucket')
    UNION ALL BY NAME
    FROM merging
)
FROM sums_again('touched');

CREATE OR REPLACE TEMP TABLE merged_days AS
WITH touched AS (
    SELECT * FROM rollup_day
    WHERE day >= getvariable('since')::DATE AND day < getvariable('until')::DATE
        AND day IN (SELECT hour::DATE FROM merging)
        AND hash(id) % getvariable('buckets') = getvariable('bucket')
    UNION ALL BY NAME
    SELECT hour::DATE AS day, * EXCLUDE (hour) FROM merging
)
FROM sums_again('touched');

DELETE FROM rollup_hour
WHERE hour >= getvariable('since') AND hour < getvariable('until') AND hour IN (SELECT hour FROM merging)
    AND hash(id) % getvariable('buckets') = getvariable('bucket');
DELETE FROM rollup_day
WHERE day >= getvariable('since')::DATE AND day < getvariable('until')::DATE
    AND day IN (SELECT hour::DATE FROM merging)
    AND hash(id) % getvariable('buckets') = getvariable('bucket');
DELETE FROM rollup_fresh
WHERE hour >= getvariable('since') AND hour < getvariable('until')
    AND hash(id) % getvariable('buckets') = getvariable('bucket');
