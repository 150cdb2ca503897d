-- Budgets that processes share: what has been spent of each, and what people decided.

CREATE TABLE budget_accounts (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR NOT NULL,
    period        VARCHAR NOT NULL,
    limit_amount  DECIMAL(38, 12),
    spent         DECIMAL(38, 12) NOT NULL,
    calls         BIGINT NOT NULL,
    booked_ts     TIMESTAMP NOT NULL,
    PRIMARY KEY (dimension, id, unit, period)
);

CREATE TABLE budget_orders (
    given_ts      TIMESTAMP NOT NULL,
    given_by      VARCHAR NOT NULL,
    kind          VARCHAR NOT NULL,
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    unit          VARCHAR,
    period        VARCHAR,
    limit_amount  DECIMAL(38, 12),
    reason        VARCHAR
);
