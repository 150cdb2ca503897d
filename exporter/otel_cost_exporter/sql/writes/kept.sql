-- What is older has been pruned.
INSERT INTO kept VALUES ($what, $since)
ON CONFLICT (what) DO UPDATE SET since_ts = greatest(kept.since_ts, excluded.since_ts);
