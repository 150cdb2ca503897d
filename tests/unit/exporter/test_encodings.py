"""What senders pack, unpacked, and never more of it than a request may be."""

from __future__ import annotations

import gzip
import sys
import zlib

import pytest

from otel_cost_exporter.errors import MalformedError, TooLargeError, UnsupportedError
from otel_cost_exporter.receiver import encodings
from otel_cost_exporter.receiver.encodings import LARGEST_REQUEST, unpack, unpack_message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = b"\x0a\x03abc" * 1000
PACKED = {
    "gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "zlib": zlib.compress(BODY),
    "zstd": zstd.compress(BODY),
    "": BODY,
    " Identity ": BODY,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_by_its_name(encoding: str) -> None:
    assert unpack(PACKED[encoding], encoding.upper()) == BODY


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_by_its_first_bytes(encoding: str) -> None:
    assert unpack_message(PACKED[encoding]) == BODY


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x28"])
def test_what_looks_like_nothing_packed_is_left_as_it_is(body: bytes) -> None:
    assert unpack_message(body) == body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_in_several_parts(encoding: str) -> None:
    assert unpack(PACKED[encoding] * 3, encoding) == BODY * 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_in_more_parts_than_anybody_needs(encoding: str) -> None:
    empty = gzip.compress(b"") if encoding == "gzip" else zstd.compress(b"")
    assert unpack(empty * 99 + PACKED[encoding], encoding) == BODY
    with pytest.raises(MalformedError, match=f"the body is more than 100 pieces of {encoding}"):
        unpack(empty * 101, encoding)


def test_as_large_as_it_may_be_and_one_byte_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "LARGEST_REQUEST", len(BODY))
    for encoding, packed in PACKED.items():
        assert unpack(packed, encoding) == BODY
    monkeypatch.setattr(encodings, "LARGEST_REQUEST", len(BODY) - 1)
    for encoding in ("gzip", "deflate", "zlib", "zstd"):
        with pytest.raises(TooLargeError, match=f"more than {len(BODY) - 1} bytes: send smaller batches"):
            unpack(PACKED[encoding], encoding)


def test_parts_that_are_too_large_together() -> None:
    with pytest.raises(TooLargeError):
        unpack(gzip.compress(bytes(LARGEST_REQUEST)) + gzip.compress(b"x"), "gzip")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_is_torn_or_something_else(encoding: str) -> None:
    with pytest.raises(MalformedError, match=f"the {encoding} body ends before its end"):
        unpack(PACKED[encoding][:-5], encoding)
    with pytest.raises(MalformedError, match=f"the {encoding} body ends before its end"):
        unpack(b"", encoding)
    with pytest.raises(MalformedError, match=f"the body is no {encoding}"):
        unpack(b"something else", encoding)
    with pytest.raises(MalformedError, match=f"the body is no {encoding}"):
        unpack(PACKED[encoding] + b"something behind it", encoding)


def test_an_encoding_that_is_not_known() -> None:
    with pytest.raises(
        UnsupportedError, match=r"content encoding 'br' is not taken here: send gzip, deflate, .* or none"
    ):
        unpack(BODY, "br")


def test_a_frame_that_asks_for_very_much_memory() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    packed = packer.compress(BODY) + packer.flush()
    with pytest.raises(MalformedError, match="the body is no zstd"):
        unpack(packed, "zstd")
