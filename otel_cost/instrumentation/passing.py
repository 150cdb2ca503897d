"""A response that passes by: each piece is read by us, and goes on to the application as the server sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otel_cost.safety import guard, report
from otel_cost.usage.decoding import decoder_of
from otel_cost.usage.error_code import code_in

if TYPE_CHECKING:
    from otel_cost.instrumentation.call import Call
    from otel_cost.instrumentation.failure import Failure
    from otel_cost.instrumentation.include_usage import UsageCut
    from otel_cost.usage.decoding import Decoder
    from otel_cost.usage.reading import Reader

_LARGEST_ERROR = 64 * 1024


class Passing(Protocol):
    """What the pieces of one response are shown to, in the order in which they come off the wire.

    A tee hands the application what `feed` returns, as soon as it returns something; then `rest`; and says with
    `stream_ends` that the end is reached, or, with the error, that it is not going to be. A tee that is closed or
    garbage collected before says so to `open_calls.close`.
    """

    @property
    def ended(self) -> bool:
        """Whether what follows changes nothing any more."""

    def feed(self, piece: bytes) -> bytes:
        """The next piece is here. Returns what the application gets of it and of those before; often just `piece`."""

    def rest(self) -> bytes:
        """The last piece is fed. Returns what was held back."""

    def stream_ends(self, error: BaseException | None = None) -> None:
        """The response has passed by, to its end or as far as the application and the network let it."""


class Answer:
    """The answer of a call, read by `reader`."""

    def __init__(self, call: Call, reader: Reader) -> None:
        self._call, self._read = call, reader.feed

    @property
    def ended(self) -> bool:
        """Whether the call has ended, or nothing more of its answer comes this way."""
        return self._call.ended or self._call.awaits

    def feed(self, piece: bytes) -> bytes:
        """`piece` is read, and the application gets it as it is."""
        try:  # as `guard` does it, which takes 0.3 us more of each piece
            self._read(piece)
        except Exception as error:  # noqa: BLE001 - the boundary
            report("reading a piece of a response", error)
        return piece

    def rest(self) -> bytes:
        """Nothing is held back."""
        return b""

    def stream_ends(self, error: BaseException | None = None) -> None:
        """The call ends."""
        if not self.ended:
            self._call.stream_ends(error)


class CutAnswer(Answer):
    """The answer of a call that we asked for its usage: the application gets it decoded, and without that chunk."""

    def __init__(self, call: Call, reader: Reader, decoder: Decoder, cut: UsageCut) -> None:
        super().__init__(call, reader)
        self._decoder = decoder
        self._cut: UsageCut | None = cut

    def feed(self, piece: bytes) -> bytes:
        """`piece` is read, and the application gets the events that it completes, but for the usage."""
        plain = super().feed(self._decoder.decode(piece))
        if self._cut is None:
            return plain
        try:
            return self._cut.feed(plain)
        except Exception as error:  # noqa: BLE001 - the boundary: the application gets its response, then uncut
            report("hiding the usage of a stream", error)
            held, self._cut = self._cut.rest(), None
            return held

    def rest(self) -> bytes:
        """An event that is not whole, where the stream ends amid it."""
        return b"" if self._cut is None else self._cut.rest()


class ErrorAnswer:
    """An answer that is an error: what failed is known, its body says by which code.

    Attributes:
        ended: whether its body has passed by.
    """

    def __init__(self, call: Call, failure: Failure, encoding: str, *, ends_call: bool) -> None:
        self._call, self._failure, self._encoding, self._ends_call = call, failure, encoding, ends_call
        self._body = b""
        self.ended = False

    def feed(self, piece: bytes) -> bytes:
        """Keep `piece`; the application gets it as it is."""
        if len(self._body) < _LARGEST_ERROR:
            self._body += piece
        return piece

    def rest(self) -> bytes:
        """Nothing is held back."""
        return b""

    def stream_ends(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - the attempt failed before
        """The code is read; the call ends, unless an SDK may try again."""
        self.ended = True
        with guard("reading an error"):
            self._failure.code = self._failure.code or code_in(decoder_of(self._encoding).decode(self._body))
        if self._ends_call:
            with guard("ending a call"):
                self._call.fails()
