-- The books, as they stand after all migrations. This file is what one reads, migrations/ is what runs; a test proves
-- that both give the same. All times are UTC.

-- The version of the schema: the number of the last migration that ran.
CREATE TABLE schema_version (
    version     INTEGER PRIMARY KEY,
    applied_at  TIMESTAMP NOT NULL
);

-- One row for each call to a model, and for each charge for something else. A call is the same as another if start, trace
-- and span are. There is no primary key for that: its index would take more time and memory than all else, and the only
-- writer looks among the rows of the same time before it inserts.
CREATE TABLE calls (
    start_ts        TIMESTAMP NOT NULL,
    end_ts          TIMESTAMP,              -- NULL: not stated, or before the start
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    parent_span_id  UBIGINT,                -- NULL: a root, or not stated
    metered         BOOLEAN NOT NULL DEFAULT true,  -- whether the application has said what the call cost
    received_ts     TIMESTAMP NOT NULL,     -- when the books took it
    scope           VARCHAR,                -- the instrumentation that told of it
    service         VARCHAR,
    environment     VARCHAR,
    provider        VARCHAR,
    operation       VARCHAR,                -- chat, embeddings, ...
    request_model   VARCHAR,                -- the model asked
    response_model  VARCHAR,                -- the model that answered
    response_id     VARCHAR,
    service_tier    VARCHAR,                -- NULL: the standard one, or not stated
    server          VARCHAR,                -- the host that was called: some prices depend on where that is
    input_tokens            BIGINT,         -- meters are NULL where the call does not state them
    output_tokens           BIGINT,         -- reasoning included
    cache_read_tokens       BIGINT,         -- part of the input tokens, as are all that follow up to video
    cache_write_tokens      BIGINT,
    cache_write_5m_tokens   BIGINT,         -- part of those written
    cache_write_1h_tokens   BIGINT,         -- likewise
    input_audio_tokens      BIGINT,
    cache_read_audio_tokens BIGINT,
    input_image_tokens      BIGINT,
    cache_read_image_tokens BIGINT,
    input_video_tokens      BIGINT,
    reasoning_tokens        BIGINT,         -- part of the output tokens, as are the next two
    output_audio_tokens     BIGINT,
    output_image_tokens     BIGINT,
    web_searches            BIGINT,
    file_searches           BIGINT,
    rerank_searches         BIGINT,
    audio_seconds           DECIMAL(18, 6),
    cost            DECIMAL(18, 12),        -- US dollars; NULL: unknown, which is not zero
    cost_status     VARCHAR NOT NULL,       -- known, estimated, unknown
    cost_source     VARCHAR,                -- provider; local: the application's prices; ledger: the prices here
    price_version   VARCHAR,
    price_terms     VARCHAR,                -- what else its price depends on: inference_geo=us,speed=fast
    cost_reason     VARCHAR,                -- why it is estimated or unknown
    lines           STRUCT(meter VARCHAR, quantity DECIMAL(18, 6), cost DECIMAL(18, 12))[],
                                            -- what each meter cost, in sum the cost; NULL where nobody can tell
    outcome         VARCHAR NOT NULL,       -- ok, error, cut, refused
    attempts        INTEGER,                -- requests that left for this one call
    error_type      VARCHAR,
    failures        VARCHAR[],              -- each failed attempt: 429 insufficient_quota, ReadTimeout, ...
    waste           DECIMAL(18, 12),        -- US dollars that attempts may have cost which broke off, beside the cost
    waste_status    VARCHAR,                -- estimated, unknown; NULL: none broke off
    charge          VARCHAR,                -- what else was paid for, such as web_search; NULL: a call to a model
    units           DECIMAL(18, 6),         -- how much of that
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
    extra           MAP(VARCHAR, VARCHAR)   -- the user's own dimensions
);

