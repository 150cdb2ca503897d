-- The days that a merge has worked out.
INSERT INTO rollup_day BY NAME FROM merged_days ORDER BY dimension, id, day;
