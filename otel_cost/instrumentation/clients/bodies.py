"""What clients take for the body of a request, as the bytes that it sends."""

from __future__ import annotations

from io import BytesIO
from typing import Any


def bytes_of(body: Any) -> bytes:
    """What `body` sends; empty where it is a stream that can be read only once."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, BytesIO):
        return body.getvalue()[body.tell() :]
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else b""
