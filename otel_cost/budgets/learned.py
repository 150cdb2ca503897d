"""What calls that have ended used: the smoothed mean and deviation of it, so that the next are sized alike.

Nothing here takes a lock. Each figure is replaced as a whole, and where two threads learn at once, one sample more or
less changes nothing that matters; a forked child goes on from what its parent had learned.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from otel_cost.usage import Request, Usage

Key = TypeVar("Key")

UNSTATED_OUTPUT: Final = 1000
"""Tokens taken for the answer of a model and role not seen yet."""
_BYTES_PER_TOKEN: Final = 3
"""Fewer than any common tokenizer needs on average, for a model not seen yet."""
_MEDIA_BYTES_PER_TOKEN: Final = 100
"""For an image or a document in base64; vendors charge an image by its size on the screen, a document by the page."""
_DEVIATIONS: Final = 2
_MOST_KEPT: Final = 4096
"""Models and roles. Roles may be made up without end; then all is learned anew."""


class Smoothed(NamedTuple):
    """A figure that moves: its mean, and how far single ones are off it on average.

    Both follow as TCP's estimate of a round trip does (RFC 6298): the mean by an eighth of each error, the deviation by
    a quarter; the first sample stands for the mean, half of it for the deviation.
    """

    mean: float
    deviation: float

    def after(self, value: float) -> Smoothed:
        """With one sample more."""
        error = value - self.mean
        return Smoothed(self.mean + error / 8, self.deviation + (abs(error) - self.deviation) / 4)

    @property
    def likely(self) -> float:
        """What few samples exceed."""
        return self.mean + _DEVIATIONS * self.deviation


_outputs: dict[tuple[str | None, str | None], Smoothed] = {}
_tokens_per_byte: dict[str | None, Smoothed] = {}


def learn(request: Request, usage: Usage, role: str | None) -> None:
    """Remember what a call used that has ended, and whose answer is whole."""
    for key in {(request.model, role), (request.model, None)}:
        _add(_outputs, key, usage.output_tokens)
    text, media = request.sizes()
    if text and usage.input_tokens and not media:
        _add(_tokens_per_byte, request.model, usage.input_tokens / text)


def output_tokens(request: Request, role: str | None) -> int:
    """How many tokens the answer is likely to have: not more than the request allows, where it states a bound."""
    learned = _outputs.get((request.model, role)) or _outputs.get((request.model, None))
    likely = UNSTATED_OUTPUT if learned is None else ceil(learned.likely)
    return likely if request.max_output_tokens is None else min(likely, request.max_output_tokens)


def input_tokens(request: Request, *, about: bool = False) -> int:
    """How many input tokens `request` is likely to have at most; or, where it is `about`, what the mean is."""
    found = _tokens_per_byte.get(request.model)
    text, media_size = request.sizes()
    media = -(-media_size // _MEDIA_BYTES_PER_TOKEN)
    if found is None:
        return -(-text // _BYTES_PER_TOKEN) + media
    return ceil(text * (found.mean if about else found.likely)) + media


def _add(known: dict[Key, Smoothed], key: Key, value: float) -> None:
    before = known.get(key)
    if before is None and len(known) >= _MOST_KEPT:
        known.clear()
    known[key] = Smoothed(value, value / 2) if before is None else before.after(value)
