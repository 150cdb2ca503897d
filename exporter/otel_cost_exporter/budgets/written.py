"""What the ledger's file says of budgets that processes share, read and written beside its calls."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import duckdb
import pyarrow as pa

from otel_cost import semconv
from otel_cost.budgets.rule import Key
from otel_cost.budgets.window import started
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_cost.budgets.tree import Amount
    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.file.database import Database

_DECIMAL: Final = pa.decimal128(38, 12)
_ACCOUNTS: Final = pa.schema(
    [
        *((name, pa.string()) for name in Key._fields),
        ("limit_amount", _DECIMAL),
        ("spent", _DECIMAL),
        ("calls", pa.int64()),
        ("booked_ts", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True, slots=True)
class Account:
    """What has been spent of one budget, as it is written down."""

    key: Key
    spent: Amount
    calls: int
    limit_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody decided about a budget.

    Attributes:
        given_ts: when, in UTC without a zone.
        given_by: who.
        kind: ``limit`` puts a limit in the place of whatever calls bring, ``stop`` and ``resume`` are for all accounts
            of the id.
        unit: of the account that a limit is for, as is `period`.
        reason: why it was stopped.
    """

    given_ts: datetime
    given_by: str
    kind: Literal["limit", "stop", "resume"]
    dimension: str
    id: str
    unit: str | None = None
    period: str | None = None
    limit_amount: Decimal | None = None
    reason: str | None = None


class Written:
    """The tables of budgets in an open ledger. May be used by many threads at once.

    Args:
        database: the open ledger.
        reader: reads its calls.
    """

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database: Final = database
        self._reader: Final = reader
        self._writing: Final = threading.Lock()

    def spent_by_calls(self, key: Key, before: datetime | None = None) -> Account:
        """What the calls in the books have spent of the account, those that began `before` then."""
        found = self._reader.spent(key.dimension, key.id, started(key.period), before)
        in_tokens = key.unit == semconv.TOKENS
        return Account(key, found["spent_tokens"] if in_tokens else found["spent_usd"], found["calls"])

    def account(self, key: Key) -> Account | None:
        """The account, where it is written down."""
        where = "AND " + " AND ".join(f"{name} = ${name}" for name in Key._fields)
        return next(iter(self._accounts(where, key._asdict())), None)

    def accounts(self) -> list[Account]:
        """All accounts that are written down."""
        return self._accounts("", {})

    def orders(self) -> list[Order]:
        """What people decided, the oldest first."""
        with self._reader.reading() as cursor:
            return [Order(*row) for row in cursor.execute(statements.load("queries/budget_orders")).fetchall()]

    def write_accounts(self, accounts: Iterable[Account], now: datetime) -> None:
        """Write down how these accounts stand.

        Raises:
            LedgerDownError: the file cannot be written now.
        """
        rows = [
            {
                **each.key._asdict(),
                "limit_amount": each.limit_amount,
                "spent": _exact(each.spent),
                "calls": each.calls,
                "booked_ts": now,
            }
            for each in accounts
        ]
        self._write("writes/budget_accounts", batch=pa.Table.from_pylist(rows, _ACCOUNTS))

    def write_order(self, order: Order) -> None:
        """Write down what somebody decided.

        Raises:
            LedgerDownError: the file cannot be written now.
        """
        self._write("writes/budget_orders", **asdict(order))

    def _accounts(self, where: str, parameters: dict[str, str]) -> list[Account]:
        query = statements.load("queries/budget_accounts").replace("/* where */", where)
        with self._reader.reading() as cursor:
            rows = cursor.execute(query, parameters).fetchall()
        return [_account(Key(*row[:4]), *row[4:7]) for row in rows]

    def _write(self, statement: str, batch: pa.Table | None = None, **parameters: object) -> None:
        with self._writing, closing(self._database.cursor()) as cursor:
            try:
                if batch is not None:
                    cursor.register("batch", batch)
                cursor.execute(statements.load(statement), parameters)
            except duckdb.Error as error:
                raise LedgerDownError(f"budgets cannot be written: {str(error).splitlines()[0]}") from None


def _account(key: Key, limit_amount: Decimal | None, spent: Decimal, calls: int) -> Account:
    in_tokens = key.unit == semconv.TOKENS
    return Account(key, int(spent) if in_tokens else spent, calls, limit_amount)


def _exact(amount: Amount) -> Decimal:
    """`amount` with the decimals that the file keeps: a rate for unknown prices can have more."""
    return Decimal(amount).quantize(_QUANTUM)


_QUANTUM: Final = Decimal(1).scaleb(-12)


def moment(seconds: float) -> datetime:
    """A time of the books: UTC without a zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
