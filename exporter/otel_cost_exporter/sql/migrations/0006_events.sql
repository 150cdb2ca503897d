-- What happens to budgets, as applications tell of it.

CREATE TABLE budget_events (
    event_ts      TIMESTAMP NOT NULL,
    event_id      UUID NOT NULL,
    received_ts   TIMESTAMP NOT NULL,
    kind          VARCHAR NOT NULL,
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR NOT NULL,
    period        VARCHAR,
    model         VARCHAR,
    limit_amount  DECIMAL(38, 12),
    spent         DECIMAL(38, 12),
    held          DECIMAL(38, 12),
    share         DECIMAL(38, 12),
    call_amount   DECIMAL(38, 12),
    trace_id      UUID,
    span_id       UBIGINT,
    service       VARCHAR,
    environment   VARCHAR,
    PRIMARY KEY (event_ts, event_id)
);
