"""What one call used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call used, in the terms of the OpenTelemetry GenAI conventions. 0 where the provider states nothing.

    Tokens of one kind are part of the wider count that they belong to: those read from a cache, audio and image tokens
    of the input are input tokens too.

    Attributes:
        input_tokens: all input tokens, cached ones included.
        output_tokens: all output tokens, reasoning included.
        cache_read_tokens: input tokens read from a cache.
        cache_write_tokens: input tokens written to a cache, whatever their time to live.
        cache_write_5m_tokens: of those, the ones kept for five minutes.
        cache_write_1h_tokens: of those, the ones kept for an hour.
        reasoning_tokens: output tokens spent on reasoning.
        input_audio_tokens: input tokens that are sound, cached ones included.
        cache_read_audio_tokens: of those, the ones read from a cache.
        output_audio_tokens: output tokens that are sound.
        input_image_tokens: input tokens that are pictures, cached ones included.
        cache_read_image_tokens: of those, the ones read from a cache.
        output_image_tokens: output tokens that are pictures.
        input_video_tokens: input tokens that are moving pictures.
        web_searches: searches of the web that the provider ran for the call and charges one by one.
        file_searches: searches of stored files that it ran and charges one by one.
        rerank_searches: search units of a rerank.
        audio_seconds: seconds of sound that were transcribed.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    cache_read_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    cache_read_image_tokens: int = 0
    output_image_tokens: int = 0
    input_video_tokens: int = 0
    web_searches: int = 0
    file_searches: int = 0
    rerank_searches: int = 0
    audio_seconds: int | Decimal = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together: what a budget in tokens counts."""
        return self.input_tokens + self.output_tokens
