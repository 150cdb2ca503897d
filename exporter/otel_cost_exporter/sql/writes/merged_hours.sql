-- The hours that a merge has worked out.
INSERT INTO rollup_hour BY NAME FROM merged_hours ORDER BY dimension, id, hour;
