-- Sums from before the variable `until` go. What they say of ids that have a budget for life is kept as one sum; of its
-- rows, those that are calls: a charge is none.
INSERT INTO spent_before
SELECT
    dimension, id, outcome, cost_status, coalesce(sum(row_count) FILTER (charge IS NULL), 0), coalesce(sum(cost), 0),
    sum(input_tokens), sum(output_tokens), sum(waste), max(last_ts)
FROM daily
SEMI JOIN (
    SELECT dimension, id FROM limits
    UNION ALL
    SELECT dimension, id FROM budget_accounts WHERE period = ''
    UNION ALL
    SELECT dimension, id FROM budget_orders WHERE kind = 'limit' AND coalesce(period, '') = ''
) AS budgets USING (dimension, id)
WHERE day < getvariable('until')::DATE
GROUP BY ALL
ON CONFLICT (dimension, id, outcome, cost_status) DO UPDATE SET
    row_count = spent_before.row_count + excluded.row_count,
    cost = spent_before.cost + excluded.cost,
    input_tokens = spent_before.input_tokens + excluded.input_tokens,
    output_tokens = spent_before.output_tokens + excluded.output_tokens,
    waste = spent_before.waste + excluded.waste,
    last_ts = greatest(spent_before.last_ts, excluded.last_ts);
DELETE FROM rollup_fresh WHERE hour < getvariable('until');
DELETE FROM rollup_hour WHERE hour < getvariable('until');
DELETE FROM rollup_day WHERE day < getvariable('until')::DATE;
