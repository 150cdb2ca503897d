"""Budgets in the ledger service: the processes of one machine, or of several, share them over HTTP.

The requests go by `http.client`, which nobody instruments: they are no calls of the application, are in none of its
traces, and carry none of its baggage.
"""

from __future__ import annotations

import getpass
import json
import socket
from contextlib import suppress
from decimal import Decimal
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from otel_cost import access, money, settings
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import NobodyThereError, StoreGoneError
from otel_cost.budgets.rule import PLAIN, Key
from otel_cost.budgets.tree import Decision, Standing, Verdict
from otel_cost.budgets.window import span_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otel_cost.budgets.rule import Policy
    from otel_cost.budgets.shared import Booking
    from otel_cost.budgets.tree import Amount, Claim, Hold, Spend
    from otel_cost.settings import Variable

    Document = dict[str, Any]

_TIMEOUT_SECONDS: Final = 5.0
_OK: Final = 200
_NO_SUCH_PATH: Final = {"detail": "Not Found"}
"""What others on FastAPI answer to a path that they do not know. The ledger's answers say what is missing."""
_FINAL: Final = frozenset({400, 413, 422})
_WANT_TOKEN: Final = frozenset({401, 403})
_MOST_IDLE: Final = 100


class RefusedError(StoreGoneError):
    """The service answers, and does not do what it was asked; the text is its own.

    Attributes:
        status: the HTTP status.
        wants_token: whether it wants another token than was shown.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.is_final = status, status in _FINAL
        self.wants_token = status in _WANT_TOKEN


class Service:
    """The ledger service at `url`, asked by many threads at once, each over a connection that is kept for the next.

    Args:
        url: its base URL.
        timeout_seconds: how long an answer is waited for.
        token: the setting of the token for what it is asked.
    """

    def __init__(
        self, url: str, timeout_seconds: float = _TIMEOUT_SECONDS, token: Variable = settings.BUDGET_TOKEN
    ) -> None:
        self.url, self._parts, self._timeout, self._token = url, urlsplit(url), timeout_seconds, token
        self._idle: list[HTTPConnection] = []  # its methods are atomic

    def close(self) -> None:
        """Close the connections that are kept; in a forked child the parent's stay open."""
        while self._idle:
            self._idle.pop().close()

    def ask(self, method: str, path: str, body: Document | None = None) -> Document:
        """The document that the service answers.

        Raises:
            RefusedError: it answers that it will not.
            NobodyThereError: nobody listens there, or something else answers.
            StoreGoneError: it does not answer.
        """
        with suppress(IndexError, ConnectionError, BadStatusLine):  # it was closed since it was used last
            return self._asked(self._idle.pop(), method, path, body)
        self.close()  # the others are as old
        try:
            return self._asked(self._connection(), method, path, body)
        except (OSError, BadStatusLine) as error:
            raise NobodyThereError(_reason(error)) from None

    def _connection(self) -> HTTPConnection:
        if self._parts.scheme == "https":
            return HTTPSConnection(self._parts.netloc, timeout=self._timeout, context=access.tls())
        return HTTPConnection(self._parts.netloc, timeout=self._timeout)

    def _asked(self, connection: HTTPConnection, method: str, path: str, body: Document | None) -> Document:
        content = None if body is None else json.dumps(body).encode()
        headers = access.headers(self._token) | ({} if content is None else {"Content-Type": "application/json"})
        try:
            connection.request(method, self._parts.path + path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (ConnectionError, BadStatusLine):
            connection.close()
            raise
        except (OSError, HTTPException) as error:
            connection.close()
            raise StoreGoneError(_reason(error)) from None
        if answer.will_close or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)
        return _document(answer.status, text)


def _document(status: int, text: bytes) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or (status != _OK and "detail" not in found) or found == _NO_SUCH_PATH:
        raise NobodyThereError("what answers there is no ledger service")
    if status != _OK:
        raise RefusedError(status, str(found["detail"]))
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + access.hint(error)
    return str(error) or type(error).__name__


