"""A vendor that stands in for any: it keeps what it is asked, and answers what a test wrote down, byte for byte."""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.event_stream import frame

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. A body in several pieces is sent in as many chunks; without its end, it breaks off behind them."""

    pieces: tuple[bytes, ...]
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ends: bool = True


def whole(document: object, status: int = 200, **headers: str) -> Reply:
    """A JSON document."""
    return Reply(
        (json.dumps(document).encode(),),
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def error(status: int = 500) -> Reply:
    """An error that an SDK may try again after, at once."""
    return whole({"error": {"message": "the vendor was told to fail", "code": status}}, status, retry_after="0.01")


def events(*documents: Any, done: bool = True) -> Reply:
    """Server-sent events; a document that names its type in ``type`` is named by that."""
    pieces = [
        (f"event: {one['type']}\n" if "type" in one else "") + f"data: {json.dumps(one)}\n\n" for one in documents
    ]
    pieces += ["data: [DONE]\n\n"] * done
    return Reply(tuple(piece.encode() for piece in pieces), "text/event-stream")


def lines(*documents: Any) -> Reply:
    """One JSON document a line."""
    return Reply(tuple(json.dumps(one).encode() + b"\n" for one in documents), "application/x-ndjson")


def frames(*documents: tuple[str, Any]) -> Reply:
    """Events of an AWS stream, each by its type and document."""
    return Reply(tuple(frame(kind, one) for kind, one in documents), "application/vnd.amazon.eventstream")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived, names of headers in lower case. The host is the one that the client meant."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Vendor:
    """A running vendor.

    Attributes:
        url: where it listens. It is a proxy for ``http`` URLs too, so that a client can mean the true host.
        requests: what it was asked, oldest first.
        replies: what it answers, in turn; the last one again and again.
    """

    url: str
    requests: list[Seen] = field(default_factory=list)
    replies: deque[Reply] = field(default_factory=deque)

    @property
    def request(self) -> Seen:
        """The one request."""
        (request,) = self.requests
        return request

    def answers(self, *replies: Reply) -> None:
        """Answer the next requests so."""
        self.replies.clear()
        self.replies.extend(replies)

    def transport(self, module: Any) -> Any:
        """A transport of httpx or httpx2 that brings every request here, whatever host it is for."""

        class Here(module.HTTPTransport):  # type: ignore[misc, name-defined] # one of two modules'
            def handle_request(_, request: Any) -> Any:  # noqa: N805 - self is the vendor
                return super(Here, _).handle_request(self._moved(module, request))

        return Here()

    def async_transport(self, module: Any) -> Any:
        """The same for an async client."""

        class Here(module.AsyncHTTPTransport):  # type: ignore[misc, name-defined] # one of two modules'
            async def handle_async_request(_, request: Any) -> Any:  # noqa: N805 - self is the vendor
                return await super(Here, _).handle_async_request(self._moved(module, request))

        return Here()

    def _moved(self, module: Any, request: Any) -> Any:
        here = urlsplit(self.url)
        url = request.url.copy_with(scheme="http", host=here.hostname, port=here.port)
        return module.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor: Vendor

    def do_POST(self) -> None:
        vendor = self.vendor
        vendor.requests.append(self._seen())
        reply = vendor.replies.popleft() if len(vendor.replies) > 1 else vendor.replies[0]
        self.send_response(reply.status)
        for name, value in {"content-type": reply.content_type, **reply.headers}.items():
            self.send_header(name, value)
        if len(reply.pieces) == 1 and reply.ends:
            if "content-length" not in reply.headers:
                self.send_header("content-length", str(len(reply.pieces[0])))
            self.end_headers()
            self.wfile.write(reply.pieces[0])
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in reply.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if reply.ends:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    do_GET = do_POST  # noqa: N815 - as http.server calls it

    def _seen(self) -> Seen:
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        try:
            document = json.loads(body)
        except ValueError:
            document = body
        host = parts.netloc or headers["host"]
        return Seen(self.command, host.partition(":")[0], parts.path, headers, document)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client may hang up."""


@contextmanager
def running() -> Iterator[Vendor]:
    """A vendor in a thread of this process."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.vendor = Vendor(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined] # of _Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield handler.vendor  # type: ignore[attr-defined] # of _Handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
