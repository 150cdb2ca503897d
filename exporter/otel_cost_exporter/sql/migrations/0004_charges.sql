-- What applications pay for beside calls to models: rows of the same table that name what was charged.

DROP VIEW facts;

ALTER TABLE calls ADD COLUMN charge VARCHAR;
ALTER TABLE calls ADD COLUMN units DECIMAL(18, 6);

CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;
