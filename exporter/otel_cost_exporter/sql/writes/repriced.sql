-- What the calls of `repriced` cost now.
UPDATE calls SET
    cost = repriced.cost,
    cost_status = repriced.cost_status,
    cost_source = repriced.cost_source,
    price_version = repriced.price_version,
    cost_reason = repriced.cost_reason,
    lines = repriced.lines
FROM repriced
WHERE calls.start_ts >= $since AND calls.start_ts < $until AND calls.rowid = repriced.row;
