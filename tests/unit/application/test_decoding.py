"""Content encodings undone piece by piece."""

import gzip
import importlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard

from otel_cost.usage.decoding import decoder_of

PLAIN = b"".join(b'data: {"n": %d}\n\n' % random.Random(3).randrange(10**9) for _ in range(2000))  # noqa: S311 - no secret
Encode = Callable[[bytes], bytes]


def bare(plain: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(plain) + deflate.flush()


def zstd(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(plain)


def twice(encode: Encode) -> Encode:
    """Two members of gzip, or two frames of zstd, one behind the other."""
    return lambda plain: encode(plain[:1000]) + encode(plain[1000:])


ENCODED: dict[str, tuple[str, Encode]] = {
    "nothing": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "gzip by its other name": (" X-GZip ", gzip.compress),
    "gzip of two members": ("gzip", twice(gzip.compress)),
    "gzip, padded": ("gzip", lambda plain: gzip.compress(plain) + bytes(512)),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "brotli": ("br", brotli.compress),
    "zstd": ("zstd", zstd),
    "zstd of two frames": ("zstd", twice(zstd)),
    "gzip, then brotli": ("gzip, br", lambda plain: brotli.compress(gzip.compress(plain))),
    "zstd, then gzip, then deflate": ("zstd,gzip, deflate", lambda plain: zlib.compress(gzip.compress(zstd(plain)))),
}
encodings = pytest.mark.parametrize(("encoding", "encode"), ENCODED.values(), ids=list(ENCODED))


def decoded(encoding: str, body: bytes, step: int) -> bytes:
    decoder = decoder_of(encoding)
    return b"".join(decoder.decode(body[start : start + step]) for start in range(0, len(body), step))


@encodings
def test_it_is_undone_however_it_is_cut(encoding: str, encode: Encode) -> None:
    body = encode(PLAIN)
    for step in (1, 100, len(body)):
        assert decoded(encoding, body, step) == PLAIN


@encodings
def test_a_body_cut_short_gives_what_was_there(encoding: str, encode: Encode) -> None:
    body = encode(PLAIN)
    assert PLAIN.startswith(decoded(encoding, body[: len(body) // 2], 100))


@encodings
def test_a_byte_that_is_changed_raises_nothing(encoding: str, encode: Encode) -> None:
    body, chance = encode(PLAIN[:500]), random.Random(5)  # noqa: S311 - no secret
    for at in range(0, len(body), 3):
        broken = bytearray(body)
        broken[at] = chance.randrange(256)
        decoded(encoding, bytes(broken), 64)


def test_nothing_comes_after_what_is_not_so_encoded() -> None:
    decoder = decoder_of("gzip")
    assert decoder.decode(b"plain text") == b""
    assert decoder.decode(gzip.compress(PLAIN)) == b""


FLUSHES: dict[str, Callable[[], tuple[Encode, Callable[[], bytes]]]] = {
    "gzip": lambda: (
        (deflate := zlib.compressobj(wbits=31)).compress,
        lambda: deflate.flush(zlib.Z_SYNC_FLUSH),
    ),
    "br": lambda: ((compressor := brotli.Compressor()).process, compressor.flush),
    "zstd": lambda: (
        (compressor := zstandard.ZstdCompressor().compressobj()).compress,
        lambda: compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
    ),
}


@pytest.mark.parametrize("encoding", FLUSHES)
def test_what_a_server_flushed_is_there_at_once(encoding: str) -> None:
    compress, flush = FLUSHES[encoding]()
    decoder = decoder_of(encoding)
    for n in range(5):
        event = b'data: {"n": %d}\n\n' % n
        assert decoder.decode(compress(event) + flush()) == event


BOMB = bytes(80 * 2**20)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_a_bomb_comes_in_steps(encoding: str) -> None:
    encode: dict[str, Encode] = {
        "gzip": lambda plain: gzip.compress(plain, 1),
        "br": lambda plain: brotli.compress(plain, quality=1),
        "zstd": zstd,
    }
    steps = [len(step) for step in decoder_of(encoding).steps(encode[encoding](BOMB))]
    assert sum(steps) == len(BOMB)
    assert max(steps) <= 2 * 2**20


def test_encodings_that_nobody_knows_are_said() -> None:
    with pytest.raises(LookupError, match="content encoding compress"):
        decoder_of("gzip, compress")
    with pytest.raises(LookupError, match="6 content encodings"):
        decoder_of(",".join(["gzip"] * 6))


def test_an_encoding_whose_library_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", nothing)
    with pytest.raises(LookupError, match=r"none of brotli, brotlicffi is installed"):
        decoder_of("br")


@pytest.mark.parametrize("encode", [zstd, twice(zstd)])
def test_the_zstd_library_of_the_other_http_client(monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    without = {"backports.zstd", "compression.zstd"}
    installed = importlib.import_module

    def import_module(name: str) -> Any:
        if name in without:
            raise ImportError(name)
        return installed(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    body = encode(PLAIN)
    for step in (1, 100, len(body)):
        assert decoded("zstd", body, step) == PLAIN
    steps = [len(step) for step in decoder_of("zstd").steps(zstd(BOMB))]
    assert sum(steps) == len(BOMB)
    assert max(steps) <= 32 * 2**20


def test_brotli_of_a_version_that_cannot_stop_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    new = brotli.Decompressor

    class Old:
        def __init__(self) -> None:
            self._inflate = new()

        def process(self, piece: bytes) -> bytes:
            return bytes(self._inflate.process(piece))

    monkeypatch.setattr(brotli, "Decompressor", Old)
    assert decoded("br", ENCODED["brotli"][1](PLAIN), 100) == PLAIN