-- Sums of calls by the hour: one row for each dimension that a call names, and one for all calls (an empty dimension), by
-- all that is below `id` up to `charge`. Each commit appends what it adds to the fresh ones; now and then these are merged
-- into the hours and the days, so what holds for an hour is the sum over both.
CREATE TABLE rollup_fresh (
    hour            TIMESTAMP NOT NULL,
    dimension       VARCHAR NOT NULL,       -- empty: all calls
    id              VARCHAR NOT NULL,       -- empty with an empty dimension
    project         VARCHAR,                -- whose, whatever the dimension
    provider        VARCHAR,
    model           VARCHAR,                -- the one that answered, else the one asked
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,        -- how many rows of calls
    cost            DECIMAL(38, 12),        -- their sum; NULL where none has a cost
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,    -- failed attempts
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste       BIGINT NOT NULL,    -- how many of which nobody knows what their waste cost
    first_ts        TIMESTAMP NOT NULL,     -- the earliest start among them and any that were taken back
    last_ts         TIMESTAMP NOT NULL
);

CREATE TABLE rollup_hour (
    hour            TIMESTAMP NOT NULL,
    dimension       VARCHAR NOT NULL,       -- empty: all calls
    id              VARCHAR NOT NULL,       -- empty with an empty dimension
    project         VARCHAR,                -- whose, whatever the dimension
    provider        VARCHAR,
    model           VARCHAR,                -- the one that answered, else the one asked
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,        -- how many rows of calls
    cost            DECIMAL(38, 12),        -- their sum; NULL where none has a cost
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,    -- failed attempts
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste       BIGINT NOT NULL,    -- how many of which nobody knows what their waste cost
    first_ts        TIMESTAMP NOT NULL,     -- the earliest start among them and any that were taken back
    last_ts         TIMESTAMP NOT NULL
);

CREATE TABLE rollup_day (
    day             DATE NOT NULL,
    dimension       VARCHAR NOT NULL,       -- empty: all calls
    id              VARCHAR NOT NULL,       -- empty with an empty dimension
    project         VARCHAR,                -- whose, whatever the dimension
    provider        VARCHAR,
    model           VARCHAR,                -- the one that answered, else the one asked
    service         VARCHAR,
    environment     VARCHAR,
    operation       VARCHAR,
    outcome         VARCHAR NOT NULL,
    cost_status     VARCHAR NOT NULL,
    charge          VARCHAR,
    row_count       BIGINT NOT NULL,        -- how many rows of calls
    cost            DECIMAL(38, 12),        -- their sum; NULL where none has a cost
    input_tokens        BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    cache_read_tokens   BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    failures            BIGINT NOT NULL,    -- failed attempts
    waste               DECIMAL(38, 12) NOT NULL,
    unknown_waste       BIGINT NOT NULL,    -- how many of which nobody knows what their waste cost
    first_ts        TIMESTAMP NOT NULL,     -- the earliest start among them and any that were taken back
    last_ts         TIMESTAMP NOT NULL
);

-- Up to which day sums are in order: in blocks of days in which the sums of one dimension stand together, so that a question
-- about one need not read the others. A merge leaves them day by day.
CREATE TABLE in_order (
    what       VARCHAR PRIMARY KEY,     -- hours, days
    until_day  DATE NOT NULL
);

-- Calls that came and cannot stand in the books, with no word of their content.
CREATE TABLE quarantine (
    received_ts   TIMESTAMP NOT NULL,
    start_ts      TIMESTAMP,
    trace_id      VARCHAR,                  -- as it came, in hex
    span_id       VARCHAR,
    service       VARCHAR,
    model         VARCHAR,
    reason        VARCHAR NOT NULL
);

-- From when the books are kept: what was older has been pruned, and what still comes of it goes to the quarantine.
CREATE TABLE kept (
    what      VARCHAR PRIMARY KEY,      -- calls, rollups
    since_ts  TIMESTAMP NOT NULL
);

-- What ids with a budget spent in the time whose sums have been pruned: a budget for the life of an id counts it still.
CREATE TABLE spent_before (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    outcome       VARCHAR NOT NULL,
    cost_status   VARCHAR NOT NULL,
    row_count     BIGINT NOT NULL,
    cost          DECIMAL(38, 12) NOT NULL,
    input_tokens  BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    waste         DECIMAL(38, 12) NOT NULL,
    last_ts       TIMESTAMP NOT NULL,
    PRIMARY KEY (dimension, id, outcome, cost_status)
);

