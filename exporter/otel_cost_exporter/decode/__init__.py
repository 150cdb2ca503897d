"""OTLP -> Arrow rows of calls.

`walk` cuts a request into spans and takes those that may be calls. Many requests' spans are then decoded together: what
is as most senders write it goes through `columns`, all at once; the rest, one by one, through `careful`. Both make the
same rows, which a test shows.
"""

from otel_cost_exporter.decode.group import Decoded, decode

__all__ = ["Decoded", "decode"]
