-- What comes first among sums, and nothing that is not needed to tell. The reader inserts sums.sql, and columns at `also`.
SELECT by_0 /* also */
FROM (/* sums: */ SELECT id AS by_0 FROM hourly WHERE dimension <> '' /* :sums */) AS sums;