-- What calls had cost before they were priced anew.
CREATE TABLE former_costs (
    repriced_ts     TIMESTAMP NOT NULL,     -- when that was, the same for all that were priced anew together
    start_ts        TIMESTAMP NOT NULL,     -- of the call
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    cost            DECIMAL(18, 12),        -- these and the rest as they were
    cost_status     VARCHAR NOT NULL,
    cost_source     VARCHAR,
    price_version   VARCHAR,
    cost_reason     VARCHAR,
    lines           STRUCT(meter VARCHAR, quantity DECIMAL(18, 6), cost DECIMAL(18, 12))[]
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

-- What has been spent of the budgets that processes share, as the service settles their calls. It has them at hand, and
-- writes down here every second what has changed.
CREATE TABLE budget_accounts (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR NOT NULL,         -- USD, tokens
    period        VARCHAR NOT NULL,         -- of a window: its span, first moment and time zone; empty for the id's life
    limit_amount  DECIMAL(38, 12),          -- the one that calls brought last, or that somebody put in its place
    spent         DECIMAL(38, 12) NOT NULL,
    calls         BIGINT NOT NULL,
    booked_ts     TIMESTAMP NOT NULL,
    PRIMARY KEY (dimension, id, unit, period)
);

-- What people decided about budgets, one row each time. The last one of a kind holds.
CREATE TABLE budget_orders (
    given_ts      TIMESTAMP NOT NULL,
    given_by      VARCHAR NOT NULL,
    kind          VARCHAR NOT NULL,         -- limit, stop, resume
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR,                  -- of a limit; the others are for all accounts of the id
    period        VARCHAR,                  -- likewise
    limit_amount  DECIMAL(38, 12),
    reason        VARCHAR                   -- of a stop
);

-- What happens to budgets, as applications tell of it.
CREATE TABLE budget_events (
    event_ts      TIMESTAMP NOT NULL,
    event_id      UUID NOT NULL,            -- the same each time that it is sent
    received_ts   TIMESTAMP NOT NULL,       -- when the books took it
    kind          VARCHAR NOT NULL,         -- warned, exceeded, paused, resumed, stopped, downgraded
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR NOT NULL,         -- USD, tokens: what the amounts are in
    period        VARCHAR,                  -- of a window; NULL for the id's life
    model         VARCHAR,                  -- the one that its call asked for
    limit_amount  DECIMAL(38, 12),
    spent         DECIMAL(38, 12),
    held          DECIMAL(38, 12),          -- by calls under way
    share         DECIMAL(38, 12),          -- of the limit, that was reached
    call_amount   DECIMAL(38, 12),          -- what its call asked for
    trace_id      UUID,                     -- of the call
    span_id       UBIGINT,
    service       VARCHAR,
    environment   VARCHAR,
    PRIMARY KEY (event_ts, event_id)
);

-- The calls with what questions group by.
CREATE VIEW facts AS
SELECT
    *,
    coalesce(response_model, request_model) AS model,
    date_trunc('hour', start_ts) AS hour,
    start_ts::DATE AS day
FROM calls;

-- The name of a model without who makes or serves it, its date and its version: gpt-4o of openai/gpt-4o-2024-08-06.
CREATE MACRO bare_model(name) AS
    regexp_replace(
        regexp_replace(regexp_replace(lower(name), '^.*/', ''), '^([a-z][a-z-]*\.)+', ''),
        '(-\d{4}-?\d{2}-?\d{2})?(-v\d+(:\d+)?)?$',
        ''
    );

-- The sums of calls by hour, as rollup_fresh holds them, of any table with the columns of calls: FROM sums_of('calls').
CREATE MACRO sums_of(source) AS TABLE
WITH payers AS (
    SELECT
        date_trunc('hour', start_ts) AS hour,
        -- A call counts once among all calls, and once for each dimension that it names.
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

-- The sums of sums, by hour or by day, whichever the table has: FROM sums_again('hourly'). What a call added is taken back
-- by a row below zero, so a sum of no calls is none.
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

-- All sums there are, by hour and by day. One group may stand there in several rows, which sums_again adds up.
CREATE VIEW hourly AS
FROM rollup_hour
UNION ALL BY NAME
FROM rollup_fresh;

CREATE VIEW daily AS
FROM rollup_day
UNION ALL BY NAME
SELECT hour::DATE AS day, * EXCLUDE (hour) FROM rollup_fresh;

-- What was paid, in the columns and allowed values of the FinOps Open Cost and Usage Specification (FOCUS) 1.4, dataset
-- Cost and Usage: one row for each meter of a call, or one for the call where nobody can tell its meters. Calls of unknown
-- cost are not among them, for there is no charge without an amount.
CREATE VIEW focus AS
WITH charged AS (
    SELECT
        *,
        coalesce(provider, 'unknown') AS seller,
        coalesce(charge, response_model, request_model, 'unknown') AS sku,
        unnest(coalesce(lines, [{
            'meter': CASE WHEN charge IS NULL THEN 'requests' ELSE 'units' END,
            'quantity': coalesce(units, 1)::DECIMAL(18, 6),
            'cost': cost
        }])) AS line
    FROM calls
    WHERE cost IS NOT NULL AND outcome <> 'refused'
)
SELECT
    line.cost AS BilledCost,
    seller AS BillingAccountId,             -- which of its accounts pays, a call does not say
    NULL::VARCHAR AS BillingAccountName,
    'USD' AS BillingCurrency,
    (date_trunc('month', start_ts) + INTERVAL 1 MONTH)::TIMESTAMP AS BillingPeriodEnd,
    date_trunc('month', start_ts)::TIMESTAMP AS BillingPeriodStart,
    'Usage' AS ChargeCategory,
    NULL::VARCHAR AS ChargeClass,           -- no correction
    concat(sku, ': ', replace(line.meter, '_', ' ')) AS ChargeDescription,
    'Usage-Based' AS ChargeFrequency,
    date_trunc('hour', start_ts) + INTERVAL 1 HOUR AS ChargePeriodEnd,
    date_trunc('hour', start_ts) AS ChargePeriodStart,
    line.quantity AS ConsumedQuantity,
    CASE
        WHEN line.meter LIKE '%tokens' THEN 'Tokens'
        WHEN line.meter LIKE '%searches' THEN 'Searches'
        WHEN line.meter LIKE '%seconds' THEN 'Seconds'
        WHEN line.meter LIKE 'request%' THEN 'Requests'
        ELSE 'Units'
    END AS ConsumedUnit,
    line.cost AS ContractedCost,
    line.cost AS EffectiveCost,
    seller AS HostProviderName,
    NULL::VARCHAR AS InvoiceId,
    seller AS InvoiceIssuerName,
    line.cost AS ListCost,
    'Standard' AS PricingCategory,
    CASE
        WHEN line.meter LIKE '%tokens' THEN (line.quantity * 0.000001)::DECIMAL(30, 12)
        ELSE line.quantity::DECIMAL(30, 12)
    END AS PricingQuantity,
    CASE WHEN ConsumedUnit = 'Tokens' THEN '1000000 Tokens' ELSE ConsumedUnit END AS PricingUnit,
    CASE WHEN charge IS NULL THEN 'AI and Machine Learning' ELSE 'Other' END AS ServiceCategory,
    CASE WHEN charge IS NULL THEN 'Model API' ELSE charge END AS ServiceName,
    seller AS ServiceProviderName,
    CASE WHEN charge IS NULL THEN 'Generative AI' ELSE 'Other (Other)' END AS ServiceSubcategory,
    sku AS SkuId,
    replace(line.meter, '_', ' ') AS SkuMeter,
    concat_ws('/', sku, line.meter, service_tier) AS SkuPriceId,
    project AS SubAccountId,
    project AS SubAccountName,
    to_json(map_from_entries(list_filter(
        [
            {'key': 'project', 'value': project}, {'key': 'plan', 'value': plan}, {'key': 'session', 'value': session},
            {'key': 'run', 'value': run}, {'key': 'stage', 'value': stage}, {'key': 'role', 'value': "role"},
            {'key': 'scene', 'value': scene}, {'key': 'task', 'value': task}, {'key': 'quest', 'value': quest},
            {'key': 'analysis', 'value': analysis}, {'key': 'service.name', 'value': service},
            {'key': 'deployment.environment.name', 'value': environment}
        ] || coalesce(map_entries(extra), []),
        lambda entry: entry.value IS NOT NULL
    )))::VARCHAR AS Tags,
    cost_status AS x_CostStatus,            -- known, estimated
    cost_source AS x_CostSource,
    price_version AS x_PriceVersion,
    service_tier AS x_ServiceTier,
    start_ts AS x_CallStart,
    replace(trace_id::VARCHAR, '-', '') AS x_TraceId,
    printf('%016x', span_id) AS x_SpanId
FROM charged;
