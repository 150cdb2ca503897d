"""One call of an SDK is one call, however often it retries; and a refusal reaches the code that made it, at once.

An SDK's own request method sends one or several HTTP requests. While it runs, they are attempts of one `Call`, and a
refusal travels through it as a `BaseException`, which no retry loop catches, and leaves it as what it is.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import wrapt

from otel_cost.errors import BudgetExceededError
from otel_cost.instrumentation.call import Call
from otel_cost.live_span import in_sdk_call, sdk_call
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from otel_cost.usage import Request

Result = TypeVar("Result")

SDK_MODULES = ("openai._base_client", "anthropic._base_client")
"""Modules whose ``SyncAPIClient.request`` and ``AsyncAPIClient.request`` make one call, with its retries."""


class Refused(BaseException):
    """Carries a refusal through an SDK's retry loop."""

    def __init__(self, error: BudgetExceededError) -> None:
        self.error = error
        super().__init__(str(error))


class Attempts:
    """The HTTP requests of one SDK call.

    Attributes:
        call: the call that they are attempts of; None before the first.
        closed: whether the SDK has left. A task that was started inside may still have it in its context.
    """

    def __init__(self) -> None:
        self.call: Call | None = None
        self.closed = False

    def __enter__(self) -> None:
        self._token = sdk_call.set(self)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.closed = True
        call = self.call
        if call is not None and not call.streaming:
            with guard("ending a call"):
                call.fails(error)
        with suppress(ValueError):  # closed in another context than it began in, whose values go with it
            sdk_call.reset(self._token)
        if isinstance(error, Refused):
            raise error.error from None


def begin(request: Request) -> tuple[Call, Attempts | None]:
    """The call that `request` belongs to, begun if this is its first attempt, and the SDK call around it, if any.

    Raises:
        BudgetExceededError: it may not leave. Inside an SDK call, `Refused` with it.
    """
    if not in_sdk_call():
        return Call.begin(request), None
    attempts: Attempts = sdk_call.get()
    if attempts.call is not None and attempts.call.in_flight:  # another call, made by a hook or transport of this one
        return _begin_inside(request), None
    if attempts.call is None or attempts.call.ended or attempts.call.streaming:
        attempts.call = _begin_inside(request)
    else:
        _or_refused(attempts.call.retries)
    return attempts.call, attempts


def _begin_inside(request: Request) -> Call:
    return _or_refused(Call.begin, request)


def _or_refused(step: Callable[..., Result], *args: Any) -> Result:
    """What `step` returns; a refusal of it becomes one that no retry loop catches."""
    try:
        return step(*args)
    except BudgetExceededError as error:
        raise Refused(error) from None


def wrap_sdk(module: Any) -> None:
    """Wrap the request methods of an SDK's base client module."""
    wrapt.wrap_function_wrapper(module, "SyncAPIClient.request", _request)
    wrapt.wrap_function_wrapper(module, "AsyncAPIClient.request", _request_async)


def _request(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with Attempts():
        return wrapped(*args, **kwargs)


async def _request_async(
    wrapped: Callable[..., Awaitable[Any]], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with Attempts():
        return await wrapped(*args, **kwargs)
