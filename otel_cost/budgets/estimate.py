"""What calls are likely to cost, before any is made: from given sizes, or from what such calls have cost so far."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from otel_cost import money, pricing, settings
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.service import RefusedError, Service
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from otel_cost.budgets.estimate_model import Estimate

    Document = dict[str, Any]

Tokens = int | tuple[int, int]
"""How many, or from and to how many."""


class _Sizes(NamedTuple):
    """Input and output tokens of a call."""

    low: tuple[int, int]
    likely: tuple[int, int]
    high: tuple[int, int]


def estimate(
    *,
    model: str | None = None,
    provider: str | None = None,
    calls: int | None = None,
    input_tokens: Tokens | None = None,
    output_tokens: Tokens | None = None,
    since: str | None = None,
    **dimensions: str,
) -> Estimate:
    """What calls are likely to cost: from sizes that are given, or from the ledger's history of a stage.

    With sizes, `calls` of them at the prices of `model`. Without, the ledger service at ``OTEL_COST_URL`` is asked what
    such calls cost before; this waits for its answer. That is for one run, or for so many `calls`; and where `model` is
    given, at its prices.

    >>> estimate(model="gpt-5-mini", calls=200, input_tokens=1_500, output_tokens=(200, 800)).high
    Decimal('0.395000000000')

    Args:
        model: whose prices.
        provider: who sells it; its maker where it is None.
        calls: how many; with sizes 1 where it is None.
        input_tokens: of each call: how many, or from and to how many.
        output_tokens: likewise.
        since: how far back history counts, such as ``30d`` or ``2026-11-01``.
        dimensions: whose history: ``stage="draft"``, and any other dimension.

    Raises:
        ValueError: what is given does not go together.
        LookupError: there is no history, no price, or no ledger service; the text says what to do.
    """
    if calls is not None and calls < 1:
        raise ValueError(f"calls={calls!r}: estimate one call or more")
    if input_tokens is not None or output_tokens is not None:
        if input_tokens is None or output_tokens is None or model is None:
            raise ValueError("sizes need model=, input_tokens= and output_tokens=")
        if dimensions or since:
            raise ValueError(
                f"give sizes, or whose history: not {', '.join([*dimensions, *(['since'] if since else [])])}"
            )
        return _priced(_given(input_tokens, output_tokens), model, provider, calls or 1, basis="sizes")
    if not dimensions:
        raise ValueError("say whose history, as in stage='draft'; or give model=, input_tokens= and output_tokens=")
    return _of_history(_asked(dimensions, since), dimensions, calls, model, provider)


def _given(input_tokens: Tokens, output_tokens: Tokens) -> _Sizes:
    (input_low, input_high), (output_low, output_high) = _range(input_tokens), _range(output_tokens)
    likely = -(-(input_low + input_high) // 2), -(-(output_low + output_high) // 2)
    return _Sizes((input_low, output_low), likely, (input_high, output_high))


def _range(tokens: Tokens) -> tuple[int, int]:
    low, high = (tokens, tokens) if isinstance(tokens, int) else tokens
    if not 0 <= low <= high:
        raise ValueError(f"{tokens!r} are no tokens: write how many, or (from, to)")
    return low, high


def _asked(dimensions: dict[str, str], since: str | None) -> Document:
    """What the ledger service has of such calls."""
    url: str = settings.get(settings.URL)
    parameters = {**dimensions, **({"since": since} if since else {})}
    service = Service(url, token=settings.READ_TOKEN)
    try:
        return service.ask("GET", f"/v1/estimate?{urlencode(parameters)}")
    except RefusedError as error:
        hint = f"; set {settings.READ_TOKEN.name}" if error.wants_token else ""
        raise ValueError(f"{error}{hint}") from None
    except StoreGoneError as error:
        raise LookupError(
            f"no ledger service answers at {url} ({error}), and without one there is no history: run otel-cost serve, "
            f"set {settings.URL.name}, or give model=, input_tokens= and output_tokens="
        ) from None
    finally:
        service.close()


def _of_history(
    found: Document, dimensions: dict[str, str], calls: int | None, model: str | None, provider: str | None
) -> Estimate:
    whose = ", ".join(f"{name}={id_!r}" for name, id_ in dimensions.items())
    if calls is None and not found["runs"]:
        raise LookupError(f"the ledger has no run of {whose} yet: say for how many calls=, or give sizes")
    if not found["calls"]:
        raise LookupError(f"the ledger has no call of {whose} yet: give model=, input_tokens= and output_tokens=")
    if model is not None:
        return _priced_anew(found, model, provider, calls)
    known = found["calls"] - found["unknown_calls"] if calls else found["runs"] - found["unknown_runs"]
    if not known:
        raise LookupError(f"nobody knows what {whose} cost: give the price of another model=, or sizes")
    return _per_run(found) if calls is None else _per_call(found, calls, known)


def _per_run(found: Document) -> Estimate:
    seen, unknown = found["runs"], found["unknown_runs"]
    low, likely, high = (Decimal(found[f"run_cost_{which}_usd"]) for which in ("low", "median", "high"))
    return _estimate(low, likely, high, basis="runs", seen=seen - unknown, doubts=_left_out(unknown, seen, "runs"))


def _per_call(found: Document, calls: int, known: int) -> Estimate:
    low, high = (Decimal(found[f"call_cost_{which}_usd"]) * calls for which in ("low", "high"))
    likely = Decimal(found["cost_usd"]) * calls / known
    doubts = _left_out(found["unknown_calls"], found["calls"], "calls")
    return _estimate(low, likely, high, basis="calls", calls=calls, seen=known, doubts=doubts)


def _priced_anew(found: Document, model: str, provider: str | None, calls: int | None) -> Estimate:
    """The sizes of those calls at the prices of `model`: of so many, or of as many as a run has."""
    sized = found["sized_calls"]
    if not sized:
        raise LookupError("nobody knows how large those calls were: give input_tokens= and output_tokens=")
    each = _Sizes(
        (found["input_tokens_low"], found["output_tokens_low"]),
        (-(-found["input_tokens"] // sized), -(-found["output_tokens"] // sized)),
        (found["input_tokens_high"], found["output_tokens_high"]),
    )
    of_run = tuple(found[f"run_calls_{which}"] for which in ("low", "median", "high"))
    doubts = _left_out(found["calls"] - sized, found["calls"], "calls")
    return _priced(each, model, provider, calls or of_run, basis="calls priced anew", seen=sized, doubts=doubts)


def _left_out(unknown: int, all_: int, what: str) -> tuple[str, ...]:
    return (f"{unknown} of {all_} {what} are left out, of which nobody knows it",) if unknown else ()


@money.exactly
def _priced(
    sizes: _Sizes,
    model: str,
    provider: str | None,
    calls: int | tuple[int, ...],
    *,
    basis: str,
    seen: int = 0,
    doubts: tuple[str, ...] = (),
) -> Estimate:
    """`calls` of these sizes at the prices of `model`; of three numbers of calls, one each for low, likely and high."""
    seller = provider or pricing.maker_of(model)
    if seller is None:
        raise LookupError(f"nobody knows who makes {model!r}: say who sells it, as in provider='openrouter'")
    amounts: list[Decimal] = []
    for at, (input_tokens, output_tokens) in enumerate(sizes):
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        cost = pricing.price(provider=seller, model=model, usage=usage)
        if cost.amount is None:
            raise LookupError(f"{cost.reason}{pricing.advice(seller, model, cost.reason)}")
        amounts.append(cost.amount * (calls if isinstance(calls, int) else calls[at]))
    if cost.reason is not None:
        doubts = (*doubts, cost.reason)
    return _estimate(
        *amounts,
        basis=basis,
        calls=calls if isinstance(calls, int) else None,
        seen=seen,
        model=model,
        price_version=cost.price_version,
        doubts=doubts,
    )


def _estimate(low: Decimal, likely: Decimal, high: Decimal, **more: Any) -> Estimate:
    from otel_cost.budgets.estimate_model import Estimate  # noqa: PLC0415 - needs pydantic, which few processes need

    least, most = min(low, likely), max(high, likely)  # a few dear calls can lift a mean above nine tenths of them
    return Estimate(low=money.usd(least), likely=money.usd(likely), high=money.usd(most), **more)
