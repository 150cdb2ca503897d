-- What the calls of `repriced` have cost so far.
INSERT INTO former_costs
SELECT $repriced_ts, start_ts, trace_id, span_id, cost, cost_status, cost_source, price_version, cost_reason, lines
FROM calls
WHERE start_ts >= $since AND start_ts < $until AND rowid IN (SELECT row FROM repriced);
