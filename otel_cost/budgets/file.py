"""The user's own budgets: the file that `OTEL_COST_BUDGETS` names, read as a whole and again when it changes.

What it says holds only where all of it can be read. What is bad where it was good before leaves the last good budgets
where they are; what was never good lets nothing through, since nobody knows what it forbids.
"""

from __future__ import annotations

import logging
import re
import time
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from otel_cost import settings
from otel_cost.budgets.rule import PLAIN
from otel_cost.toml_file import Complaints, TextFile, header, line_of, placed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_cost.budgets.config import BudgetConfig, Model
    from otel_cost.budgets.profiles import Profile
    from otel_cost.budgets.rule import Budget, Policy

_logger = logging.getLogger(__name__)
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at the file; the first call after them looks."""
_BUDGET: Final = header("budget")
_PROFILE: Final = header("profile")
_DEFAULTS: Final = re.compile(r"^[ \t]*\[[ \t]*defaults[ \t]*\]", re.MULTILINE)
_TABLE: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
_KNOWN: Final = (
    "write [[budget]] above the keys of each budget, [defaults] above those that hold for all, [[profile]] above those "
    "of each profile of models"
)


@dataclass(frozen=True, eq=False, slots=True)
class Rules:
    """What a file of budgets says.

    Attributes:
        budgets: its budgets, each for every id that it matches.
        defaults: how a budget is treated that does not say so itself: one in the baggage of a request.
        flaw: why it cannot be read, so that nothing is let through; None mostly.
        profiles: which models stages and roles ask.
    """

    budgets: tuple[BudgetConfig, ...] = ()
    defaults: Policy = PLAIN
    flaw: str | None = None
    profiles: tuple[Profile, ...] = ()

    @property
    def are_some(self) -> bool:
        """Whether it says anything."""
        return bool(self.budgets or self.profiles) or self.defaults != PLAIN

    def of(self, dimension: str, id: str) -> Iterator[Budget]:  # noqa: A002 - what it is
        """The budgets of one id."""
        for config in self.budgets:
            if config.dimension == dimension and fnmatchcase(id, config.match):
                yield config.budget(id)


NONE: Final = Rules()


class BudgetFileError(ValueError):
    """A file of budgets that cannot be read: each problem, with the line that it is on."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def rules() -> Rules:
    """The budgets of the user's file as they are now."""
    found = _file()
    return NONE if found is None else found.now()


@lru_cache(maxsize=1)
def _file() -> BudgetFile | None:
    path = settings.get(settings.BUDGETS)
    return None if path is None else BudgetFile(path)


class BudgetFile:
    """A file of budgets that is looked at now and then, by whoever asks."""

    def __init__(self, path: Path) -> None:
        self._file = TextFile(path)
        self._complaints = Complaints(_logger, settings.BUDGETS.name)
        self._rules: Rules | None = None
        self._rules = self._look()
        self._next = time.monotonic() + LOOK_EVERY

    def now(self) -> Rules:
        """What it says."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_EVERY
            self._rules = self._look()
        return self._rules or NONE

    def _look(self) -> Rules:
        last = self._rules
        try:
            text = self._file.changed()
            if text is None and last is not None:
                return last
            found = read(text or "", str(self._file.path))
        except (OSError, UnicodeDecodeError) as error:
            problems = [f"{self._file.path} cannot be read: {error}"]
        except BudgetFileError as error:
            problems = error.problems
        else:
            if found.are_some or last is None or not last.are_some:
                self._complaints.are()
                return found
            problems = [f"{self._file.path} says nothing"]  # as it also does for a moment while somebody writes it
        if last is not None and last.flaw is None:
            self._complaints.are(*problems, "the budgets that were good last hold")
            return last
        self._complaints.are(*problems, "no call is let through until it can be read")
        return Rules(flaw=f"{settings.BUDGETS.name}: {problems[0]}. It lets nothing through")


def read(text: str, name: str) -> Rules:
    """What `text`, a file of that name, says.

    Raises:
        BudgetFileError: some of it cannot be read.
    """
    try:
        written = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise BudgetFileError([placed(name, 1, str(error))]) from None
    reader = _Reader(text, name)
    found = reader.rules(written)
    if reader.problems:
        raise BudgetFileError(reader.problems)
    return found


class _Reader:
    """Reads a file of budgets, and goes on after a problem, so that all are said at once."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self.problems: list[str] = []

    def rules(self, written: dict[str, Any]) -> Rules:
        from otel_cost.budgets.config import BudgetConfig, PolicyConfig  # noqa: PLC0415 - needs what few processes need
        from otel_cost.budgets.profile_config import ProfileConfig  # noqa: PLC0415 - likewise

        defaults = written.pop("defaults", {})
        budgets, profiles = self._items(written, "budget"), self._items(written, "profile")
        policy = self._one(PolicyConfig, defaults, next(self._places(_DEFAULTS)), {})
        for key in written:
            self._says(self._whole, key, f"{key}: {_KNOWN}")
        others = {} if policy is None else defaults
        found = [self._one(BudgetConfig, *one, others) for one in zip(budgets, self._places(_BUDGET), strict=False)]
        models = [self._one(ProfileConfig, *one, {}) for one in zip(profiles, self._places(_PROFILE), strict=False)]
        return Rules(
            budgets=tuple(budget for budget in found if budget),
            defaults=PLAIN if policy is None else policy.policy,
            profiles=tuple(config.profile for config in models if config),
        )

    def _items(self, written: dict[str, Any], table: str) -> list[Any]:
        """The items of the array ``[[table]]``, taken out of `written`."""
        items = written.pop(table, [])
        if isinstance(items, list):
            return items
        self._says(self._whole, table, f"{table}: {_KNOWN}")
        return []

    @property
    def _whole(self) -> tuple[str, int]:
        return self._text, 1

    def _one(self, model: type[Model], item: Any, place: tuple[str, int], defaults: dict[str, Any]) -> Model | None:
        """`item`, which is written at `place`; None where it cannot be read."""
        from otel_cost.budgets.config import BudgetError, checked  # noqa: PLC0415 - likewise

        if not isinstance(item, dict):
            self._says(place, None, _KNOWN)
            return None
        try:
            return checked(model, {**defaults, **item}, set(item))
        except BudgetError as error:
            for key, problem in error.problems:
                self._says(place, key, problem)
            return None

    def _says(self, place: tuple[str, int], key: str | None, problem: str) -> None:
        self.problems.append(f"{self._name}:{line_of(*place, key)}: {problem}")

    def _places(self, begins: re.Pattern[str]) -> Iterator[tuple[str, int]]:
        """Where each item is: its text, and the line on which it begins; the whole file, where no header tells."""
        for match in begins.finditer(self._text):
            end = _TABLE.search(self._text, match.end())
            block = self._text[match.start() : end.start() if end else None]
            yield block, self._text.count("\n", 0, match.start()) + 1
        while True:
            yield self._whole
