-- How many calls name no id of a dimension: all calls, less those that name one. The reader inserts the sums of both at the
-- marker `sums`, and filters at `where`.
SELECT coalesce(sum(CASE dimension WHEN '' THEN row_count ELSE -row_count END), 0) AS calls
FROM (/* sums: */ FROM hourly WHERE dimension IN ('', 'run') /* :sums */) AS sums
WHERE true /* where */;
