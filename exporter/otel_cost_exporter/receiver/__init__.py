"""OTLP in: over gRPC and over HTTP, both through one `Intake`."""
