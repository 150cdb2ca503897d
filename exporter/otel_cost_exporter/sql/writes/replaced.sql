-- Calls that were priced here go, as the application has told of them itself; `gone` names them. Their sums are taken back.
CREATE OR REPLACE TEMP TABLE replaced AS
FROM calls
SEMI JOIN gone ON
    calls.start_ts = make_timestamp(gone.start)
    AND hash(hash(calls.trace_id), calls.span_id, coalesce(calls.operation = 'embeddings', false)) = gone.span;

INSERT INTO rollup_fresh BY NAME
SELECT * REPLACE (
    -row_count AS row_count,
    -cost AS cost,
    -input_tokens AS input_tokens,
    -output_tokens AS output_tokens,
    -cache_read_tokens AS cache_read_tokens,
    -cache_write_tokens AS cache_write_tokens,
    -reasoning_tokens AS reasoning_tokens,
    -attempts AS attempts,
    -failures AS failures,
    -waste AS waste,
    -unknown_waste AS unknown_waste
)
FROM sums_of('replaced');

DELETE FROM calls
USING replaced
WHERE calls.start_ts = replaced.start_ts
    AND calls.trace_id = replaced.trace_id
    AND calls.span_id = replaced.span_id;

DROP TABLE replaced;