class ServiceServer:
    """Accounts in the ledger service at `url`. See `shared.Server`."""

    def __init__(self, url: str) -> None:
        self.where, self._service = url, Service(url)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._service.close()

    def forked(self) -> None:
        """See `shared.Server`."""
        self._service.close()

    def reserve(self, hold: Hold, lease_seconds: float) -> Decision | None:
        """See `shared.Server`."""
        asked = {"hold": hold.id, "lease_seconds": lease_seconds, "claims": _claims(hold.claims)}
        answer = self._service.ask("POST", "/v1/budgets/reserve", asked)
        if answer["held"]:
            return None
        claim = hold.claims[answer["claim"]]
        return Decision(Verdict[answer["verdict"].upper()], claim, _standing(answer["standing"]))

    def book(self, bookings: Sequence[Booking]) -> Sequence[Sequence[Standing]]:
        """See `shared.Server`."""
        found: list[Sequence[Standing]] = []
        for kind, group in groupby(bookings, key=attrgetter("kind")):
            several = list(group)
            if kind == "release":
                self._service.ask("POST", "/v1/budgets/release", {"holds": [each.id for each in several]})
                found += [()] * len(several)
                continue
            name = "hold" if kind == "settle" else "charge"
            asked = {kind: [{name: each.id, **_spent(each.claims, each.spend)} for each in several]}
            answer = self._service.ask("POST", f"/v1/budgets/{kind}", asked)
            found += [[_standing(each) for each in standings] for standings in answer["standings"]]
        return found

    def put_limit(self, key: Key, limit: Limit) -> None:
        """See `shared.Server`."""
        self._service.ask(
            "PUT", f"{_path(key)}/limit", {"limit": limit.text, "by": who(), "window": span_of(key.period)}
        )

    def stop(self, key: Key, reason: str) -> None:
        """See `shared.Server`; all accounts of the id."""
        self._service.ask("POST", f"{_path(key)}/stop", {"reason": reason, "by": who()})

    def resume(self, key: Key) -> None:
        """See `shared.Server`; all accounts of the id."""
        self._service.ask("POST", f"{_path(key)}/resume", {"by": who()})

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        """See `shared.Server`."""
        if keys is None:
            return [_of_row(row) for row in self._service.ask("GET", "/v1/budgets")["budgets"]]
        rows = chain.from_iterable(self._rows(path) for path in {_path(key) for key in keys})
        return [found for found in map(_of_row, rows) if found.key in keys]

    def _rows(self, path: str) -> list[Document]:
        try:
            rows: list[Document] = self._service.ask("GET", path)["budgets"]
        except RefusedError:  # there is no budget of that id
            return []
        return rows


def path_of(dimension: str, id: str) -> str:  # noqa: A002 - what it is
    """Where the service tells of the budgets of one id."""
    return f"/v1/budgets/{quote(dimension, safe='')}/{quote(id, safe='')}"


def _path(key: Key) -> str:
    return path_of(key.dimension, key.id)


def who() -> str:
    """Who this is, for whoever reads later who decided something."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # in a container, a user may have a number alone
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


# --- as the service reads and writes it ----------------------------------------------------------------------------
def _claims(claims: Sequence[Claim]) -> list[Document]:
    return [_claim(each) for each in claims]


def _claim(claim: Claim) -> Document:
    limit = claim.budget.limit
    return {
        "dimension": claim.key.dimension,
        "id": claim.key.id,
        "period": claim.key.period,
        "limit": limit.text,
        "flaw": limit.flaw,
        "amount": _text(claim.amount),
        "own": _text(claim.own),
        "passes": claim.passes,
        "reason": claim.reason,
        "policy": _policy(claim.budget.policy),
    }


def _policy(policy: Policy) -> Document:
    """What is not as it is mostly."""
    found: Document = {}
    for name in PLAIN.__slots__:
        value = getattr(policy, name)
        if value != getattr(PLAIN, name):
            shown = [str(each) for each in value] if isinstance(value, tuple) else value
            found[name] = str(shown) if isinstance(shown, Decimal) else shown
    return found


def _spent(claims: Sequence[Claim], spend: Spend | None) -> Document:
    usd, tokens, calls = (None, None, 0) if spend is None else (spend.usd, spend.tokens, spend.calls)
    return {"claims": _claims(claims), "usd": _text(usd), "tokens": tokens, "calls": calls}


def _text(amount: Amount | None) -> str | None:
    return None if amount is None else f"{Decimal(amount):f}"


def _standing(found: Document) -> Standing:
    limit = Limit.parse(found["limit"])
    return Standing(
        Key(found["dimension"], found["id"], found["unit"], found["period"]),
        limit,
        _amount(found["spent"], limit),
        _amount(found["held"], limit),
        found["under_way"],
        found["calls"],
        found["stopped"],
        tuple(Decimal(share) for share in found["crossed"]),
    )


def _of_row(row: Document) -> Standing:
    in_tokens = row["unit"] != money.CURRENCY
    limit = Limit.of_tokens(row["limit"]) if in_tokens else Limit.of_usd(row["limit"])
    return _standing({**row, "limit": limit.text, "stopped": row["reason"], "crossed": ()})


def _amount(text: str, limit: Limit) -> Amount:
    return int(text) if limit.in_tokens else Decimal(text)
