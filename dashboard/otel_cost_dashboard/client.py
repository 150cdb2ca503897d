"""The ledger's read API, over HTTP and nothing else.

Money arrives as decimal strings and stays `Decimal`. Whatever goes wrong leaves as one of two errors, whose text says
where the dashboard looked and what to do:

    LedgerError
    ├── LedgerUnreachableError   nobody answered, or the service says that it cannot write its books
    └── LedgerAnswerError        somebody answered, but not what the API promises
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2

from otel_cost import access, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ssl import SSLContext

TIMEOUT_SECONDS: Final = 20.0
_Answer = TypeVar("_Answer")


class LedgerError(Exception):
    """The ledger service did not answer a question. The text is for the person who looks at the page."""


class LedgerUnreachableError(LedgerError):
    """No ledger service answers there, or it cannot read its books."""


class LedgerAnswerError(LedgerError):
    """Something answers there, but not what the ledger's API promises."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What some calls amount to.

    Attributes:
        calls: calls that were sent, whatever became of them.
        failed_calls: those that the provider or the network failed.
        cut_calls: those whose stream ended before its end.
        refused_calls: calls that a budget stopped; they are not part of `calls`.
        input_tokens: tokens sent, cached ones included.
        output_tokens: tokens received, reasoning included.
        cache_read_tokens: the part of `input_tokens` read from a cache.
        cache_write_tokens: the part of `input_tokens` written to a cache.
        reasoning_tokens: the part of `output_tokens` spent on reasoning.
        cost_usd: known and estimated cost together; None where calls were sent and none of them has a price.
        estimated_cost_usd: the estimated part of it.
        estimated_calls: calls whose cost is estimated.
        unknown_calls: calls without a price; their cost is in no figure here.
        unknown_input_tokens: what those calls sent.
        unknown_output_tokens: what those calls received.
    """

    calls: int
    failed_calls: int
    cut_calls: int
    refused_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    estimated_cost_usd: Decimal
    estimated_calls: int
    unknown_calls: int
    unknown_input_tokens: int
    unknown_output_tokens: int

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The part of the cost that is not estimated; None where there is no cost at all."""
        return None if self.cost_usd is None else self.cost_usd - self.estimated_cost_usd


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a summary: the value of each dimension asked for (None where calls carry none), and its figures."""

    keys: dict[str, str | None]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Summary:
    """The answer of ``/v1/summary``: rows by cost, descending (time buckets ascending), and the total of them all.

    Attributes:
        more_rows: how many rows there are beyond the limit.
    """

    rows: tuple[Row, ...]
    total: Figures
    more_rows: int


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget and its use over the whole life of its id. A budget has a limit in USD, in tokens, or in both."""

    dimension: str
    id: str
    limit_usd: Decimal | None
    limit_tokens: int | None
    spent_usd: Decimal | None
    spent_tokens: int
    calls: int
    unknown_calls: int
    refused_calls: int
    last_seen: str


@dataclass(frozen=True, slots=True)
class Budgets:
    """The answer of ``/v1/budgets``: by the share of each that is used, descending.

    Attributes:
        more_rows: how many there are beyond the limit.
    """

    rows: tuple[Budget, ...]
    more_rows: int


@dataclass(frozen=True, slots=True)
class Health:
    """What the service says of itself.

    Attributes:
        ledger: the file of its books.
        calls: how many calls are in them; None where it cannot write them, and says only why.
        failure: why it cannot write its books; None where it can.
    """

    ledger: str
    calls: int | None
    failure: str | None = None


