-- The budget that holds for the life of an id, and what is left of it. Whoever shares budgets has put it at its account;
-- the calls in the books may have spent more than that: $cost, $waste and $tokens are those whose sums are in the books.
WITH put AS (
    SELECT unit, limit_amount
    FROM budget_orders
    WHERE kind = 'limit' AND dimension = $dimension AND id = $id AND coalesce(period, '') = ''
    QUALIFY row_number() OVER (PARTITION BY unit ORDER BY given_ts DESC) = 1
),
brought AS (
    SELECT limit_usd, limit_tokens
    FROM limits
    WHERE dimension = $dimension AND id = $id
),
holds AS (
    SELECT
        coalesce(
            (SELECT limit_amount FROM put WHERE unit = 'USD'), (SELECT limit_usd FROM brought)
        ) AS limit_usd,
        coalesce(
            (SELECT limit_amount::BIGINT FROM put WHERE unit = 'tokens'), (SELECT limit_tokens FROM brought)
        ) AS limit_tokens
),
booked AS (
    SELECT
        coalesce(max(spent) FILTER (unit = 'USD'), 0) AS usd,
        coalesce(max(spent) FILTER (unit = 'tokens'), 0)::BIGINT AS tokens
    FROM budget_accounts
    WHERE dimension = $dimension AND id = $id AND period = ''
),
counted AS (
    SELECT
        coalesce($cost::DECIMAL(38, 12), 0) + $waste::DECIMAL(38, 12)
            + coalesce(sum(cost), 0) + coalesce(sum(waste), 0) AS usd,
        ($tokens + coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0))::BIGINT AS tokens
    FROM spent_before
    WHERE dimension = $dimension AND id = $id
)
SELECT
    limit_usd,
    CASE WHEN limit_usd IS NOT NULL THEN greatest(limit_usd - greatest(counted.usd, booked.usd), 0) END AS remaining_usd,
    limit_tokens,
    CASE
        WHEN limit_tokens IS NOT NULL THEN greatest(limit_tokens - greatest(counted.tokens, booked.tokens), 0)
    END AS remaining_tokens
FROM holds, booked, counted;
