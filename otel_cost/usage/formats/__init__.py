"""The table of wire formats: which endpoint speaks which, and which figure of a response is which meter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_cost.usage.formats import anthropic, bedrock, google, openai, others
from otel_cost.usage.formats.wire_format import WireFormat, is_harmless, places

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMATS", "WireFormat", "is_harmless", "places"]

FORMATS: Final[Mapping[str, WireFormat]] = {
    wire_format.name: wire_format
    for family in (openai, anthropic, google, bedrock, others)
    for wire_format in family.FORMATS
}
