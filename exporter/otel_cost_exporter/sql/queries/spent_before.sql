-- What the id of a dimension spent in the time whose sums have been pruned, as budgets count it.
SELECT
    coalesce(sum(cost), 0) + coalesce(sum(waste), 0) AS spent_usd,
    coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS spent_tokens,
    coalesce(sum(row_count) FILTER (outcome <> 'refused'), 0) AS calls
FROM spent_before
WHERE dimension = $dimension AND id = $id;
