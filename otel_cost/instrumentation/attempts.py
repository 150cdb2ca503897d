"""One call of an SDK is one call, however often it retries; and a refusal reaches the code that made it, at once.

An SDK's own request method sends one or several HTTP requests. While it runs, they are attempts of one `Call`, and a
refusal travels through it as a `BaseException`, which no retry loop catches, and leaves it as what it is.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from otel_cost.errors import BudgetExceededError
from otel_cost.instrumentation.call import Call
from otel_cost.instrumentation.wrapping import put_in_place
from otel_cost.live_span import in_sdk_call, sdk_call
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from otel_cost.budgets import Steps
    from otel_cost.instrumentation.outgoing import Outgoing
    from otel_cost.usage import Request

Result = TypeVar("Result")


class Sdk(msgspec.Struct, frozen=True):
    """An SDK whose calls may be several HTTP requests.

    Attributes:
        module: where its requests are made.
        calls: the functions there, or methods of a class, that make one call with its retries; sync and async alike.
        hides_errors: whether it would retry or wrap an error of ours on its way to the application.
        makes_sdk_calls: whether it makes its calls by other SDKs, so that each of those is an attempt of its own.
    """

    module: str
    calls: tuple[str, ...]
    hides_errors: bool = True
    makes_sdk_calls: bool = False


_STAINLESS: Final = ("SyncAPIClient.request", "AsyncAPIClient.request")
_SPEAKEASY: Final = ("BaseSDK.do_request", "BaseSDK.do_request_async")
_LITELLM: Final = tuple(
    prefix + name for name in ("completion", "text_completion", "embedding", "transcription") for prefix in ("", "a")
)
SDKS: Final = (
    Sdk("openai._base_client", _STAINLESS),
    Sdk("anthropic._base_client", _STAINLESS),
    Sdk("groq._base_client", _STAINLESS),
    Sdk("together._base_client", _STAINLESS),
    Sdk("cohere.core.http_client", ("HttpClient.request", "AsyncHttpClient.request"), hides_errors=False),
    Sdk("mistralai.client.basesdk", _SPEAKEASY, hides_errors=False),
    Sdk("mistralai.azure.client.basesdk", _SPEAKEASY, hides_errors=False),
    Sdk("mistralai.gcp.client.basesdk", _SPEAKEASY, hides_errors=False),
    Sdk("google.genai._api_client", ("BaseApiClient._request", "BaseApiClient._async_request"), hides_errors=False),
    Sdk("google.genai._gaos.basesdk", ("BaseSDK.do_request", "AsyncBaseSDK.do_request_async"), hides_errors=False),
    Sdk("botocore.endpoint", ("Endpoint.make_request",)),  # aiobotocore's endpoint inherits it
    Sdk("litellm.main", _LITELLM, makes_sdk_calls=True),
    Sdk(
        "litellm", (*_LITELLM, "responses", "aresponses", "image_generation", "aimage_generation"), makes_sdk_calls=True
    ),
)


class Refused(BaseException):
    """Carries a refusal through an SDK's retry loop."""

    def __init__(self, error: BudgetExceededError) -> None:
        self.error = error
        super().__init__(str(error))


class Attempts:
    """The HTTP requests of one SDK call.

    Attributes:
        sdk: whose call it is.
        caller: the SDK's client that makes it; None where a function does.
        call: the call that they are attempts of; None before the first.
        closed: whether the SDK has left. A task that was started inside may still have it in its context.
    """

    def __init__(self, sdk: Sdk, caller: object) -> None:
        self.sdk, self.caller = sdk, caller
        self.call: Call | None = None
        self.closed = False
        self._asked: Request | None = None
        self._is_part = False

    def __enter__(self) -> None:
        around = sdk_call.get()
        # A client that retries by calling itself, and an SDK below another, make attempts of the call around them.
        if around is not None and not around.closed and around.has_part(self.caller):
            self._is_part = True
        else:
            self._token = sdk_call.set(self)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._is_part:
            return
        self.closed = True
        call = self.call
        if call is not None and not call.ended and not call.streaming:
            with guard("ending a call"):
                call.fails(error)
        with suppress(ValueError):  # closed in another context than it began in, whose values go with it
            sdk_call.reset(self._token)
        if isinstance(error, Refused):
            raise error.error from None

    def has_part(self, caller: object) -> bool:
        """Whether a call that `caller` makes inside this one is an attempt of it."""
        return self.sdk.makes_sdk_calls or (caller is not None and caller is self.caller)

    def retries(self, request: Request) -> bool:
        """Whether `request` is another attempt of the call that was made last. What has another model is none."""
        asked, self._asked = self._asked, request
        if self.call is None or asked is None or self.call.ended or self.call.streaming:
            return False
        if (asked.provider, asked.model, asked.wire_format) == (request.provider, request.model, request.wire_format):
            return True
        self.call.fails()
        return False

    def or_refused(self, steps: Steps[Result]) -> Steps[Result]:
        """What comes of `steps`; a refusal becomes one that this SDK's retry loop does not catch."""
        try:
            return (yield from steps)
        except BudgetExceededError as error:
            if not self.sdk.hides_errors:
                raise
            raise Refused(error) from None


def begin(request: Request, outgoing: Outgoing) -> Steps[tuple[Call, Attempts | None]]:
    """The call that `outgoing` belongs to, begun if this is its first attempt, and the SDK call around it, if any.

    Raises:
        BudgetExceededError: it may not leave. Inside the call of an SDK that would hide it, `Refused` with it.
    """
    if not in_sdk_call():
        return (yield from Call.begin(request, outgoing)), None
    attempts: Attempts = sdk_call.get()
    if attempts.call is not None and attempts.call.in_flight:  # another call, made by a hook or transport of this one
        return (yield from attempts.or_refused(Call.begin(request, outgoing))), None
    if attempts.retries(request) and attempts.call is not None:
        yield from attempts.or_refused(attempts.call.retries(request, outgoing))
    else:
        attempts.call = yield from attempts.or_refused(Call.begin(request, outgoing))
    return attempts.call, attempts


def wrap_sdk(sdk: Sdk, module: Any) -> None:
    """Wrap the calls of `sdk` in its `module`."""
    for call in sdk.calls:
        with guard(f"wrapping {call} of {sdk.module}"):  # one that a version lacks takes no other with it
            put_in_place(module, call, partial(_one_call, sdk, "." in call))


def _one_call(sdk: Sdk, is_method: bool, wrapped: Callable[..., Any]) -> Callable[..., Any]:  # noqa: FBT001 - bound by partial
    """What takes the place of the SDK's function or method `wrapped`."""

    @wraps(wrapped)
    def call(*args: Any, **kwargs: Any) -> Any:
        caller = args[0] if is_method else None
        with Attempts(sdk, caller):
            result = wrapped(*args, **kwargs)
        return _awaited(Attempts(sdk, caller), result) if inspect.iscoroutine(result) else result

    @wraps(wrapped)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        with Attempts(sdk, args[0] if is_method else None):
            return await wrapped(*args, **kwargs)

    return call_async if inspect.iscoroutinefunction(wrapped) else call


async def _awaited(attempts: Attempts, coroutine: Awaitable[Any]) -> Any:
    with attempts:
        return await coroutine
