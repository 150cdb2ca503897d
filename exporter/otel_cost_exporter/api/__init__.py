"""The HTTP side of the ledger service: the read API under ``/v1/``, and OTLP/HTTP beside it."""
