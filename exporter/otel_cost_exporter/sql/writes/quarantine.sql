-- Calls that cannot stand in the books.
INSERT INTO quarantine BY NAME
SELECT *, $received_ts AS received_ts
FROM batch;
