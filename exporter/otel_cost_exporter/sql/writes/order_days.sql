-- The sums of the days from the variable `since` until `until`, in order.
CREATE OR REPLACE TEMP TABLE block AS
FROM rollup_day WHERE day >= getvariable('since')::DATE AND day < getvariable('until')::DATE;

DELETE FROM rollup_day WHERE day >= getvariable('since')::DATE AND day < getvariable('until')::DATE;
INSERT INTO rollup_day FROM block ORDER BY dimension, id, day;
DROP TABLE block;
