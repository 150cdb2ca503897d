-- Up to which day sums are in order.

CREATE TABLE in_order (
    what       VARCHAR PRIMARY KEY,
    until_day  DATE NOT NULL
);
