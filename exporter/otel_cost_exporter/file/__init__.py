"""The DuckDB file: open, of the schema that this version knows, asked in the SQL of ``sql/``, copied."""
