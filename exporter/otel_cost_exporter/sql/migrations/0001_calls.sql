-- One row for each call, and what must be at hand without reading them all.

CREATE TABLE calls (
    start_ts        TIMESTAMP NOT NULL,
    end_ts          TIMESTAMP,
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    provider        VARCHAR,
    operation       VARCHAR,
    request_model   VARCHAR,
    response_model  VARCHAR,
    response_id     VARCHAR,
    input_tokens        BIGINT,
    output_tokens       BIGINT,
    cache_read_tokens   BIGINT,
    cache_write_tokens  BIGINT,
    reasoning_tokens    BIGINT,
    cost            DECIMAL(18, 12),
    cost_status     VARCHAR NOT NULL,
    cost_source     VARCHAR,
    price_version   VARCHAR,
    cost_reason     VARCHAR,
    outcome         VARCHAR NOT NULL,
    attempts        INTEGER,
    error_type      VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    project         VARCHAR,
    plan            VARCHAR,
    session         VARCHAR,
    run             VARCHAR,
    stage           VARCHAR,
    role            VARCHAR,
    scene           VARCHAR,
    task            VARCHAR,
    quest           VARCHAR,
    analysis        VARCHAR,
    extra           MAP(VARCHAR, VARCHAR),
    PRIMARY KEY (start_ts, trace_id, span_id)
);

CREATE TABLE limits (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    limit_usd     DECIMAL(18, 12),
    limit_tokens  BIGINT,
    seen_ts       TIMESTAMP NOT NULL,
    PRIMARY KEY (dimension, id)
);

CREATE TABLE dimensions (
    dimension  VARCHAR PRIMARY KEY
);

CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;
