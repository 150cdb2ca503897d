"""The life of one call: reserve -> send (and retry) -> read the response -> cost -> settle -> the span ends."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import structs
from opentelemetry import context, trace
from opentelemetry.trace import StatusCode

from otel_cost import attribution, counted, live_span, money, pricing, semconv
from otel_cost.budgets import Spend, admit, budgets_in, charge, input_tokens, learn, likely_cost, settle, tally
from otel_cost.errors import BudgetExceededError
from otel_cost.instrumentation import background, call_span, lost_spans, open_calls
from otel_cost.instrumentation.asking import Asking, with_model
from otel_cost.instrumentation.failure import Failure
from otel_cost.metering import cost_of
from otel_cost.pricing import Cost
from otel_cost.safety import guard, report
from otel_cost.usage import Reading, Usage

if TYPE_CHECKING:
    from weakref import finalize

    from opentelemetry.context import Context

    from otel_cost.budgets import Open, Steps
    from otel_cost.instrumentation.outgoing import Outgoing
    from otel_cost.live_span import LiveSpan
    from otel_cost.usage import Request

_logger = logging.getLogger(__name__)
_UNANSWERED = Cost.unknown("no answer came; the provider may charge for it")
_NEVER_HEARD = Cost.unknown("nobody asked what the response had used, once the provider had worked on it")
_GIVEN_UP = Cost.unknown("broken off before an answer came; the provider may charge for it")


class Call:
    """One call to a model. It ends exactly once, whoever comes first: the response, an error, or the span's end.

    Attributes:
        request: what it asks the provider, which may be a cheaper model than the application said.
        in_flight: whether a request of it is on its way, its response's head not here yet.
        streaming: whether its response is still passing by or to come, so that it ends with it.
        awaits: whether the provider still works on its response, which another request is going to ask for.
        ended: whether its cost is settled.
    """

    def __init__(self, request: Request, current: Context) -> None:
        self.request, self._started = request, time.time_ns()
        self._said_model = request.model
        members = attribution.members(current)
        self._dimensions = attribution.dimensions(members)
        self._budgets = budgets_in(members, current)
        self._above = live_span.live(trace.get_current_span(current))
        self._standing = live_span.adopt(self._above, self)  # spans of other instrumentations, the topmost first
        self._owns_span = not self._standing
        self._span = self._standing[0].span if self._standing else call_span.start(request, self._dimensions)
        self._hold: Open | None = None
        self._reader: Any = None
        self._passing: counted.Passing | None = None
        self._attempts = 0
        self._failures: list[Failure] = []
        self._failure: Failure | None = None  # of the last attempt
        self._attributes: dict[str, Any] = {}
        self._repeated = False  # whether a span has told that it is refused
        self._unless_lost: finalize[Any, LiveSpan] | None = None  # watches the span that is to take the attributes
        # Reentrant: a stream that is garbage collected ends its call, and collection can happen under the lock.
        self._lock = threading.RLock()
        self.in_flight = False
        self.streaming = False
        self.awaits = False
        self.ended = False

    @property
    def taken(self) -> int:
        """How many bytes of its response have passed by."""
        return self._reader.taken if self._reader is not None else 0

    @property
    def response_id(self) -> str | None:
        """The id that the response has stated so far, while it is passing by."""
        return self._reader.response_id if self._reader is not None else None

    @classmethod
    def begin(cls, request: Request, outgoing: Outgoing) -> Steps[Call]:
        """Decide whether the call may leave as `outgoing`, and hold what it is likely to cost.

        Raises:
            BudgetExceededError: it may not.
        """
        open_calls.end_abandoned()
        background.end_overdue()
        pricing.load_in_background()
        call = cls(request, context.get_current())
        if call._budgets:
            yield from call._reserve(outgoing)
        open_calls.add(call)
        return call

    @classmethod
    def found(cls, request: Request) -> Call:
        """A call that another process made, and whose answer this one asks for with `request`: nothing was held."""
        return cls(request, context.get_current())

    def _reserve(self, outgoing: Outgoing) -> Steps[None]:
        asking = Asking(self.request, outgoing, budgets=self._budgets, dimensions=self._dimensions, span=self._span)
        try:
            self._hold = yield from admit(asking)
        except BudgetExceededError as error:
            self._stays(error)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: the call goes on, and is charged when it ends
            report("holding a call against its budgets", error)
        except BaseException as error:
            open_calls.close(_GivenUp(self, error))
            raise
        self.request = asking.request

    def _stays(self, error: BaseException) -> None:
        """It does not leave, since a budget refused it, or the application gave it up while a budget had it wait."""
        name = type(error).__name__
        if not self._attempts:
            self._repeated = isinstance(error, BudgetExceededError) and error.repeated
            self._end("refused", None, Cost.nothing(), error=name)
        elif isinstance(error, BudgetExceededError):
            self._end("error", None, _UNANSWERED, error=name)
        else:
            self._end("cut", None, _GIVEN_UP, error=name)

    def retries(self, request: Request, outgoing: Outgoing) -> Steps[None]:
        """Another attempt is about to leave, as `outgoing`, which is `request`: a cheaper model stays with the call.

        The one before may be charged for where it broke off, so what was held for it is spent, and held anew.

        Raises:
            BudgetExceededError: it does not fit any more.
        """
        if self.request.model != request.model:
            self.request = with_model(outgoing, request, self.request.model or "") or request
        if self._hold is not None and self._failure is not None and self._failure.broke_off:
            hold, self._hold = self._hold, None
            settle(hold, Spend(None, None, calls=0), self.request.model, self._span)
            yield from self._reserve(outgoing)

    def sends(self, current: Context) -> Context:
        """A request leaves: in `current`, below the call's span."""
        self._attempts += 1
        self.in_flight, self._failure = True, None
        return trace.set_span_in_context(self._span, current) if self._owns_span else current

    def sends_again(self) -> None:
        """The request leaves once more: the provider refused what we had added to it."""
        self._attempts += 1

    def answered(self, reader: Any) -> None:
        """The response has come and is read by `reader` as it passes by; `stream_ends` follows."""
        self._reader, self.streaming = reader, True
        if self._passing is None:
            self._passing = counted.passes(frozenset({self._said_model, self.request.model}), self._started)

    def stream_ends(self, error: BaseException | None = None) -> None:
        """The response has passed by, to its end or as far as the application and the network let it."""
        self.streaming = False
        with guard("reading a response"):
            if self._failure is not None:
                self.fails()
            elif self.awaits:
                self._end("cut", None, _NEVER_HEARD)
            else:
                self._end_with(self._reading(), error=error)
        if not self.awaits:
            self.unreadable()  # where that failed, the call ends all the same

    def read(self, reading: Reading) -> None:
        """The whole response is here, and says this."""
        self._end_with(reading, whole=True)

    def hears(self, reading: Reading) -> None:
        """Another request was answered with what this call's response had used."""
        self.awaits = self.streaming = False
        self._end_with(reading, whole=True)

    def unreadable(self) -> None:
        """A response came, and reading it failed. Nothing, where the call has ended."""
        self.streaming = False
        self._end("ok", None, Cost.unknown("the response could not be read"))

    def span_ends(self, ending: LiveSpan) -> None:
        """A span of another instrumentation that stands for this call ends now, and takes nothing later.

        Its own figures may follow another convention than ours, so ours are put on it last. Where the response is
        still passing by, what it costs is not known yet: the call goes on with the next span that stands for it, else
        with one of its own.
        """
        carries = self._standing[:1] == [ending]
        if ending in self._standing:
            self._standing.remove(ending)
        if not carries:
            return
        if self._failure is not None:  # the SDK that made the span has given up
            self.fails()
        if not self.ended and (self._reader is None or not self._reader.is_complete()):
            if self.awaits or self._standing or not (ending.ends_with_its_stream() and open_calls.may_end_here()):
                self._goes_on_without(ending)
                return
            self.stream_ends()  # whoever made the span has seen that the application is done with the stream
        if not self.ended:
            self._end_with(self._reading())
        ending.span.set_attributes(self._attributes)
        self._standing.clear()  # one below it that ends later must not repeat the cost
        if self._unless_lost is not None:
            lost_spans.forget(self._unless_lost)

    def _goes_on_without(self, ended: LiveSpan) -> None:
        if self._standing:
            self._span = self._standing[0].span
            return
        parent = trace.set_span_in_context(ended.span, context.Context())
        self._span, self._owns_span = call_span.start(self.request, self._dimensions, parent, self._started), True
        live_span.cover(self._above)

    def attempt_failed(self, failure: Failure) -> None:
        """A request broke off, or was answered with an error; the SDK may try again."""
        if failure.broke_off:
            failure.may_have_cost = self._held_usd() or likely_cost(self.request).amount
        self._failure = failure
        self._failures.append(failure)

    def _held_usd(self) -> Decimal | None:
        """What is held of a budget in US dollars, where there is one."""
        claims = self._hold.hold.claims if self._hold is not None else ()
        return next(
            (Decimal(claim.amount) for claim in claims if claim.key.unit == money.CURRENCY and claim.amount), None
        )

    def disown(self) -> None:
        """In a forked child: the call is the parent's to end."""
        self._lock, self.ended = threading.RLock(), True
        if self._passing is not None:
            counted.passed(self._passing)

    def fails(self, error: BaseException | None = None) -> None:
        """No attempt brought an answer. What the last one failed of says why, else `error`. Nothing, where it ended."""
        failure = self._failure or Failure.of_error(error)
        if not failure.broke_off:
            self._end("error", None, Cost.nothing(), error=failure.name)
        elif failure.given_up:
            self._end("cut", None, _GIVEN_UP)
        else:
            self._end("error", None, _UNANSWERED, error=failure.name)

    def _reading(self) -> Reading:
        return self._reader.reading() if self._reader is not None else Reading()

    def _end_with(self, reading: Reading, *, whole: bool = False, error: BaseException | None = None) -> None:
        """End with what the response said. A stream that stated its end is whole, wherever the reader stopped."""
        whole = whole or reading.complete
        if reading.pending and reading.response_id is not None and (whole or self.request.background):
            self.awaits = self.streaming = True
            self.request = structs.replace(self.request, body=b"")  # it may wait for long, and nobody asks for that
            background.wait(reading.response_id, self)
            return
        cut = error is not None or not whole
        doubt = None
        if reading.error is not None:
            if not whole and reading.usage is not None:
                doubt = "the response broke off in an error: about what it had used by then"
        elif not whole:
            doubt = "the response was cut: about what it had used by then"
        elif reading.usage is None and reading.output_events:
            doubt = "the stream stated no usage (stream_options.include_usage asks for it)"
        if doubt and not reading.unreadable:
            reading = self._at_least(reading)
        cost = cost_of(self.request, reading)
        failure = None if error is None else Failure.of_error(error)
        broken = reading.error or (failure.name if failure is not None and not failure.given_up else None)
        outcome = "error" if reading.error is not None else "cut" if cut else "ok"
        self._end(outcome, reading, cost.estimated(doubt) if doubt else cost, error=broken)

    def _at_least(self, reading: Reading) -> Reading:
        """`reading`, with what was surely used by then where it states less."""
        stated = reading.usage or Usage(input_tokens=input_tokens(self.request))
        return structs.replace(
            reading, usage=replace(stated, output_tokens=max(stated.output_tokens, reading.output_events))
        )

    def _end(self, outcome: str, reading: Reading | None, cost: Cost, *, error: str | None = None) -> None:
        with self._lock:
            over, self.ended = self.ended, True
        if over:
            return
        open_calls.remove(self)
        tellers = counted.passed(self._passing) if self._passing is not None else frozenset()
        usage = reading.usage if reading is not None else None
        tokens = reading.total_tokens if usage is not None and reading is not None else None
        with guard("charging a call to its budgets"):
            self._pays(outcome, Spend(cost.amount, tokens))
        if outcome != "refused":
            with guard("adding up what a budget's calls spent"):
                self._adds_up(reading, cost)
        if reading is not None:
            models = frozenset({self._said_model, self.request.model, reading.model} - {None})
            counted.add(reading.response_id, models, usage, tellers)
        if usage is not None and outcome == "ok":
            learn(self.request, usage, self._dimensions.get("role"))
        if cost.status == "unknown" and outcome == "ok":
            _say_once(self.request, cost.reason)
        with guard("putting a call on its span"):
            self._onto_span(outcome, reading, cost, error)

    def _pays(self, outcome: str, spend: Spend) -> None:
        """Put what was spent in the place of what was held; a call that another process made held nothing."""
        if spend.usd is not None and spend.tokens is None:  # nothing was sent, or the provider failed it
            spend = Spend(spend.usd, 0)
        if self._hold is not None:
            settle(self._hold, spend, self.request.model, self._span)
        elif outcome != "refused":
            charge(self._budgets, spend, self.request.model, self._span)

    def _adds_up(self, reading: Reading | None, cost: Cost) -> None:
        """Into what the budgets' reports show."""
        claims = self._hold.hold.claims if self._hold is not None else ()
        tally.add_call(
            [claim.key for claim in claims] or [budget.key() for budget in self._budgets],
            self._dimensions,
            provider=self.request.provider,
            model=(reading.model if reading is not None else None) or self.request.model,
            usages=reading.usages if reading is not None else (),
            cost=cost,
        )

    def _onto_span(self, outcome: str, reading: Reading | None, cost: Cost, error: str | None) -> None:
        self._attributes = {
            semconv.CALL_OUTCOME: outcome,
            semconv.CALL_ATTEMPTS: self._attempts,
            **({} if self._repeated else live_span.cost_attributes(cost)),
            **live_span.budget_attributes(self._budgets, self._dimensions),
            **call_span.answered(self.request, reading),
            **call_span.failed(self._failures),
        }
        if self.request.model != self._said_model:
            self._attributes[semconv.CALL_DOWNGRADED_TO] = self.request.model
        if error is not None:
            self._attributes[semconv.ERROR_TYPE] = error
            self._span.set_status(StatusCode.ERROR)
        if self._owns_span:
            self._span.set_attributes(self._attributes)
            self._span.end()
            live_span.cover(self._above)
        else:
            self._attributes = {**self._asked(), **self._attributes}
            self._watch_span()

    def _watch_span(self) -> None:
        """The call has ended before the span that stands for it, which may never end."""
        if self._standing:
            below = self._span.get_span_context()
            times = self._started, time.time_ns()
            figures = lost_spans.Figures(self.request, self._dimensions, self._attributes, below, *times)
            self._unless_lost = lost_spans.watch(self._standing[0], figures)

    def _asked(self) -> dict[str, Any]:
        """What was asked, for a span that says it in another way or not at all; which operation, it may know better."""
        asked = call_span.asked(self.request, self._dimensions)
        asked[semconv.GEN_AI_REQUEST_MODEL] = self._said_model
        stated = getattr(self._span, "attributes", None) or {}
        if semconv.GEN_AI_OPERATION_NAME in stated:
            del asked[semconv.GEN_AI_OPERATION_NAME]
        if semconv.GEN_AI_PROVIDER_NAME in stated and not self.request.known_provider:
            del asked[semconv.GEN_AI_PROVIDER_NAME]
        return asked


class _GivenUp:
    """A call that the application gave up with `error` while a budget had it wait."""

    ended = False

    def __init__(self, call: Call, error: BaseException) -> None:
        self._call, self._error = call, error

    def stream_ends(self) -> None:
        """The call ends."""
        self._call._stays(self._error)  # noqa: SLF001 - of this module


_MOST_SAID = 1000
_said: set[tuple[str, str | None]] = set()


def _say_once(request: Request, reason: str | None) -> None:
    """One line a model, so that unknown cost does not pass unnoticed."""
    key = (request.provider, request.model)
    if key not in _said and len(_said) < _MOST_SAID:
        _said.add(key)
        advice = pricing.advice(request.provider, request.model or "", reason)
        _logger.warning("the cost of calls to %r is unknown: %s%s", request.model, reason, advice)
