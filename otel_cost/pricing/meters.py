"""What can be charged: the fields of `Usage`, the kinds of tokens that each counts, and where its price stands.

A meter is part of another where it counts all of its kinds and more: cached audio tokens are part of the cached tokens
and of the audio tokens, and both of those are part of the input tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meter:
    """A field of `Usage`.

    Attributes:
        kinds: what it counts. A meter with more of them is part of one with fewer of the same.
        price_key: the name of its price in genai-prices.
        per: units that the price there is for.
    """

    kinds: frozenset[str]
    price_key: str
    per: int = 1_000_000

    @property
    def counts_tokens(self) -> bool:
        """Whether it counts tokens, and not calls of a tool or time."""
        return bool(self.kinds & {"input", "output"})


def _meter(kinds: str, price_key: str, per: int = 1_000_000) -> Meter:
    return Meter(frozenset(kinds.split()), price_key, per)


METERS: Final[dict[str, Meter]] = {
    "input_tokens": _meter("input", "input_mtok"),
    "cache_read_tokens": _meter("input read", "cache_read_mtok"),
    "cache_write_tokens": _meter("input write", "cache_write_mtok"),
    "cache_write_5m_tokens": _meter("input write 5m", "cache_write_5m_mtok"),
    "cache_write_1h_tokens": _meter("input write 1h", "cache_write_1h_mtok"),
    "input_audio_tokens": _meter("input audio", "input_audio_mtok"),
    "cache_read_audio_tokens": _meter("input audio read", "cache_audio_read_mtok"),
    "input_image_tokens": _meter("input image", "input_image_mtok"),
    "cache_read_image_tokens": _meter("input image read", "cache_image_read_mtok"),
    "input_video_tokens": _meter("input video", "input_video_mtok"),
    "output_tokens": _meter("output", "output_mtok"),
    "reasoning_tokens": _meter("output reasoning", "output_reasoning_mtok"),
    "output_audio_tokens": _meter("output audio", "output_audio_mtok"),
    "output_image_tokens": _meter("output image", "output_image_mtok"),
    "web_searches": _meter("web", "web_searches_kcount", 1_000),
    "file_searches": _meter("file", "storage_searches_kcount", 1_000),
    "rerank_searches": _meter("rerank", "rerank_searches_kcount", 1_000),
    "audio_seconds": _meter("time", "audio_hours", 3_600),
}
WHOLES: Final = tuple(name for name, meter in METERS.items() if len(meter.kinds) == 1)
"""The meters that are part of no other."""


def title(name: str) -> str:
    """A meter's name for a person."""
    return name.replace("_", " ")
