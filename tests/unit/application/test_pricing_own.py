"""The user's own prices: read when they are needed, again when they change, and never worse than they were."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry import baggage, context

from otel_cost import pricing, settings
from otel_cost.pricing import own, sources
from otel_cost.usage import Usage

MILLION = Usage(1_000_000)
ITEM = '[[price]]\nprovider = "me"\nmodel = "m"\n'
BROKEN = ITEM + "input = …\n"


@pytest.fixture(autouse=True)
def _own_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    sources.begin_anew()
    yield
    monkeypatch.delenv("OTEL_COST_PRICES", raising=False)
    sources.begin_anew()


def cost() -> pricing.Cost:
    return pricing.price(provider="me", model="m", usage=MILLION)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never did"
        time.sleep(0.01)


class TestFile:
    """`OTEL_COST_PRICES` is a path."""

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "our-prices.toml"
        path.write_text(ITEM + "input = 3\n")
        monkeypatch.setenv("OTEL_COST_PRICES", str(path))
        monkeypatch.setattr(own.PriceFile, "every", 0.01)
        return path

    def test_its_prices_hold_and_the_cost_says_whose_they_are(self, path: Path) -> None:
        first = cost()
        assert (first.amount, first.status) == (3, "known")
        assert first.price_version is not None
        assert first.price_version.startswith("file:our-prices.toml@")
        published = pricing.price(provider="openai", model="gpt-4o", usage=MILLION)
        assert published.price_version is not None
        assert published.price_version.startswith("genai-prices/")
        path.write_text(ITEM + "input = 4.5\n")  # longer, for the clock of some file systems goes in long steps
        wait_until(lambda: cost().amount == Decimal("4.5"))
        assert cost().price_version != first.price_version

    def test_cached_tokens_that_it_leaves_out_cost_what_its_input_does(self, path: Path) -> None:
        usage = Usage(1_000_000, 0, cache_read_tokens=900_000)
        found = pricing.price(provider="me", model="m", usage=usage)
        assert (found.amount, found.status) == (3, "known")
        path.write_text('[[price]]\nprovider = "together"\nmodel = "*"\ndiscount = "50%"\n')
        model = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # 0.88
        wait_until(lambda: pricing.price(provider="together", model=model, usage=MILLION).amount == Decimal("0.44"))
        assert pricing.price(provider="together", model=model, usage=usage).status == "estimated"

    def test_a_file_that_cannot_be_read_leaves_the_prices_that_hold(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cost()
        path.unlink()
        wait_until(lambda: "cannot be read" in caplog.text)
        assert cost().amount == 3
        path.write_bytes(b"\xff\xfe")
        wait_until(lambda: "codec can't decode" in caplog.text)
        assert cost().amount == 3
        path.write_text(BROKEN)
        wait_until(lambda: "has no price that can be read" in caplog.text)
        assert cost().amount == 3
        path.write_text(BROKEN + ITEM + "input = 5\n")
        wait_until(lambda: cost().amount == 5)
        assert "our-prices.toml:4: Invalid value" in caplog.text

    def test_what_is_wrong_is_said_once(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.write_text(BROKEN)
        reader = own.PriceFile(path)
        first = reader.first()
        assert first is not None
        path.unlink()
        for _ in range(3):
            assert reader.look(first) is None
        path.write_text(ITEM + "input = 1\n")
        assert reader.look(first) is not None
        path.unlink()
        assert reader.look(first) is None
        said = [record.getMessage() for record in caplog.records]
        assert [line.rpartition("; ")[2] for line in said] == [
            f"OTEL_COST_PRICES: {path}:4: Invalid value (passed over)",
            "the prices that were good last hold",
            "the prices that were good last hold",
        ]

    def test_a_file_that_comes_later(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.unlink()
        assert cost().status == "unknown"
        assert "No such file" in caplog.text
        path.write_text(ITEM + "input = 2\n")
        wait_until(lambda: cost().amount == 2)

    def test_a_forked_child_looks_after_it_too(self, path: Path) -> None:
        program = f"""
