-- A change that changes nothing: whether the file can be written.
UPDATE schema_version SET applied_at = applied_at;
