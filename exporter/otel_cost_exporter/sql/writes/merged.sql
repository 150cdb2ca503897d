-- A merge is done with its tables.
DROP TABLE merging;
DROP TABLE merged_hours;
DROP TABLE merged_days;
