"""AWS event streams, as Bedrock sends them."""

from __future__ import annotations

import json
from struct import pack
from zlib import crc32


def message(payload: bytes, headers: bytes = b"") -> bytes:
    """One message."""
    prelude = pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + pack(">I", crc32(prelude)) + headers + payload
    return head + pack(">I", crc32(head))


def text(name: str, value: str) -> bytes:
    """A header that is a text."""
    return bytes([len(name)]) + name.encode() + b"\x07" + pack(">H", len(value)) + value.encode()


def frame(kind: str, document: object) -> bytes:
    """One message that is an event: its type, and what it says."""
    said = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(json.dumps(document).encode(), b"".join(text(name, value) for name, value in said.items()))
