-- The calls of one commit, none of which stands in the books, into the books.
INSERT INTO calls BY NAME
SELECT * REPLACE (trace_id::UUID AS trace_id), $received_ts AS received_ts
FROM fresh;