class Ledger:
    """The ledger service at `url`. Safe to share between threads.

    Raises:
        LedgerUnreachableError: the certificate that it is to be checked by cannot be read.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy from the environment is for other hosts: through it, loopback would be the proxy's own.
        self._http = httpx2.Client(
            base_url=self.url,
            headers=access.headers(settings.READ_TOKEN),
            timeout=TIMEOUT_SECONDS,
            trust_env=not _is_loopback(self.url),
            verify=_tls() or True,
        )

    def close(self) -> None:
        """Close the connections to the service."""
        self._http.close()

    def summary(
        self,
        by: Sequence[str] = (),
        filters: Mapping[str, Sequence[str]] | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> Summary:
        """What was spent, by dimensions.

        Args:
            by: dimensions, ``model``, ``provider``, ``service``, ..., or the time buckets ``hour`` and ``day``.
            filters: which values of a dimension count; all of them where it is not mentioned.
            since: from when on, ISO 8601 or an age such as ``24h``; None is the beginning.
            until: before when, likewise; None is now.
            limit: how many rows at most; None is all.

        Raises:
            LedgerError: no answer, or not the promised one.
        """
        parameters = [("by", name) for name in by]
        parameters += [(name, value) for name, values in (filters or {}).items() for value in values]
        more = {"since": since, "until": until, "limit": limit}
        parameters += [(name, str(value)) for name, value in more.items() if value is not None]
        return self._ask("/v1/summary", lambda answer: _summary(answer, by), parameters)

    def budgets(self, limit: int) -> Budgets:
        """The budgets of which most is used, up to `limit`.

        Raises:
            LedgerError: no answer, or not the promised one.
        """
        return self._ask("/v1/budgets", _budgets, [("limit", str(limit))])

    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that occur in the books, those that ship first.

        Raises:
            LedgerError: no answer, or not the promised one.
        """
        return self._ask("/v1/dimensions", lambda answer: tuple(str(name) for name in answer["dimensions"]))

    def health(self) -> Health:
        """Which books the service keeps, and whether it can write them. Questions may be answered even if it cannot.

        Raises:
            LedgerError: no answer, or not the promised one.
        """
        return self._ask("/healthz", _health, also=httpx2.codes.SERVICE_UNAVAILABLE)

    def _ask(
        self, path: str, read: Callable[[Any], _Answer], parameters: Sequence[tuple[str, str]] = (), also: int = 200
    ) -> _Answer:
        """Get `path` and `read` its answer; an answer with the status `also` is one as well, not an error."""
        try:
            response = self._http.get(path, params=list(parameters))
        except httpx2.TimeoutException:
            raise LedgerUnreachableError(
                f"The ledger service at {self.url} did not answer within {TIMEOUT_SECONDS:g} s. Try again; if it "
                "stays so, see what its process is doing."
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LedgerUnreachableError(
                f"No ledger service answers at {self.url} ({error}){access.hint(error)}."
            ) from None
        if not response.is_success and response.status_code != also:
            raise _refusal(self.url, path, response)
        try:
            return read(response.json())
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise LedgerAnswerError(
                f"{self.url}{path} did not answer what the ledger's API promises ({type(error).__name__}: {error}). "
                "Is it the ledger service of this version of otel-cost?"
            ) from None


def _tls() -> SSLContext | None:
    try:
        return access.tls()
    except OSError as error:
        raise LedgerUnreachableError(f"{error.strerror}.") from None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(url: str, path: str, response: httpx2.Response) -> LedgerError:
    """What to tell about an answer that is an error: the service's own words where it has any."""
    reason = _reason(response)
    if response.status_code in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
        return LedgerUnreachableError(
            f"The ledger service at {url} does not let the explorer ask: {reason} Set {settings.READ_TOKEN.name}."
        )
    if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
        return LedgerUnreachableError(f"The ledger service at {url} cannot use its books: {reason}")
    return LedgerAnswerError(
        f"{url}{path} answered {response.status_code}: {reason} Is it the ledger service of this version of otel-cost?"
    )


def _reason(response: httpx2.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    words = (
        [answer[key] for key in ("reason", "detail", "error") if answer.get(key)] if isinstance(answer, dict) else []
    )
    text = str(words[0]) if words else response.reason_phrase or "no reason given"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"money must be a decimal string, not {text!r}")
    return Decimal(text)


def _health(answer: Mapping[str, Any]) -> Health:
    if answer["status"] == "ok":
        return Health(str(answer["ledger"]), int(answer["calls"]))
    return Health(str(answer["ledger"]), None, failure=str(answer["reason"]))


def _summary(answer: Mapping[str, Any], by: Sequence[str]) -> Summary:
    return Summary(tuple(_row(row, by) for row in answer["rows"]), _figures(answer["total"]), int(answer["more_rows"]))


def _row(row: Mapping[str, Any], by: Sequence[str]) -> Row:
    return Row({name: None if row[name] is None else str(row[name]) for name in by}, _figures(row))


def _figures(answer: Mapping[str, Any]) -> Figures:
    money = {"cost_usd", "estimated_cost_usd"}
    counts = {name: int(answer[name]) for name in Figures.__slots__ if name not in money}
    estimated = _usd(answer["estimated_cost_usd"])
    return Figures(**counts, cost_usd=_usd(answer["cost_usd"]), estimated_cost_usd=estimated or Decimal(0))


def _budgets(answer: Mapping[str, Any]) -> Budgets:
    return Budgets(tuple(_budget(budget) for budget in answer["budgets"]), int(answer["more_rows"]))


def _budget(answer: Mapping[str, Any]) -> Budget:
    limit_tokens = answer["limit_tokens"]
    return Budget(
        dimension=str(answer["dimension"]),
        id=str(answer["id"]),
        limit_usd=_usd(answer["limit_usd"]),
        limit_tokens=None if limit_tokens is None else int(limit_tokens),
        spent_usd=_usd(answer["spent_usd"]),
        spent_tokens=int(answer["spent_tokens"]),
        calls=int(answer["calls"]),
        unknown_calls=int(answer["unknown_calls"]),
        refused_calls=int(answer["refused_calls"]),
        last_seen=str(answer["last_seen"]),
    )
