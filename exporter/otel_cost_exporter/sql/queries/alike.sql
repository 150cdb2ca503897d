-- Calls to models, those together that used the same at the same model and terms in the same hour, for what they would have
-- cost with another. Charges and refused calls are none. Runs as it is, for the whole of the books; the reader filters at the marker.
SELECT
    coalesce(operation, '') = 'embeddings' AS embeds,
    provider, model, service_tier, server, price_terms, hour,
    input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    input_audio_tokens, cache_read_audio_tokens, input_image_tokens, cache_read_image_tokens, input_video_tokens,
    reasoning_tokens, output_audio_tokens, output_image_tokens,
    web_searches, file_searches, rerank_searches, audio_seconds,
    count(*) AS calls,
    sum(cost) AS cost,
    count(*) FILTER (cost_status = 'estimated') AS estimated_calls,
    count(*) FILTER (cost_status = 'unknown') AS unknown_calls
FROM facts
WHERE charge IS NULL AND outcome <> 'refused' /* where */
GROUP BY ALL
ORDER BY ALL;
