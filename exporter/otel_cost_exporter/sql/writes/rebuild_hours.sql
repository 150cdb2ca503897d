-- The sums of the hours from the variable `since` to before `until`, made anew from the calls.
DELETE FROM rollup_fresh WHERE hour >= getvariable('since') AND hour < getvariable('until');
DELETE FROM rollup_hour WHERE hour >= getvariable('since') AND hour < getvariable('until');

INSERT INTO rollup_hour BY NAME
WITH calls_then AS (
    SELECT * FROM calls WHERE start_ts >= getvariable('since') AND start_ts < getvariable('until')
)
FROM sums_of('calls_then')
ORDER BY dimension, id, hour;
