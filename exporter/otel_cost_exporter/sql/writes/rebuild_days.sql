-- The sums of the days from that of the variable `since` to that of the moment before `until`, made anew from the hours.
DELETE FROM rollup_day
WHERE day >= getvariable('since')::DATE AND day <= (getvariable('until') - INTERVAL 1 MICROSECOND)::DATE;

INSERT INTO rollup_day BY NAME
WITH hours_then AS (
    SELECT hour::DATE AS day, * EXCLUDE (hour)
    FROM rollup_hour
    WHERE hour >= getvariable('since')::DATE
        AND hour < (getvariable('until') - INTERVAL 1 MICROSECOND)::DATE + INTERVAL 1 DAY
)
FROM sums_again('hours_then')
ORDER BY dimension, id, day;
