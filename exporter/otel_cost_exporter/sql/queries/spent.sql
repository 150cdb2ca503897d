-- What calls have spent, as budgets count it: with what attempts that broke off may have cost. The reader inserts which
-- calls, one of counted_*.sql or several of them together, at the marker `counted`, and filters at `where`.
WITH counted AS NOT MATERIALIZED (/* counted: */ FROM hourly WHERE dimension = '' /* :counted */)
SELECT
    coalesce(sum(cost), 0) + coalesce(sum(waste), 0) AS spent_usd,
    coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS spent_tokens,
    coalesce(sum(row_count) FILTER (outcome <> 'refused' AND charge IS NULL), 0) AS calls
FROM counted
WHERE true /* where */;
