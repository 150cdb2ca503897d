"""Budgets over HTTP: the accounts that processes share, and what people decide about them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request  # noqa: TC002 - FastAPI reads the annotations

from otel_cost import money, semconv
from otel_cost.budgets.config import BudgetStatus
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.pick import pick
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tree import Standing
from otel_cost_exporter.answers import question
from otel_cost_exporter.answers.shapes import Refusal
from otel_cost_exporter.answers.words import amount as text_of
from otel_cost_exporter.api import shapes
from otel_cost_exporter.api.documented import described
from otel_cost_exporter.api.parameters import ID, no_parameter
from otel_cost_exporter.api.shapes import BudgetRow, Given
from otel_cost_exporter.budgets.accounts import Status, limit_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.budgets.accounts import Accounts
    from otel_cost_exporter.budgets.written import Order

    Document = dict[str, Any]

_PATH: Final = "/{dimension}/" + ID
_WHICH: Final[Document] = {"model": Refusal, "description": "The id has several budgets in that unit: say the window."}
_BY_ID: Final = ("spent_usd", "spent_tokens", "unknown_calls", "refused_calls", "last_seen")


def routes(accounts: Accounts, reader: Reader) -> APIRouter:
    """The routes of `accounts`; what calls in the books have spent, `reader` knows."""
    router = APIRouter(prefix="/v1/budgets", tags=["budgets"])
    _of_calls(router, accounts)
    _of_people(router, accounts, reader)
    return router


def _of_calls(router: APIRouter, accounts: Accounts) -> None:
    @router.post("/reserve")
    def reserve(asked: shapes.Reserve) -> dict[str, Any]:
        """Hold what a call may spend of all its budgets, or nothing: then why."""
        claims = [each.claim for each in asked.claims]
        decision = accounts.reserve(asked.hold, claims, asked.lease_seconds)
        if decision is None:
            return {"held": True}
        return {
            "held": False,
            "verdict": decision.verdict.name.lower(),
            "claim": claims.index(decision.claim),
            "standing": _standing(decision.standing),
        }

    @router.post("/settle")
    def settle(asked: shapes.Settle) -> dict[str, Any]:
        """Put what calls have spent in the place of what they held. What is sent again counts once."""
        return {"standings": [_standings(accounts.settle(each.hold, *each.spent)) for each in asked.settle]}

    @router.post("/charge")
    def charge(asked: shapes.Charge) -> dict[str, Any]:
        """Book what was spent that nothing was held for. What is sent again counts once."""
        return {"standings": [_standings(accounts.settle(each.charge, *each.spent)) for each in asked.charge]}

    @router.post("/release")
    def release(asked: shapes.Release) -> dict[str, Any]:
        """Give holds back of which nothing was spent."""
        for hold in asked.holds:
            accounts.release(hold)
        return {"standings": [[] for _ in asked.holds]}

    @router.post("/accounts")
    def known(asked: shapes.Accounts) -> dict[str, Any]:
        """What was spent of accounts, and what people decided, for a process that keeps them itself."""
        return {"accounts": [_known(accounts, each) for each in asked.accounts]}


def _known(accounts: Accounts, asked: shapes.Asked) -> Document:
    put, stop = accounts.asks(asked.key, Limit.parse(asked.limit) if asked.limit else None, paused=asked.paused)
    found: Document = {
        "limit_put": None if put is None else {"limit": limit_of(asked.key, put.limit_amount).text, "at": _time(put)},
        "stop": None if stop is None else {"reason": reason_of(stop), "at": _time(stop)},
    }
    if asked.before is not None:
        past = accounts.past(asked.key, asked.before)
        found |= {"spent": text_of(past.spent, asked.unit), "calls": past.calls}
    return found


def _of_people(router: APIRouter, accounts: Accounts, reader: Reader) -> None:
    rows = _Rows(accounts, reader)

    @router.get("", openapi_extra=described({"limit"}, filters=()))
    def budgets(request: Request) -> shapes.BudgetRows:
        """Every budget that was seen and how it stands, the most used first."""
        return rows.most_used(question.read(request.query_params.multi_items(), (), {"limit"}, filters=()).limit)

    @router.get(_PATH, dependencies=[Depends(no_parameter)])
    def budgets_of_one(dimension: str, id: str) -> dict[str, list[BudgetRow]]:  # noqa: A002 - what it is
        """Every budget of one id."""
        return {"budgets": rows.of(dimension, id)}

    @router.put(_PATH + "/limit", responses={409: _WHICH})
    def put_limit(dimension: str, id: str, asked: shapes.PutLimit) -> dict[str, list[BudgetRow]]:  # noqa: A002 - what it is
        """Put a limit in the place of whatever limit calls bring. It lifts a stop."""
        limit, known = Limit.parse(asked.limit), [status.standing.key for status in rows.statuses(dimension, id)]
        try:
            key = pick(known, Key(_dimension(dimension), id, limit.unit), asked.window, datetime.now(UTC))
        except ValueError as error:
            raise HTTPException(409, str(error)) from None
        accounts.put_limit(key, limit, asked.by)
        return {"budgets": rows.of(dimension, id)}

    @router.post(_PATH + "/stop")
    def stop(dimension: str, id: str, asked: shapes.Stop) -> dict[str, list[BudgetRow]]:  # noqa: A002 - what it is
        """Let no call under a budget of the id through any more."""
        accounts.stop(_dimension(dimension), id, asked.reason, asked.by)
        return {"budgets": rows.of(dimension, id)}

    @router.post(_PATH + "/resume")
    def resume(dimension: str, id: str, asked: shapes.Resume) -> dict[str, list[BudgetRow]]:  # noqa: A002 - what it is
        """Lift a stop."""
        rows.of(dimension, id)
        accounts.resume(dimension, id, asked.by)
        return {"budgets": rows.any_of(dimension, id)}  # none, where nothing but the stop was known of the id


def _dimension(name: str) -> str:
    try:
        return semconv.check_dimension(name)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


class _Rows:
    """The rows of ``GET /v1/budgets``: accounts in use or decided about, and budgets that calls in the books name."""

    def __init__(self, accounts: Accounts, reader: Reader) -> None:
        self._accounts, self._reader = accounts, reader

    def most_used(self, limit: int | None) -> shapes.BudgetRows:
        """The most used first, up to `limit` of them; None: all."""
        statuses = self._accounts.statuses()
        if limit is None:
            return shapes.BudgetRows(budgets=_rows(statuses, self._reader.budgets()), more_rows=0)
        # What has an account may have spent more than the books say, so it may be among the first.
        theirs = self._reader.budgets_of({status.standing.key[:2] for status in statuses})
        first, in_books = self._reader.most_used_budgets(limit)
        twice = len(theirs) - len(_without_account(statuses, theirs))
        found = _rows(statuses, [*theirs, *first])[:limit]
        return shapes.BudgetRows(budgets=found, more_rows=len(statuses) + in_books - twice - len(found))

    def of(self, dimension: str, id: str) -> list[BudgetRow]:  # noqa: A002 - what it is
        """Those of one id.

        Raises:
            HTTPException: there are none.
        """
        found = self.any_of(dimension, id)
        if not found:
            raise HTTPException(404, f"no budget of {dimension} {id!r} is known: no call has brought one so far")
        return found

    def any_of(self, dimension: str, id: str) -> list[BudgetRow]:  # noqa: A002 - what it is
        """Those of one id, if there are any."""
        return _rows(self._of(dimension, id), self._reader.budgets_of([(dimension, id)]))

    def statuses(self, dimension: str, id: str) -> list[Status]:  # noqa: A002 - what it is
        """How each account of one id stands."""
        theirs = self._of(dimension, id)
        return [*theirs, *_without_account(theirs, self._reader.budgets_of([(dimension, id)]))]

    def _of(self, dimension: str, id: str) -> list[Status]:  # noqa: A002 - what it is
        return [each for each in self._accounts.statuses() if each.standing.key[:2] == (dimension, id)]


def _rows(statuses: Sequence[Status], seen: Sequence[Document]) -> list[BudgetRow]:
    """The rows of accounts and of budgets that calls in the books name, the most used first."""
    by_id = {(row["dimension"], row["id"]): row for row in seen}
    listed = [*statuses, *_without_account(statuses, list(by_id.values()))]
    rows = [_row(status, by_id.get(status.standing.key[:2])) for status in listed]
    return sorted(rows, key=lambda row: (-row.used, row.dimension, row.id, row.unit, row.period))


def _without_account(statuses: Sequence[Status], seen: Sequence[Document]) -> list[Status]:
    """The budgets that only calls in the books name; these do not say of which window."""
    listed = {status.standing.key[:3] for status in statuses}
    by_calls = map(_of_books, seen)
    return [status for status in by_calls if status.standing.key[:3] not in listed]


def _of_books(row: Document) -> Status:
    """A budget that calls in the books name."""
    usd = row["limit_usd"]
    limit = Limit.of_usd(usd) if usd is not None else Limit.of_tokens(row["limit_tokens"])
    return Status(Standing(Key(row["dimension"], row["id"], limit.unit), limit, 0, 0, 0, 0, None))


def _row(status: Status, seen: Document | None) -> BudgetRow:
    """The row of an account. What the calls in the books have spent counts, where that is more."""
    standing = status.standing
    in_tokens, amount = standing.limit.in_tokens, standing.limit.amount
    if seen is not None and not standing.key.period:
        in_books = seen["spent_tokens"] if in_tokens else Decimal(seen["spent_usd"])
        standing = standing._replace(spent=max(standing.spent, in_books), calls=max(standing.calls, seen["calls"]))
    by_id: Document = {"spent_usd": None, "spent_tokens": 0}
    if seen is not None:
        by_id = {name: seen[name] for name in _BY_ID}
    elif in_tokens:
        by_id["spent_tokens"] = int(standing.spent)
    else:
        by_id["spent_usd"] = text_of(standing.spent, money.CURRENCY)
    by_id |= (
        {"limit_tokens": int(amount), "limit_usd": None}
        if in_tokens
        else {"limit_usd": money.text(amount), "limit_tokens": None}
    )
    people = {"limit_put": _given(status.limit_put, standing.key), "stop": _given(status.stop, standing.key)}
    stands = BudgetStatus.of(standing, status.policy, paused=status.paused)
    return BudgetRow.model_validate({**stands.model_dump(), **by_id, **people})


def _given(order: Order | None, key: Key) -> Given | None:
    if order is None:
        return None
    limit = limit_of(key, order.limit_amount).text if order.limit_amount is not None else None
    return Given(by=order.given_by, at=_time(order), limit=limit, reason=order.reason)


def _time(order: Order) -> str:
    return f"{order.given_ts.isoformat()}Z"


def _standings(standings: Sequence[Standing]) -> list[Document]:
    return [_standing(each) for each in standings]


def _standing(standing: Standing) -> Document:
    unit = standing.key.unit
    return {
        **standing.key._asdict(),
        "limit": standing.limit.text,
        "spent": text_of(standing.spent, unit),
        "held": text_of(standing.held, unit),
        "under_way": standing.under_way,
        "calls": standing.calls,
        "stopped": standing.stopped,
        "crossed": [str(share) for share in standing.crossed],
    }
