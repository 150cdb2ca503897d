"""A provider's exchange -> `Usage`: which wire format it speaks, and what its response says was used."""

from otel_cost.usage.endpoints import STATES_COST, TAKES_INCLUDE_USAGE
from otel_cost.usage.formats import FORMATS, WireFormat
from otel_cost.usage.model import Usage
from otel_cost.usage.reading import read_whole, reader_of
from otel_cost.usage.request import Request, is_providers, place_at, recognise
from otel_cost.usage.statement import Reading

__all__ = [
    "FORMATS",
    "STATES_COST",
    "TAKES_INCLUDE_USAGE",
    "Reading",
    "Request",
    "Usage",
    "WireFormat",
    "is_providers",
    "place_at",
    "read_whole",
    "reader_of",
    "recognise",
]
