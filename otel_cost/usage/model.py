"""What one call used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call used, in the terms of the OpenTelemetry GenAI conventions. 0 where the provider states nothing.

    Attributes:
        input_tokens: all input tokens, cached ones included.
        output_tokens: all output tokens, reasoning included.
        cache_read_tokens: input tokens read from a cache.
        cache_write_tokens: input tokens written to a cache, whatever their time to live.
        cache_write_5m_tokens: of those, the ones kept for five minutes.
        cache_write_1h_tokens: of those, the ones kept for an hour.
        reasoning_tokens: output tokens spent on reasoning.
        web_searches: searches the provider ran for the call and charges one by one.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    web_searches: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together: what a budget in tokens counts."""
        return self.input_tokens + self.output_tokens
