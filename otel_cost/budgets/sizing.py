"""How much a call may cost, before it leaves: what each of its budgets is asked to hold.

``strict`` holds what the call can become at most (`bound`), so that a budget is never passed. ``expected`` holds what
such calls cost lately (`learned`): input by the tokens that a byte made with the model before, output by the smoothed
mean of the answers to the model in the role, and two deviations; never more than the request allows.

The overshoot of ``expected``: what calls in flight exceed their holds by, and nothing else. When a call leaves, what is
spent and held, its own hold included, is within the limit. After the last one has left, that grows only by what a call
under way turns out to cost beyond its hold. So a limit is passed by at most the sum of that, over the calls which were
in flight when the last one left, itself among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_cost import money, pricing
from otel_cost.budgets import facts, learned
from otel_cost.budgets.bound import UnboundedError, bound_of
from otel_cost.budgets.tree import Claim
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_cost.budgets.bound import Bound
    from otel_cost.budgets.rule import Budget, Key, Policy
    from otel_cost.budgets.tree import Amount
    from otel_cost.pricing import Cost
    from otel_cost.usage import Request

Sized = tuple["Amount | None", str | None]
"""What is held; or None, and why nobody can tell."""

learn = learned.learn


def claims_of(
    request: Request, budgets: Iterable[Budget], own: Mapping[Key, Amount], role: str | None = None
) -> tuple[Claim, ...]:
    """What `request` asks of each of `budgets`.

    Args:
        request: what is about to leave.
        budgets: what it is charged to.
        own: what calls hold of their accounts that cannot end while this one waits.
        role: whose call it is: answers differ by role.
    """
    return Size(request, role).claims(budgets, own)


class Size:
    """How large one call is likely to become, and at most. Both are worked out only where a budget asks."""

    __slots__ = ("_bound", "_likely_usd", "_most_usd", "_request", "_role", "_tokens")

    def __init__(self, request: Request, role: str | None) -> None:
        self._request, self._role = request, role
        self._tokens: tuple[int, int] | None = None
        self._likely_usd: Sized | None = None
        self._bound: Bound | str | None = None
        self._most_usd: Sized | None = None

    def claims(self, budgets: Iterable[Budget], own: Mapping[Key, Amount]) -> tuple[Claim, ...]:
        """What the call asks of each of `budgets`, of whose accounts calls begun above it hold their `own`.

        What it is likely to cost is looked up each time: other calls may have ended meanwhile.
        """
        self._tokens = self._likely_usd = None
        claims: list[Claim] = []
        for budget in budgets:
            key = budget.key()
            amount, reason = self._asked_of(budget)
            claims.append(Claim(budget, key, amount, own.get(key, 0) if own else 0, False, reason))  # noqa: FBT003 - keywords cost time on every call's way
        return tuple(claims)

    def _asked_of(self, budget: Budget) -> Sized:
        """What is to be held of `budget`; or None, and why nobody can tell."""
        policy, in_tokens = budget.policy, budget.limit.in_tokens
        if policy.sizing == "strict":
            bound = self._at_most()
            if isinstance(bound, str):
                sized: Sized = (None, bound)
            else:
                sized = (bound.input_tokens + bound.output_tokens, None) if in_tokens else self._usd_at_most(bound)
        else:
            sized = (sum(self._likely_tokens()), None) if in_tokens else self._likely()
        return sized if sized[0] is not None else self._unknown(policy, in_tokens, sized[1])

    @money.exactly
    def _unknown(self, policy: Policy, in_tokens: bool, reason: str | None) -> Sized:  # noqa: FBT001 - one of two units
        """What is held of a call that nobody can size, as the policy says."""
        if policy.on_unknown == "allow":
            return 0, None
        if policy.on_unknown == "rate" and policy.unknown_rate is not None:
            tokens = sum(self._likely_tokens())
            return tokens if in_tokens else money.usd(policy.unknown_rate * tokens / 1_000_000), None
        return None, reason

    def _likely_tokens(self) -> tuple[int, int]:
        """Input and output, as such calls had them lately."""
        if self._tokens is None:
            request = self._request
            self._tokens = learned.input_tokens(request), learned.output_tokens(request, self._role)
        return self._tokens

    def _likely(self) -> Sized:
        """US dollars that such calls cost lately."""
        if self._likely_usd is None:
            request = self._request
            tokens = self._likely_tokens()
            flaw = _flaw(request)
            self._likely_usd = (
                (None, flaw)
                if flaw is not None
                else pricing.of_text(
                    provider=request.provider,
                    model=request.model or "",
                    input_tokens=tokens[0],
                    output_tokens=tokens[1],
                    terms=request.terms,
                )
            )
        return self._likely_usd

    def _at_most(self) -> Bound | str:
        """What the call can become at most; or why nobody can tell."""
        if self._bound is None:
            try:
                self._bound = bound_of(self._request)
            except UnboundedError as error:
                self._bound = f'sizing = "strict" finds no bound of this request: {error}'
        return self._bound

    def _usd_at_most(self, bound: Bound) -> Sized:
        if self._most_usd is None:
            request = self._request
            flaw = _flaw(request)
            if flaw is None and facts.routes(request.provider):
                flaw = f'sizing = "strict" finds no price: {request.provider} has others serve the model, at their own'
            cost = (
                pricing.Cost.unknown(flaw)
                if flaw is not None
                else pricing.most(
                    provider=request.provider,
                    model=request.model or "",
                    input_tokens=bound.input_tokens,
                    output_tokens=bound.output_tokens,
                    kinds=bound.kinds,
                    tiers=bound.tiers,
                    terms=bound.terms,
                )
            )
            self._most_usd = cost.amount, cost.reason
        return self._most_usd


def likely_cost(request: Request, role: str | None = None) -> Cost:
    """What `request` is likely to cost."""
    flaw = _flaw(request)
    if flaw is not None:
        return pricing.Cost.unknown(flaw)
    usage = Usage(input_tokens=learned.input_tokens(request), output_tokens=learned.output_tokens(request, role))
    return pricing.price(provider=request.provider, model=request.model or "", usage=usage, terms=request.terms)


def input_tokens(request: Request) -> int:
    """About how many input tokens `request` has."""
    return learned.input_tokens(request, about=True)


def _flaw(request: Request) -> str | None:
    """Why `request` cannot have a price at all; None where it may have one."""
    if not request.known_provider:
        return request.unknown_provider
    return None if request.model else "the request names no model"
