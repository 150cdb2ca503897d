-- How many sums are fresh: in no hour and day yet.
SELECT count(*) AS fresh FROM rollup_fresh;
