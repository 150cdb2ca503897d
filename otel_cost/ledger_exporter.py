"""Straight to the ledger: OTLP/HTTP to a path of its own, which no Collector and no tracing backend serves."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_cost import access, losses, semconv, settings
from otel_cost.safety import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_logger = logging.getLogger(__name__)
_PROTOBUF: Final = "application/x-protobuf"
_TRANSIENT: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_NO_TOKEN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_TIMEOUT_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 30.0
"""How long a ledger that was there before, or was never asked, is tried again before its calls are given up."""
_FIRST_PAUSE_SECONDS: Final = 0.5
_STEP_SECONDS: Final = 0.05


class LedgerExporter(SpanExporter):
    """Sends calls to the ledger at ``OTEL_COST_URL``, again after a pause where that may help."""

    def __init__(self) -> None:
        self._url: Final = f"{settings.get(settings.URL)}{semconv.CALLS_PATH}"
        self._losses: Final = Row(_logger)
        self._in_haste = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send `spans`; they are committed in the ledger when this succeeds."""
        failure = self._send(encode_spans(spans).SerializeToString())
        self._note(failure, len(spans))
        return SpanExportResult.SUCCESS if failure is None else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """From now on try once only: the process ends."""
        self._in_haste = True
        return True

    def shutdown(self) -> None:
        """No connection is kept."""
        self._in_haste = True

    def _send(self, body: bytes) -> str | None:
        """Send `body`, several times if need be. Returns why that failed, None where it did not."""
        pause = _FIRST_PAUSE_SECONDS
        patience = time.monotonic() + (0 if self._losses.failing else _PATIENCE_SECONDS)
        while True:
            failure, is_transient = self._post(body)
            if not is_transient or self._in_haste or time.monotonic() + pause > patience:
                return failure
            self._rest(pause)
            pause *= 2

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._in_haste and time.monotonic() < until:
            time.sleep(_STEP_SECONDS)

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Why `body` did not get into the books, None where it did; and whether to try again."""
        request = Request(self._url, body, {"content-type": _PROTOBUF})  # noqa: S310 - settings takes http and https only
        for name, value in access.headers(settings.WRITE_TOKEN).items():
            request.add_unredirected_header(name, value)
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS, context=access.tls()) as answer:  # noqa: S310
                answer.read()
                is_ledger = answer.headers.get_content_type() == _PROTOBUF
        except HTTPError as error:
            error.close()
            hint = f" (set {settings.WRITE_TOKEN.name})" if error.code in _NO_TOKEN else ""
            return f"the answer is {error.code} {error.reason}{hint}", error.code in _TRANSIENT
        except (OSError, HTTPException) as error:
            reason = str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
            return reason + access.hint(error), True
        return (None, False) if is_ledger else ("what answers there is no ledger", False)

    def _note(self, failure: str | None, calls: int) -> None:
        if failure is None:
            self._losses.is_over("The ledger at %s takes calls again", self._url)
            return
        losses.count(calls)
        self._losses.goes_on(
            "The cost of calls whose spans were not sampled is lost (%d): no ledger took them at %s: %s. Set %s to "
            "where `otel-cost serve` listens for HTTP, or leave calls in the spool: --traces_exporter otel_cost. Said "
            "once; later losses are logged at DEBUG",
            calls,
            self._url,
            failure,
            settings.URL.name,
        )
