"""The ledger service: OTLP in, one row per LLM call in DuckDB, questions answered over HTTP."""
