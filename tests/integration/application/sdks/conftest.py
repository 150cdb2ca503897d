"""The real SDKs, and what holds for each of them: one call, exact, and nothing of ours on the wire."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio
import pytest

import otel_cost
from otel_cost import money
from otel_cost.errors import BudgetExceededError
from tests.integration.application.sdks import vendor as vendors
from tests.integration.application.sleeping import not_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.application.conftest import Spans
    from tests.integration.application.sdks.vendor import Vendor


@pytest.fixture(scope="module")
def _vendor() -> Iterator[Vendor]:
    with vendors.running() as vendor:
        yield vendor


@pytest.fixture
def vendor(_vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """The vendor, asked nothing yet. No credentials and no proxies of the machine are used."""
    _vendor.requests.clear()
    _vendor.replies.clear()
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTANDIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stand-in")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return _vendor


def go(way: Callable[..., Any], *args: Any) -> Any:
    """What `way` returns, awaited where it is async."""
    if inspect.iscoroutinefunction(way):
        return asyncio.run(way(*args))
    return way(*args)


def one_call(
    way: Callable[..., Any],
    vendor: Vendor,
    spans: Spans,
    *,
    cost: str,
    tokens: tuple[int, int],
    provider: str,
    response_id: str | None,
) -> dict[str, Any]:
    """Go `way`: it must be one call, with exactly these figures, and tell the vendor nothing of ours."""
    with otel_cost.attribute(project="secret"), otel_cost.budget("run", "r1", limit_tokens=10**9):
        go(way, vendor)
    call = spans.call
    used = tuple(call.get(f"gen_ai.usage.{name}_tokens", 0) for name in ("input", "output"))
    assert (call.get("otel_cost.cost.amount"), used) == (money.text(Decimal(cost)), tokens)
    assert (call["otel_cost.cost.status"], call["otel_cost.call.outcome"]) == ("known", "ok")
    assert (call["gen_ai.provider.name"], call["otel_cost.call.attempts"]) == (provider, 1)
    assert call.get("gen_ai.response.id") == response_id
    assert call["otel_cost.project"] == "secret"
    assert "otel_cost" not in str(vendor.request.headers)
    return call


def refused(way: Callable[..., Any], vendor: Vendor, spans: Spans) -> None:
    """Go `way` with no money left: the application hears of it as what it is, at once, and nothing is sent."""
    with (
        patch("time.sleep", not_here(time.sleep)),
        patch("asyncio.sleep", not_here(asyncio.sleep)),
        patch("anyio.sleep", not_here(anyio.sleep)),
        otel_cost.budget("run", "r1", limit_tokens=0),
        pytest.raises(BudgetExceededError) as caught,
    ):
        go(way, vendor)
    assert type(caught.value) is BudgetExceededError
    assert vendor.requests == []
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.call.attempts"]) == ("refused", 0)


def retried(way: Callable[..., Any], vendor: Vendor, spans: Spans, *, cost: str, attempts: int = 2) -> None:
    """Go `way` to a vendor that fails first: all attempts are one call."""
    vendor.answers(*[vendors.error()] * (attempts - 1), *vendor.replies)
    go(way, vendor)
    assert len(vendor.requests) == attempts
    assert spans.call["otel_cost.call.attempts"] == attempts
    assert (spans.call["otel_cost.call.outcome"], spans.cost) == ("ok", Decimal(cost))


@pytest.fixture(scope="module", autouse=True)
def _sdks_are_not_garbage() -> Iterator[None]:
    """The SDKs are many objects, which the collections between tests need not look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets that other tests left are not this one's
        gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _sdks_warn() -> Iterator[None]:
    """What SDKs and their dependencies deprecate is no business of these tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