import os, pathlib, signal, time
from otel_cost import pricing, settings
from otel_cost.pricing import own
from otel_cost.usage import Usage
own.PriceFile.every = 0.01
def cost():
    return pricing.price(provider="me", model="m", usage=Usage(1_000_000)).amount
assert cost() == 3
child = os.fork()
if child == 0:
    signal.alarm(50)
    pathlib.Path({str(path)!r}).write_text({ITEM!r} + "input = 6")
    while cost() != 6:
        time.sleep(0.01)
    os._exit(0)
_, status = os.waitpid(child, 0)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


class Prices(ThreadingHTTPServer):
    """Answers with `body`; remembers what was asked."""

    body = (ITEM + "input = 3\n").encode()
    status = 200
    promised: int | None = None
    asked: list[dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    server: Prices

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        etag = f'"{hash(self.server.body)}"'
        same = self.headers.get("if-none-match") == etag
        self.send_response(304 if same else self.server.status)
        self.send_header("etag", etag)
        body = b"" if same else self.server.body
        self.send_header("content-length", str(self.server.promised or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class TestUrl:
    """`OTEL_COST_PRICES` is a URL."""

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prices]:
        server = Prices(("127.0.0.1", 0), _Handler)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_COST_PRICES", self.url(server))
        yield server
        server.shutdown()
        thread.join()
        server.server_close()

    @staticmethod
    def url(server: Prices) -> str:
        return f"http://127.0.0.1:{server.server_address[1]}/prices.toml?key=secret"

    def test_a_call_does_not_wait_for_it_and_a_later_one_has_it(self, server: Prices) -> None:
        cost()
        wait_until(lambda: cost().amount == 3)
        assert (cost().price_version or "").startswith("url:127.0.0.1@")
        assert len(server.asked) == 1

    def test_while_nothing_of_it_has_come_no_cost_is_taken_for_certain(self, server: Prices) -> None:
        server.body, server.status = b"not yet", 503
        asked = {"provider": "openai", "model": "gpt-4o", "usage": MILLION}
        awaiting = pricing.price(**asked)
        # gpt-4o: 2.50 per million tokens in; the discount that the user's prices may hold is not known
        assert (awaiting.amount, awaiting.status) == (Decimal("2.5"), "estimated")
        assert awaiting.reason == "the prices that OTEL_COST_PRICES names were not there yet"
        sources.begin_anew()
        server.body, server.status = (ITEM + "input = 3\n").encode(), 200
        wait_until(lambda: cost().amount == 3)
        assert pricing.price(**asked).status == "known"

    def test_neither_baggage_nor_trace_leaves_with_it(self, server: Prices) -> None:
        token = context.attach(baggage.set_baggage("otel_cost.run", "nightly-7"))
        try:
            assert own.PriceUrl(self.url(server), 60).look(None) is not None
        finally:
            context.detach(token)
        assert not {"baggage", "traceparent"} & server.asked[0].keys()

    def test_a_user_and_a_password_are_sent_and_not_said(
        self, server: Prices, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader = own.PriceUrl(self.url(server).replace("//", "//me:pass%20word@"), 60)
        assert reader.look(None) is not None
        assert server.asked[0]["authorization"] == "Basic bWU6cGFzcyB3b3Jk"  # me:pass word
        server.body, server.status = b"x", 403
        assert reader.look(None) is None
        assert "HTTP Error 403" in caplog.text
        assert "word" not in caplog.text

    def test_what_did_not_change_is_not_sent_again(self, server: Prices) -> None:
        reader = own.PriceUrl(self.url(server), 60)
        first = reader.look(None)
        assert first is not None
        assert reader.look(first) is None
        assert "if-none-match" in server.asked[1]
        server.body = (ITEM + "input = 4\n").encode()
        second = reader.look(first)
        assert second is not None
        assert second.items[0].prices == {"input_tokens": Decimal("0.000004")}

    @pytest.mark.parametrize(
        ("body", "status", "promised", "said"),
        [
            (b"oops", 500, None, "HTTP Error 500"),
            (b"<html>sorry</html>", 200, None, "is not what it should be"),
            (b"", 200, None, "is not what it should be"),
            (BROKEN.encode() + ITEM.encode() + b"input = 9\n", 200, None, "is not what it should be"),
            ((ITEM + "input = 9\n").encode(), 200, 500, "it came only in part"),
            (b"\xff" + (ITEM + "input = 9\n").encode(), 200, None, "codec can't decode"),
            (b"#" * (own._MOST_BYTES + 1), 200, None, "it has more than"),
        ],
    )
    def test_a_bad_download_replaces_nothing(  # noqa: PLR0917 - a case has four parts
        self,
        server: Prices,
        caplog: pytest.LogCaptureFixture,
        body: bytes,
        status: int,
        promised: int | None,
        said: str,
    ) -> None:
        reader = own.PriceUrl(self.url(server), 60)
        good = reader.look(None)
        server.body, server.status, server.promised = body, status, promised
        for _ in range(2):
            assert reader.look(good) is None
        assert said in caplog.text
        assert caplog.text.count("the prices that were good last hold") == 1
        assert "secret" not in caplog.text
        kept = own.PriceUrl(self.url(server), 60).first()
        assert kept is not None
        assert good is not None
        assert kept.version == good.version
        server.body, server.status, server.promised = Prices.body, 200, None
        assert reader.look(good) is None

    def test_the_first_download_holds_as_far_as_it_can_be_read(
        self, server: Prices, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.body = BROKEN.encode() + (ITEM + "input = 9\n").encode()
        found = own.PriceUrl(self.url(server), 60).look(None)
        assert found is not None
        assert len(found.items) == 1
        assert "prices.toml:4: Invalid value (passed over)" in caplog.text
        assert own.PriceUrl(self.url(server), 60).first() is None  # what is not whole is not kept

    def test_offline_the_last_good_prices_hold(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.PriceUrl("http://127.0.0.1:9/prices.toml", 60)._keep(ITEM + "input = 8\n")
        monkeypatch.setenv("OTEL_COST_PRICES", "http://127.0.0.1:9/prices.toml")
        assert cost().amount == 8
        wait_until(lambda: "cannot be fetched" in caplog.text)
        assert cost().amount == 8

    def test_a_folder_that_cannot_be_written_costs_nothing_but_a_line(
        self, server: Prices, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "data").write_text("no folder")
        assert own.PriceUrl(self.url(server), 60).look(None) is not None
        assert "cannot be kept in" in caplog.text


def test_what_fails_in_the_background_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ITEM + "input = 3\n")
    monkeypatch.setenv("OTEL_COST_PRICES", str(path))
    monkeypatch.setattr(own.PriceFile, "every", 0.01)
    looks = []

    def look(self: own.PriceFile, now: object) -> None:  # noqa: ARG001 - its signature
        looks.append(now)
        raise RuntimeError("a bug")

    read = own.PriceFile.look
    monkeypatch.setattr(own.PriceFile, "first", lambda self: read(self, None))
    monkeypatch.setattr(own.PriceFile, "look", look)
    assert cost().amount == 3
    wait_until(lambda: len(looks) > 2)
    assert cost().amount == 3


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("prices.toml", Path("prices.toml")),
        ("~/prices.toml", Path("~/prices.toml").expanduser()),
        ("https://prices.example.com/p.toml?k=v", "https://prices.example.com/p.toml?k=v"),
        ("ftp://prices.example.com/p.toml", None),
        ("https://", None),
    ],
)
def test_the_setting_is_a_path_or_a_url(written: str, read: object) -> None:
    assert settings.get(settings.PRICES, {"OTEL_COST_PRICES": written}) == read


@pytest.mark.parametrize(("written", "seconds"), [("60", 60), ("0", 3600), ("-1", 3600), ("soon", 3600), ("", 3600)])
def test_the_seconds_between_two_fetches(written: str, seconds: float) -> None:
    assert settings.get(settings.PRICES_REFRESH, {"OTEL_COST_PRICES_REFRESH": written}) == seconds
