-- Books for many calls: rows without an index, all meters, what each of them cost, sums by hour and day, and what cannot
-- stand in the books. The calls so far are taken over, and so are their sums.

DROP VIEW facts;
ALTER TABLE calls RENAME TO former_calls;

CREATE TABLE calls (
    start_ts        TIMESTAMP NOT NULL,
    end_ts          TIMESTAMP,
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    parent_span_id  UBIGINT,
    metered         BOOLEAN NOT NULL DEFAULT true,
    received_ts     TIMESTAMP NOT NULL,
    scope           VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    provider        VARCHAR,
    operation       VARCHAR,
    request_model   VARCHAR,
    response_model  VARCHAR,
    response_id     VARCHAR,
    service_tier    VARCHAR,
    server          VARCHAR,
    input_tokens            BIGINT,
    output_tokens           BIGINT,
    cache_read_tokens       BIGINT,
    cache_write_tokens      BIGINT,
    cache_write_5m_tokens   BIGINT,
    cache_write_1h_tokens   BIGINT,
    input_audio_tokens      BIGINT,
    cache_read_audio_tokens BIGINT,
    input_image_tokens      BIGINT,
    cache_read_image_tokens BIGINT,
    input_video_tokens      BIGINT,
    reasoning_tokens        BIGINT,
    output_audio_tokens     BIGINT,
    output_image_tokens     BIGINT,
    web_searches            BIGINT,
    file_searches           BIGINT,
    rerank_searches         BIGINT,
    audio_seconds           DECIMAL(18, 6),
    cost            DECIMAL(18, 12),
    cost_status     VARCHAR NOT NULL,
    cost_source     VARCHAR,
    price_version   VARCHAR,
    price_terms     VARCHAR,
    cost_reason     VARCHAR,
    lines           STRUCT(meter VARCHAR, quantity DECIMAL(18, 6), cost DECIMAL(18, 12))[],
    outcome         VARCHAR NOT NULL,
    attempts        INTEGER,
    error_type      VARCHAR,
    failures        VARCHAR[],
    waste           DECIMAL(18, 12),
    waste_status    VARCHAR,
    charge          VARCHAR,
    units           DECIMAL(18, 6),
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
    extra           MAP(VARCHAR, VARCHAR)
);

INSERT INTO calls BY NAME
SELECT *, start_ts AS received_ts
FROM former_calls
ORDER BY start_ts;

DROP TABLE former_calls;

CREATE TABLE rollup_fresh (
    hour            TIMESTAMP NOT NULL,
    dimension       VARCHAR NOT NULL,
    id              VARCHAR NOT NULL,
    project         VARCHAR,
    provider        VARCHAR,
    model           VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,
    cost            DECIMAL(38, 12),
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste      BIGINT NOT NULL,
    first_ts        TIMESTAMP NOT NULL,
    last_ts         TIMESTAMP NOT NULL
);

CREATE TABLE rollup_hour (
    hour            TIMESTAMP NOT NULL,
    dimension       VARCHAR NOT NULL,
    id              VARCHAR NOT NULL,
    project         VARCHAR,
    provider        VARCHAR,
    model           VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,
    cost            DECIMAL(38, 12),
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste      BIGINT NOT NULL,
    first_ts        TIMESTAMP NOT NULL,
    last_ts         TIMESTAMP NOT NULL
);

CREATE TABLE rollup_day (
    day             DATE NOT NULL,
    dimension       VARCHAR NOT NULL,
    id              VARCHAR NOT NULL,
    project         VARCHAR,
    provider        VARCHAR,
    model           VARCHAR,
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,
    cost            DECIMAL(38, 12),
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste      BIGINT NOT NULL,
    first_ts        TIMESTAMP NOT NULL,
    last_ts         TIMESTAMP NOT NULL
);

CREATE TABLE quarantine (
    received_ts   TIMESTAMP NOT NULL,
    start_ts      TIMESTAMP,
    trace_id      VARCHAR,
    span_id       VARCHAR,
    service       VARCHAR,
    model         VARCHAR,
    reason        VARCHAR NOT NULL
);

CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;

CREATE MACRO bare_model(name) AS
    regexp_replace(
        regexp_replace(regexp_replace(lower(name), '^.*/', ''), '^([a-z][a-z-]*\.)+', ''),
        '(-\d{4}-?\d{2}-?\d{2})?(-v\d+(:\d+)?)?$',
        ''
    );

CREATE MACRO sums_of(source) AS TABLE
WITH payers AS (
    SELECT
        date_trunc('hour', start_ts) AS hour,
        unnest([
            {'dimension': '', 'id': ''}, {'dimension': 'project', 'id': project}, {'dimension': 'plan', 'id': plan},
            {'dimension': 'session', 'id': session}, {'dimension': 'run', 'id': run},
            {'dimension': 'stage', 'id': stage}, {'dimension': 'role', 'id': "role"},
            {'dimension': 'scene', 'id': scene}, {'dimension': 'task', 'id': task},
            {'dimension': 'quest', 'id': quest}, {'dimension': 'analysis', 'id': analysis}
        ] || [{'dimension': entry.key, 'id': entry.value} FOR entry IN map_entries(coalesce(extra, MAP {}))]) AS payer,
        project, provider, coalesce(response_model, request_model) AS model, service, environment, operation, outcome,
        cost_status, charge, cost, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
        attempts, len(failures) AS failures, waste, waste_status, start_ts
    FROM query_table(source)
)
SELECT
    hour, payer.dimension AS dimension, payer.id AS id,
    project, provider, model, service, environment, operation, outcome, cost_status, charge,
    count(*) AS row_count,
    sum(cost) AS cost,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens,
    coalesce(sum(cache_write_tokens), 0)::BIGINT AS cache_write_tokens,
    coalesce(sum(reasoning_tokens), 0)::BIGINT AS reasoning_tokens,
    coalesce(sum(attempts), 0)::BIGINT AS attempts,
    coalesce(sum(failures), 0)::BIGINT AS failures,
    coalesce(sum(waste), 0)::DECIMAL(38, 12) AS waste,
    count(*) FILTER (waste_status = 'unknown') AS unknown_waste,
    min(start_ts) AS first_ts,
    max(start_ts) AS last_ts
FROM payers
WHERE payer.id IS NOT NULL
GROUP BY ALL;

CREATE MACRO sums_again(source) AS TABLE
SELECT
    COLUMNS('^(hour|day)$'),
    dimension, id, project, provider, model, service, environment, operation, outcome, cost_status, charge,
    sum(row_count)::BIGINT AS row_count,
    sum(cost) AS cost,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(cache_read_tokens)::BIGINT AS cache_read_tokens,
    sum(cache_write_tokens)::BIGINT AS cache_write_tokens,
    sum(reasoning_tokens)::BIGINT AS reasoning_tokens,
    sum(attempts)::BIGINT AS attempts,
    sum(failures)::BIGINT AS failures,
    sum(waste) AS waste,
    sum(unknown_waste)::BIGINT AS unknown_waste,
    min(first_ts) AS first_ts,
    max(last_ts) AS last_ts
FROM query_table(source)
GROUP BY ALL
HAVING sum(row_count) > 0;

CREATE VIEW hourly AS
FROM rollup_hour
UNION ALL BY NAME
FROM rollup_fresh;

CREATE VIEW daily AS
FROM rollup_day
UNION ALL BY NAME
SELECT hour::DATE AS day, * EXCLUDE (hour) FROM rollup_fresh;

INSERT INTO rollup_hour BY NAME
FROM sums_of('calls')
ORDER BY dimension, id, hour;

CREATE TEMP VIEW days AS
SELECT hour::DATE AS day, * EXCLUDE (hour) FROM rollup_hour;

INSERT INTO rollup_day BY NAME
FROM sums_again('days')
ORDER BY dimension, id, day;

DROP VIEW days;
