-- The version of the schema, NULL where no migration has run.
SELECT max(version) AS version FROM schema_version;
