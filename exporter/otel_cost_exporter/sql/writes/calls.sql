-- The calls of one batch into the books; one that stands there already is left as it is.
INSERT INTO calls BY NAME
SELECT * REPLACE (trace_id::UUID AS trace_id)
FROM batch
ON CONFLICT DO NOTHING;
