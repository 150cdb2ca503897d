"""Who may do what: bearer tokens, one for each right, or one for all."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from otel_cost import access, settings
from otel_cost_exporter.errors import ForbiddenError, UnknownSenderError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

READ: Final = "ask questions"
WRITE: Final = "send calls"
BUDGETS: Final = "change budgets"
KEEP: Final = "keep the books"
_SETTINGS: Final = {
    READ: settings.READ_TOKEN,
    WRITE: settings.WRITE_TOKEN,
    BUDGETS: settings.BUDGET_TOKEN,
    KEEP: settings.KEEP_TOKEN,
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of each right; None where everybody has it.

    Attributes:
        read: what whoever asks questions must show one of.
        write: what whoever sends calls must show one of.
        budgets: what whoever changes budgets must show one of.
        keep: what whoever mends, prunes and prices the books anew must show one of.
    """

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    budgets: tuple[str, ...] | None = None
    keep: tuple[str, ...] | None = None

    @classmethod
    def of_settings(cls) -> Self:
        """Those of the environment. As soon as there is one, nobody has the rights that there is none for."""
        found = [access.tokens(variable) for variable in _SETTINGS.values()]
        return cls() if not any(each is not None for each in found) else cls(*(each or () for each in found))

    @property
    def everybody_may(self) -> tuple[str, ...]:
        """The rights that need no token."""
        return tuple(right for right, tokens in self._by_right().items() if tokens is None)

    def check(self, rights: AbstractSet[str], authorization: str | None) -> None:
        """See that whoever shows `authorization`, the header of that name, has one of `rights`.

        Raises:
            UnknownSenderError: the token is missing, or nobody has given it out.
            ForbiddenError: it is for something else.
        """
        by_right = self._by_right()
        if any(by_right[right] is None for right in rights):
            return
        wanted = " or ".join(sorted(rights))
        if not any(by_right[right] for right in rights):
            variables = " or ".join(_SETTINGS[right].name for right in sorted(rights))
            raise UnknownSenderError(
                f"to {wanted}, a token is needed that this service does not have: it wants {variables}"
            )
        scheme, _, shown = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            raise UnknownSenderError(f"to {wanted}, a token is needed: Authorization: Bearer TOKEN")
        held = {right for right, tokens in by_right.items() if _is_one_of(shown.strip(), tokens or ())}
        if not held:
            raise UnknownSenderError(f"to {wanted}, another token is needed: this one is unknown")
        if held.isdisjoint(rights):
            raise ForbiddenError(f"to {wanted}, another token is needed: this one is to {' and '.join(sorted(held))}")

    def _by_right(self) -> dict[str, tuple[str, ...] | None]:
        return {READ: self.read, WRITE: self.write, BUDGETS: self.budgets, KEEP: self.keep}


OPEN: Final = Tokens()
"""Everybody may do everything."""


def _is_one_of(shown: str, tokens: tuple[str, ...]) -> bool:
    """Whether it is, in a time that does not tell how much of it is right."""
    same = [hmac.compare_digest(shown.encode(errors="replace"), token.encode()) for token in tokens]
    return any(same)
