-- The sums of the hours from the variable `since` until `until`, in order.
CREATE OR REPLACE TEMP TABLE block AS
FROM rollup_hour WHERE hour >= getvariable('since') AND hour < getvariable('until');

DELETE FROM rollup_hour WHERE hour >= getvariable('since') AND hour < getvariable('until');
INSERT INTO rollup_hour FROM block ORDER BY dimension, id, hour;
DROP TABLE block;
