"""What a sender has compressed, unpacked; a few bytes can unpack to very many, so never beyond a limit."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from otel_cost_exporter.errors import MalformedError, TooLargeError, UnsupportedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_REQUEST: Final = 16 * 1024 * 1024
"""Bytes of an export request, as it comes and unpacked. A Collector's batches are well below it."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_LARGEST_WINDOW: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 25}
"""What a frame may have the decoder keep of what it has unpacked: 32 MiB, as at a Collector's best compression."""
_MOST_PARTS: Final = 100
"""Members or frames of a body. A sender makes one; where each is empty, a body could hold a million."""
_MESSAGE: Final = b"\x0a"
"""How an export request begins: its field 1, the only one that there is."""
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x78": "deflate"}
"""How what is compressed begins; as protobuf it would be a field of an unknown type, or one that there is not."""


class _Decoder(Protocol):
    """Unpacks one member or frame. zlib and zstd have that in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECODERS: Final[dict[str, Callable[[], _Decoder]]] = {
    "gzip": lambda: zlib.decompressobj(_GZIP),
    "deflate": zlib.decompressobj,
    "zlib": zlib.decompressobj,  # as a Collector calls it
    "zstd": lambda: zstd.ZstdDecompressor(options=_LARGEST_WINDOW),
}


def unpack(body: bytes, encoding: str) -> bytes:
    """What `body` holds, by the name of its HTTP content encoding.

    Raises:
        UnsupportedError: the encoding is none that is taken here.
        MalformedError: the body is not of that encoding.
        TooLargeError: it holds more than `LARGEST_REQUEST`.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in _DECODERS:
        raise UnsupportedError(
            f"content encoding {encoding[:50]!r} is not taken here: send {', '.join(_DECODERS)} or none"
        )
    parts: list[bytes] = []
    size = 0
    while True:  # what was compressed in parts is several members or frames, one behind the other
        if len(parts) == _MOST_PARTS:
            raise MalformedError(f"the body is more than {_MOST_PARTS} pieces of {encoding}")
        decoder = _DECODERS[encoding]()
        try:
            parts.append(decoder.decompress(body, LARGEST_REQUEST + 1 - size))
        except (zlib.error, zstd.ZstdError) as error:
            raise MalformedError(f"the body is no {encoding}: {error}") from None
        size += len(parts[-1])
        check_size(size)
        if not decoder.eof:
            raise MalformedError(f"the {encoding} body ends before its end")
        body = decoder.unused_data
        if not body:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def unpack_message(body: bytes) -> bytes:
    """What a gRPC message holds that is an export request, or one that was compressed: its first bytes tell.

    gRPC knows these two encodings and no other. Its own decoder does not stop before it has unpacked all, whatever that
    takes, so it is not used.

    Raises:
        MalformedError: it is neither.
        TooLargeError: it holds more than `LARGEST_REQUEST`.
    """
    return unpack(body, _encoding_of(body))


def _encoding_of(body: bytes) -> str:
    if not body.startswith(_MESSAGE):
        for magic, encoding in _MAGIC.items():
            if body.startswith(magic):
                return encoding
    return "identity"


def check_size(size: int) -> None:
    """See that a request of `size` bytes is not too large.

    Raises:
        TooLargeError: it is.
    """
    if size > LARGEST_REQUEST:
        raise TooLargeError(f"more than {LARGEST_REQUEST} bytes: send smaller batches")
