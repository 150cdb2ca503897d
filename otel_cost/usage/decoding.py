"""Undo a response's content encodings, piece by piece, on our copy of the bytes.

However much a piece decodes to, `Decoder.steps` hands it out bit by bit, so that no bomb is in memory at once.
"""

from __future__ import annotations

import importlib
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Stage = Callable[[bytes], Iterable[bytes]]

_STEP: Final = 1024 * 1024
_MOST_STAGES: Final = 5


class Decoder:
    """Turns encoded pieces into plain ones. Nothing comes out of it any more after bytes that are not so encoded."""

    def __init__(self, stages: list[Stage]) -> None:
        self._stages = stages

    def decode(self, piece: bytes) -> bytes:
        """The plain bytes that `piece` completes, at once."""
        return b"".join(self._decoded(piece)) if self._stages else piece

    def steps(self, piece: bytes) -> Iterable[bytes]:
        """The plain bytes that `piece` completes, in steps: for who keeps less than all of them."""
        return self._decoded(piece) if self._stages else (piece,)

    def _decoded(self, piece: bytes) -> Iterator[bytes]:
        plain: Iterable[bytes] = (piece,)
        for stage in self._stages:
            plain = chain.from_iterable(map(stage, plain))
        try:
            yield from plain
        except Exception:  # noqa: BLE001 - each library has an error of its own; the client raises it to the application
            self._stages = [lambda _: ()]


class _Zlib:
    """gzip, of one member or several, and deflate with zlib's header or, as some servers send it, bare."""

    def __init__(self) -> None:
        self._inflate: Any = None
        self._wbits: int | None = None

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        plain = b""
        while piece or len(plain) == _STEP:
            if self._inflate is None:
                self._wbits = _GZIP if self._wbits else _wbits(piece[0])
                self._inflate = zlib.decompressobj(self._wbits)
            plain = self._inflate.decompress(piece, _STEP)
            yield plain
            piece = self._inflate.unconsumed_tail
            if self._inflate.eof:
                piece, plain, self._inflate = self._inflate.unused_data, b"", None


_GZIP: Final = 16 + zlib.MAX_WBITS


def _wbits(first: int) -> int:
    """What the first byte says: no bare deflate begins like gzip or with zlib's name of its method."""
    if first == 0x1F:  # noqa: PLR2004 - gzip's magic number
        return _GZIP
    return zlib.MAX_WBITS if first & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS


class _Brotli:
    """Brotli, by whichever library the HTTP client itself needs to have asked for it."""

    def __init__(self) -> None:
        inflate = _first_of("brotli", "brotlicffi").Decompressor()
        self._step = inflate.process
        self._limit = {"output_buffer_limit": _STEP}
        try:
            self._step(b"", **self._limit)
        except TypeError:  # before 1.2 it cannot stop half way
            self._limit = {}

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        plain = self._step(piece, **self._limit)
        yield plain
        while plain and self._limit:
            plain = self._step(b"", **self._limit)
            yield plain


class _Zstandard:
    """Zstandard, of one frame or several, likewise."""

    _SLICE = 1024  # zstandard cannot stop half way, but no slice of this length decodes to more than 32 MiB

    def __init__(self) -> None:
        self._library = _first_of("compression.zstd", "backports.zstd", "zstandard")
        self._inflate: Any = None

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        for at in range(0, len(piece), self._SLICE):
            rest = piece[at : at + self._SLICE]
            while rest:
                yield from self._frame(rest)
                rest = self._inflate.unused_data if self._inflate.eof else b""

    def _frame(self, piece: bytes) -> Iterator[bytes]:
        if self._inflate is None or self._inflate.eof:
            self._inflate = self._library.ZstdDecompressor()
            self._inflate = getattr(self._inflate, "decompressobj", lambda: self._inflate)()
        if not hasattr(self._inflate, "needs_input"):
            yield self._inflate.decompress(piece)
            return
        yield self._inflate.decompress(piece, _STEP)
        while not self._inflate.needs_input and not self._inflate.eof:
            yield self._inflate.decompress(b"", _STEP)


def _first_of(*modules: str) -> Any:
    """The first of these libraries that is installed."""
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise LookupError(f"none of {', '.join(modules)} is installed")


_STAGES: Final[dict[str, Callable[[], Stage]]] = {
    "gzip": _Zlib,
    "x-gzip": _Zlib,
    "deflate": _Zlib,
    "br": _Brotli,
    "zstd": _Zstandard,
}


def decoder_of(encoding: str) -> Decoder:
    """The decoder for a ``content-encoding`` header, which names encodings in the order they were applied in.

    Raises:
        LookupError: an encoding that is not known here, or more of them than any server applies.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    applied = [name for name in names if name not in ("", "identity")]
    if len(applied) > _MOST_STAGES:
        raise LookupError(f"{len(applied)} content encodings")
    if unknown := [name for name in applied if name not in _STAGES]:
        raise LookupError(f"content encoding {unknown[0]}")
    return Decoder([_STAGES[name]() for name in reversed(applied)])
