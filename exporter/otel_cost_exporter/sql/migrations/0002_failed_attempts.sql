-- What became of a call's failed attempts, and what those that broke off may have cost.

DROP VIEW facts;

ALTER TABLE calls ADD COLUMN failures VARCHAR[];
ALTER TABLE calls ADD COLUMN waste DECIMAL(18, 12);
ALTER TABLE calls ADD COLUMN waste_status VARCHAR;

CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;
