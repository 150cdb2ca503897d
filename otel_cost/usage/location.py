"""Where a request is served, as far as its URL says: some prices depend on it."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCATION: Final = re.compile(
    r"""
    ^ ([^./]+) \.api\.openai\.com/                            # OpenAI's data residency
    | ^ ([^./]+) -aiplatform\.googleapis\.com/                # Vertex AI, a region
    | ^ aiplatform\. ([^./]+) \.rep\.googleapis\.com/         # Vertex AI, several regions
    | /locations/ ([^/]+) /                                   # Vertex AI, behind a gateway too
    | bedrock[a-z-]* [./] ([a-z]{2,4}(?:-[a-z]+){1,2}-\d) [./]  # Bedrock, behind a gateway too
    | \. (azure\.us | azure\.cn) /                            # Azure's clouds for a government and for China
    | ^ api\. (moonshot\.cn | minimaxi\.com | minimax\.chat) /  # sites for China, with price lists of their own
    """,
    re.VERBOSE,
)
_DEPLOYMENT: Final = re.compile(
    r"(?::|%3a)(provisioned-model|custom-model-deployment|imported-model)(?:/|%2f)", re.IGNORECASE
)
"""Of Bedrock: what the customer has for itself, and pays by the hour, or at a price other than the base model's."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@lru_cache(maxsize=1024)
def terms_at(host: str, path: str) -> Mapping[str, str]:
    """What ``host/path`` says that a price may depend on: its ``location``, unless that is the whole world.

    And, of Bedrock, as what the model is there where it is no public one: its ``deployment``.
    """
    terms: dict[str, str] = {}
    if (found := _LOCATION.search(host + path)) and found[found.lastindex or 0] != "global":
        terms["location"] = found[found.lastindex or 0]
    if found := _DEPLOYMENT.search(path):
        terms["deployment"] = found[1].lower()
    return MappingProxyType(terms) if terms else _NOTHING
