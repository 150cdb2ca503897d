-- What names no id of a dimension, from sums: of all calls, less of those that name one. The reader inserts the sums of both
-- at the marker.
SELECT
    * EXCLUDE (dimension, first_ts, last_ts) REPLACE (
        CASE dimension WHEN '' THEN row_count ELSE -row_count END AS row_count,
        CASE dimension WHEN '' THEN cost ELSE -cost END AS cost,
        CASE dimension WHEN '' THEN input_tokens ELSE -input_tokens END AS input_tokens,
        CASE dimension WHEN '' THEN output_tokens ELSE -output_tokens END AS output_tokens,
        CASE dimension WHEN '' THEN cache_read_tokens ELSE -cache_read_tokens END AS cache_read_tokens,
        CASE dimension WHEN '' THEN cache_write_tokens ELSE -cache_write_tokens END AS cache_write_tokens,
        CASE dimension WHEN '' THEN reasoning_tokens ELSE -reasoning_tokens END AS reasoning_tokens,
        CASE dimension WHEN '' THEN waste ELSE -waste END AS waste,
        CASE dimension WHEN '' THEN unknown_waste ELSE -unknown_waste END AS unknown_waste
    ),
    NULL::TIMESTAMP AS first_ts,
    NULL::TIMESTAMP AS last_ts
FROM (/* sums */) AS sums
