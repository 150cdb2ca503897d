-- All calls, in the order in which the books took them. Runs as it is, for the whole of the books; the reader filters at the
-- marker.
SELECT
    start_ts AS start,
    end_ts AS "end",
    replace(trace_id::VARCHAR, '-', '') AS trace_id,
    printf('%016x', span_id) AS span_id,
    received_ts AS received,
    scope, service, environment, provider, server, operation,
    request_model, response_model, response_id, service_tier, price_terms,
    input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    input_audio_tokens, cache_read_audio_tokens, input_image_tokens, cache_read_image_tokens, input_video_tokens,
    reasoning_tokens, output_audio_tokens, output_image_tokens,
    web_searches, file_searches, rerank_searches, audio_seconds,
    cost AS cost_usd,
    cost_status, cost_source, price_version, cost_reason, lines,
    outcome, attempts, error_type, failures, waste AS waste_usd, waste_status, charge, units,
    project, plan, session, run, stage, "role", scene, task, quest, analysis, extra
FROM facts
WHERE true /* where */;
