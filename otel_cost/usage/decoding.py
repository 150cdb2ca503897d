"""Undo a response's content encoding, piece by piece, on our copy of the bytes."""

from __future__ import annotations

import importlib
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Decoder(Protocol):
    """Turns encoded pieces into plain ones."""

    def decode(self, piece: bytes) -> bytes:
        """The plain bytes that `piece` completes."""


class _Plain:
    def decode(self, piece: bytes) -> bytes:
        return piece


class _Zlib:
    """gzip and deflate, whichever the bytes turn out to be: their headers tell."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def decode(self, piece: bytes) -> bytes:
        return self._inflate.decompress(piece)


class _Library:
    """br and zstd, by whichever library the HTTP client itself needs to have asked for them."""

    def __init__(self, *decompressors: tuple[str, str]) -> None:
        for module, name in decompressors:
            try:
                inflate = getattr(importlib.import_module(module), name)()
            except ImportError:
                continue
            inflate = inflate.decompressobj() if hasattr(inflate, "decompressobj") else inflate
            self._step = getattr(inflate, "decompress", None) or inflate.process
            return
        raise LookupError(f"none of {', '.join(module for module, _ in decompressors)} is installed")

    def decode(self, piece: bytes) -> bytes:
        return bytes(self._step(piece))


def _brotli() -> Decoder:
    return _Library(("brotli", "Decompressor"), ("brotlicffi", "Decompressor"))


def _zstandard() -> Decoder:
    modules = ("compression.zstd", "backports.zstd", "zstandard")
    return _Library(*((module, "ZstdDecompressor") for module in modules))


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "": _Plain,
    "identity": _Plain,
    "gzip": _Zlib,
    "deflate": _Zlib,
    "br": _brotli,
    "zstd": _zstandard,
}


def decoder_of(encoding: str) -> Decoder:
    """The decoder for a ``content-encoding`` header.

    Raises:
        LookupError: an encoding that is not known here.
    """
    return _DECODERS[encoding.strip().lower()]()
