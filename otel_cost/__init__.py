"""LLM cost tracking and budgets that speak OpenTelemetry."""
