-- Between which times ids of a dimension have calls, as the sums of days tell. Only days from $since to $until count, so that
-- no others are looked at.
SELECT min(first_ts) AS first_ts, max(last_ts) AS last_ts
FROM daily
WHERE dimension = $dimension AND list_contains($ids, id) AND day >= $since::DATE AND day <= $until::DATE;
