-- A migration ran.
INSERT INTO schema_version VALUES ($version, $applied_at);
