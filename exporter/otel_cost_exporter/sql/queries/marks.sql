-- What it takes to recognise the calls of `came`, as numbers; 0 stands for what is not stated.
WITH calls_of AS (
    SELECT
        *,
        hash(trace_id::UUID) AS trace,
        -- An embedding within a chat is a call of its own.
        coalesce(operation = 'embeddings', false) AS embeds,
        charge IS NULL AS is_call
    FROM came
)
SELECT
    trace,
    hash(trace, span_id, embeds) AS span,
    CASE WHEN parent_span_id IS NULL OR NOT is_call THEN 0 ELSE hash(trace, parent_span_id, embeds) END AS parent,
    hash(service) AS service,
    CASE WHEN scope IS NULL THEN 0 ELSE hash(scope) END AS scope,
    hash(service, scope) AS source,
    CASE
        WHEN input_tokens IS NULL AND output_tokens IS NULL OR NOT is_call THEN 0
        -- Some say of an embedding that it gives no tokens, others do not say it.
        ELSE hash(input_tokens, coalesce(output_tokens, 0))
    END AS figures,
    coalesce(nullif(output_tokens, 0), input_tokens, 0) AS size,
    CASE WHEN response_id IS NULL OR NOT is_call THEN 0 ELSE hash(response_id) END AS response,
    CASE WHEN request_model IS NULL THEN 0 ELSE hash(bare_model(request_model)) END AS request_model,
    CASE WHEN response_model IS NULL THEN 0 ELSE hash(bare_model(response_model)) END AS response_model,
    epoch_us(start_ts) AS start,
    epoch_us(coalesce(end_ts, start_ts)) AS "end",
    metered AS exact,
    cost IS NOT NULL AS priced
FROM calls_of;
