-- The calls that can be priced anew from their tokens, by the columns that prices depend on, and what they cost so far.
-- Not those whose provider stated the cost, that nobody charged for, or whose usage is not known. Runs as it is, for the
-- whole of the books; `reprice` takes one part after the other at the marker.
SELECT
    rowid AS row,
    start_ts,
    provider,
    request_model,
    response_model,
    service_tier,
    server,
    price_terms,
    outcome,
    charge,
    units,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    input_audio_tokens, cache_read_audio_tokens, input_image_tokens, cache_read_image_tokens, input_video_tokens,
    reasoning_tokens, output_audio_tokens, output_image_tokens, web_searches, file_searches, rerank_searches,
    audio_seconds,
    cost AS former_cost,
    cost_status AS former_status,
    cost_reason AS former_reason
FROM calls
WHERE CASE
        WHEN cost_status = 'unknown' THEN cost_reason LIKE 'no price for %'
        ELSE cost_source IN ('local', 'ledger') AND price_version IS NOT NULL
    END
    AND outcome <> 'refused'
    AND coalesce(
        units, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, web_searches, file_searches,
        rerank_searches, audio_seconds
    ) IS NOT NULL /* then */;
