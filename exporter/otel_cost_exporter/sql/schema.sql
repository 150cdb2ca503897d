-- The books, as they stand after all migrations. This file is what one reads, migrations/ is what runs; a test proves
-- that both give the same. All times are UTC.

-- The version of the schema: the number of the last migration that ran.
CREATE TABLE schema_version (
    version     INTEGER PRIMARY KEY,
    applied_at  TIMESTAMP NOT NULL
);

-- One row for each call to a model. The key starts with the time, because new rows then touch only the youngest part of
-- its index: that keeps inserting fast however many rows there are.
CREATE TABLE calls (
    start_ts        TIMESTAMP NOT NULL,
    end_ts          TIMESTAMP,              -- NULL: not stated, or before the start
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    provider        VARCHAR,
    operation       VARCHAR,                -- chat, embeddings, ...
    request_model   VARCHAR,                -- the model asked
    response_model  VARCHAR,                -- the model that answered
    response_id     VARCHAR,
    input_tokens        BIGINT,             -- tokens are NULL where the call does not state them
    output_tokens       BIGINT,             -- reasoning included
    cache_read_tokens   BIGINT,             -- part of the input tokens
    cache_write_tokens  BIGINT,             -- part of the input tokens
    reasoning_tokens    BIGINT,             -- part of the output tokens
    cost            DECIMAL(18, 12),        -- US dollars; NULL: unknown, which is not zero
    cost_status     VARCHAR NOT NULL,       -- known, estimated, unknown
    cost_source     VARCHAR,                -- provider, local
    price_version   VARCHAR,
    cost_reason     VARCHAR,                -- why it is estimated or unknown
    outcome         VARCHAR NOT NULL,       -- ok, error, cut, refused
    attempts        INTEGER,                -- requests that left for this one call
    error_type      VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    project         VARCHAR,                -- who pays
    plan            VARCHAR,
    session         VARCHAR,
    run             VARCHAR,
    stage           VARCHAR,
    role            VARCHAR,
    scene           VARCHAR,
    task            VARCHAR,
    quest           VARCHAR,
    analysis        VARCHAR,
    extra           MAP(VARCHAR, VARCHAR),  -- the user's own dimensions
    failures        VARCHAR[],              -- each failed attempt: 429 insufficient_quota, ReadTimeout, ...
    waste           DECIMAL(18, 12),        -- US dollars that attempts may have cost which broke off, beside the cost
    waste_status    VARCHAR,                -- estimated, unknown; NULL: none broke off
    PRIMARY KEY (start_ts, trace_id, span_id)
);

-- The budget that was last seen to hold for an id of a dimension: US dollars or tokens, the other is NULL.
CREATE TABLE limits (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    limit_usd     DECIMAL(18, 12),
    limit_tokens  BIGINT,
    seen_ts       TIMESTAMP NOT NULL,       -- start of the call that carried it
    PRIMARY KEY (dimension, id)
);

-- The names of the dimensions that occur in the books, the shipped ones and the user's.
CREATE TABLE dimensions (
    dimension  VARCHAR PRIMARY KEY
);

-- The calls with what questions group by.
CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;
