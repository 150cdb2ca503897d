"""Who pays is told to the user's own services and to nobody else, whichever client a request leaves by."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from multidict import CIMultiDict
from opentelemetry import baggage, context

import otel_cost

MINE = "a=%20b%2Fc ;p=1;q,  otel_cost.run=secret;x=y,otel%5Fcost.project=s,a=2, B="
OTHERS = "a=%20b%2Fc ;p=1;q,a=2, B="
OWN = "http://127.0.0.1"
STRANGER = "http://tools.example"


class Server(ThreadingHTTPServer):
    """Notes which baggage came, a list of header lines a request; redirects ``/to?url`` to there."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        super().__init__(("127.0.0.1", 0), Noting)


class Noting(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.server.seen.append(self.headers.get_all("baggage") or [])
        self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, target = self.path.partition("?")
        self.send_response(302 if path == "/to" else 404)
        if path == "/to":
            self.send_header("location", f"{target}:{self.server.server_port}/end")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - the names that the server looks for

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is known under every name."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **named: look_up("127.0.0.1", *more, **named))
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def paying() -> Iterator[None]:
    with otel_cost.attribute(project="secret"), otel_cost.budget("run", "secret", limit_usd=1):
        yield


def by_httpx(module: Any) -> Callable[[str, Any], None]:
    def get(url: str, headers: Any) -> None:
        with module.Client(follow_redirects=True) as client:
            client.get(url, headers=headers)

    return get


def by_httpx_async(module: Any) -> Callable[[str, Any], None]:
    async def get(url: str, headers: Any) -> None:
        async with module.AsyncClient(follow_redirects=True) as client:
            await client.get(url, headers=headers)

    return lambda url, headers: asyncio.run(get(url, headers))


def by_aiohttp(url: str, headers: Any) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers):
            pass

    asyncio.run(get())


def by_aiohttps_session(url: str, headers: Any) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url):
            pass

    asyncio.run(get())


def by_requests(url: str, headers: Any) -> None:
    with requests.Session() as session:
        session.get(url, headers=headers)


def by_urllib3(url: str, headers: Any) -> None:
    with urllib3.PoolManager() as manager:
        manager.request("GET", url, headers=headers)


def by_urllib3s_manager(url: str, headers: Any) -> None:
    with urllib3.PoolManager(headers=headers) as manager:
        manager.request("GET", url)


CLIENTS: dict[str, Callable[[str, Any], None]] = {
    "httpx": by_httpx(httpx),
    "httpx, async": by_httpx_async(httpx),
    "httpx2": by_httpx(httpx2),
    "httpx2, async": by_httpx_async(httpx2),
    "aiohttp": by_aiohttp,
    "aiohttp, a session's headers": by_aiohttps_session,
    "requests": by_requests,
    "urllib3": by_urllib3,
    "urllib3, a manager's headers": by_urllib3s_manager,
}
INJECTING = ("httpx", "httpx, async", "httpx2", "httpx2, async")
"""Clients that are instrumented here: OpenTelemetry puts the context's baggage on each request."""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.usefixtures("paying", "nothing_of_ours_fails")
def test_a_stranger_gets_what_others_put_there_to_the_byte(client: str, server: Server) -> None:
    headers = {"Baggage": MINE, "x": "y"}
    CLIENTS[client](f"{STRANGER}:{server.server_port}/", headers)
    assert server.seen == [[OTHERS]]
    assert headers == {"Baggage": MINE, "x": "y"}  # the caller's own dictionary


@pytest.mark.parametrize("client", INJECTING)
@pytest.mark.usefixtures("paying", "nothing_of_ours_fails")
def test_a_stranger_gets_the_context_s_other_members(client: str, server: Server) -> None:
    token = context.attach(baggage.set_baggage("user", "ann"))
    CLIENTS[client](f"{STRANGER}:{server.server_port}/", {})
    CLIENTS[client](f"{OWN}:{server.server_port}/", {})
    context.detach(token)
    assert server.seen[0] == ["user=ann"]
    assert set(server.seen[1][0].split(",")) == {
        *("user=ann", "otel_cost.project=secret", "otel_cost.run=secret", "otel_cost.budget.run=1")
    }


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.usefixtures("nothing_of_ours_fails")
def test_a_service_of_ones_own_gets_it_all_and_who_it_leads_to_does_not(client: str, server: Server) -> None:
    CLIENTS[client](f"{OWN}:{server.server_port}/to?{STRANGER}", {"baggage": MINE})
    assert server.seen == [[MINE], [OTHERS]]


@pytest.mark.parametrize("client", INJECTING)
@pytest.mark.usefixtures("paying", "nothing_of_ours_fails")
def test_what_is_injected_anew_for_a_redirect_does_not_leave_either(client: str, server: Server) -> None:
    CLIENTS[client](f"{OWN}:{server.server_port}/to?{STRANGER}", {})
    assert "otel_cost.project=secret" in server.seen[0][0]
    assert server.seen[1] == []


SEVERAL = [
    ("baggage", "a=1"),
    ("baggage", "otel_cost.run=x , b=2"),
    ("baggage", "otel_cost.task=y"),
    ("baggage", "a=3"),
]


def several_for_urllib3() -> urllib3.HTTPHeaderDict:
    found = urllib3.HTTPHeaderDict()
    for name, value in SEVERAL:
        found.add(name, value)
    return found


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("httpx", httpx.Headers(SEVERAL)),
        ("httpx, async", SEVERAL),
        ("httpx2", httpx2.Headers(SEVERAL)),
        ("aiohttp", CIMultiDict(SEVERAL)),
        ("aiohttp", SEVERAL),
        ("urllib3", several_for_urllib3()),
    ],
)
@pytest.mark.usefixtures("nothing_of_ours_fails")
def test_several_lines_of_baggage(client: str, headers: Any, server: Server) -> None:
    before = repr(headers)
    CLIENTS[client](f"{STRANGER}:{server.server_port}/", headers)
    (seen,) = server.seen
    assert ",".join(seen) == "a=1, b=2,a=3"
    assert repr(headers) == before


@pytest.mark.usefixtures("nothing_of_ours_fails")
def test_a_header_of_bytes(server: Server) -> None:
    headers = {b"BAGGAGE": MINE.encode()}
    by_httpx(httpx)(f"{STRANGER}:{server.server_port}/", headers)
    by_requests(f"{STRANGER}:{server.server_port}/", {"baggage": MINE.encode()})
    assert server.seen == [[OTHERS], [OTHERS]]


@pytest.mark.usefixtures("nothing_of_ours_fails")
def test_a_pool_of_urllib3_by_position(server: Server) -> None:
    with urllib3.HTTPConnectionPool("tools.example", server.server_port) as pool:
        pool.urlopen("GET", "/", None, {"baggage": MINE}, False)  # noqa: FBT003 - as its own retries call it
    assert server.seen == [[OTHERS]]


CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.usefixtures("nothing_of_ours_fails")
def test_a_model_in_ones_own_network_learns_it_only_where_its_host_is_listed(
    server: Server, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://gateway:{server.server_port}/v1/chat/completions"
    with httpx2.Client() as client, otel_cost.attribute(project="secret"):
        client.post(url, json=CHAT, headers={"baggage": MINE})
        monkeypatch.setenv("OTEL_COST_BAGGAGE_HOSTS", "gateway")
        client.post(url, json=CHAT)
    assert server.seen[0] == [OTHERS]
    assert "otel_cost.project=secret" in server.seen[1][0]
    assert len(spans.calls) == 2
