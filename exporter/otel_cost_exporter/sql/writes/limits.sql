-- The limits that the calls of one batch carried. The youngest holds, in whatever order they arrive; of two at the same
-- instant the same one always wins.
INSERT INTO limits
SELECT dimension, id, latest.limit_usd, latest.limit_tokens, latest.seen_ts
FROM (
    SELECT
        dimension,
        id,
        max({'seen_ts': seen_ts, 'limit_usd': limit_usd, 'limit_tokens': limit_tokens}) AS latest
    FROM batch
    GROUP BY dimension, id
)
ON CONFLICT (dimension, id) DO UPDATE SET
    limit_usd = excluded.limit_usd,
    limit_tokens = excluded.limit_tokens,
    seen_ts = excluded.seen_ts
WHERE ROW(excluded.seen_ts, excluded.limit_usd, excluded.limit_tokens)
    > ROW(limits.seen_ts, limits.limit_usd, limits.limit_tokens);
