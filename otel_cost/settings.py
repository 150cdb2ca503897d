"""Every environment variable of otel-cost, typed, and documented once: here.

A value that cannot be read gets one clear line in the log and the default; it never stops the application.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)


class Endpoint(msgspec.Struct, frozen=True):
    """A base URL that the user says speaks to an LLM provider.

    Attributes:
        base_url: scheme, host, port and path prefix as `normal_url` writes them, without a trailing slash.
        provider: the provider whose prices hold there, such as ``openai``, in lower case.
        format: the wire format spoken there; None where the path tells.
    """

    base_url: str
    provider: str
    format: str | None = None


class Variable(msgspec.Struct, frozen=True):
    """One environment variable: its name, how its text is read, what holds without it, what it is for."""

    name: str
    read: Callable[[str], Any]
    default: Callable[[], Any]
    shown_default: str
    doc: str


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("it must be a path, and ~name in it a user of this machine") from None


def _path_as_it_is(text: str) -> Path:
    """A path that must not be passed over, be it that nothing can be there."""
    with suppress(ValueError):
        return _path(text)
    return Path(text)


def normal_url(url: str) -> str:
    """`url` with scheme and host in lower case, without user, password and the port that its scheme has anyway.

    Raises:
        ValueError: its port is no number from 0 to 65535.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").join("[]") if ":" in (parts.hostname or "") else parts.hostname or ""
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return parts._replace(netloc=f"{host}{port}").geturl()


def _url(text: str) -> str:
    try:
        url = normal_url(text)
    except ValueError:
        url = ""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or re.search(r"[\s;]", url):
        raise ValueError("it must be a URL like http://127.0.0.1:4318")
    return url.rstrip("/")


def _url_with_a_secret(text: str) -> str:
    """A URL as it is written."""
    _url(text)
    if urlsplit(text).username is not None:
        raise ValueError("it must be a URL without a user and a password")
    return text


def _allowance(text: str) -> str | None:
    """A limit as it is written; None for none."""
    if text == "refuse":
        return None
    digits = text.removesuffix(semconv.TOKENS_SUFFIX)
    readable = re.fullmatch(r"\d{1,15}" if digits != text else r"\d{1,6}(\.\d{1,12})?", digits, re.ASCII)
    if not readable:
        raise ValueError("it must be refuse, US dollars like 0.50, or tokens like 20000tok")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("it must be true or false")
    return _SWITCH[text.lower()]


def _path_or_url(text: str) -> Path | str:
    """A path, or a URL as it is written."""
    if "://" not in text:
        return _path(text)
    _url(text)
    return text


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,7}", text) or int(text) == 0:
        raise ValueError("it must be a number of seconds, as in 3600")
    return float(text)


def _age(text: str) -> timedelta | None:
    """How long something is kept; None for ever."""
    if text.lower() == "forever":
        return None
    found = _DAYS.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError("it must be a number of days or weeks, as in 90d or 13w, or forever")
    return timedelta(days=int(found[1]) * (7 if found[2] == "w" else 1))


@lru_cache(maxsize=8)  # read with every request
def _endpoints(text: str) -> tuple[Endpoint, ...]:
    """The endpoints that can be read. One that cannot is said, and takes no other with it."""
    return tuple(endpoint for item in text.split(",") if item.strip() and (endpoint := _endpoint(item.strip())))


def _endpoint(item: str) -> Endpoint | None:
    base_url, equals, target = item.rpartition("=")
    provider, _, wire_format = target.strip().partition("/")
    reason = "write BASE_URL=provider or BASE_URL=provider/format"
    if equals and _PROVIDER.fullmatch(provider):
        try:
            return Endpoint(_url(base_url.strip()), provider.lower(), wire_format or None)
        except ValueError as error:
            reason = str(error)
    _logger.warning("%s: %r is passed over: %s", ENDPOINTS.name, item, reason)
    return None


@lru_cache(maxsize=8)  # read with every request
def _hosts(text: str) -> tuple[str, ...]:
    """The hosts that can be read, in lower case. One that cannot is said, and takes no other with it."""
    found = [item.strip().lower().strip("[]") for item in text.split(",") if item.strip()]
    for host in found:
        if not _is_host(host):
            _logger.warning("%s: %r is passed over: write HOST or *.DOMAIN, without a port", BAGGAGE_HOSTS.name, host)
    return tuple(host for host in found if _is_host(host))


def _is_host(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text))
    return _HOST.fullmatch(text) is not None


@lru_cache(maxsize=8)  # read with every call
def _dimensions(text: str) -> tuple[str, ...]:
    """The dimensions that can be read. One that cannot is said, and takes no other with it."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    for name in found:
        if not semconv.is_dimension(name):
            _logger.warning("%s: %r is passed over: it is no dimension", METRIC_DIMENSIONS.name, name)
    return tuple(name for name in found if semconv.is_dimension(name))


def _keys(text: str) -> tuple[str, ...]:
    """The keys that are long enough. Where none is, nothing is signed by one of them; and no value is said."""
    found = tuple(key.strip() for key in text.split(",") if key.strip())
    if any(len(key) < _SHORTEST_KEY for key in found):
        _logger.warning(
            "%s: a key of fewer than %d characters is passed over: make one with openssl rand -hex 32",
            BUDGET_KEY.name,
            _SHORTEST_KEY,
        )
    return tuple(key for key in found if len(key) >= _SHORTEST_KEY)


@lru_cache(maxsize=8)  # read with every request
def _tokens(text: str) -> tuple[str, ...]:
    """The tokens that a header can carry. Where none can, there are none, which is not as if none was asked for."""
    found = tuple(token.strip() for token in text.split(",") if token.strip())
    if not all(map(_TOKEN.fullmatch, found)):
        _logger.warning("A token for the ledger service is passed over: it must be letters, digits and -._~+/= alone")
    return tuple(token for token in found if _TOKEN.fullmatch(token))


def data_folder() -> Path:
    """Where otel-cost keeps its files unless told otherwise: ``$XDG_DATA_HOME/otel-cost``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "otel-cost"


LEDGER: Final = Variable(
    "OTEL_COST_LEDGER",
    _path,
    lambda: data_folder() / "ledger.duckdb",
    "~/.local/share/otel-cost/ledger.duckdb",
    "The ledger's DuckDB file.",
)
SPOOL: Final = Variable(
    "OTEL_COST_SPOOL",
    _path,
    lambda: data_folder() / "spool",
    "~/.local/share/otel-cost/spool",
    "The folder where `--traces_exporter otel_cost` leaves segments, and from which the ledger drains them.",
)
KEEP_CALLS: Final = Variable(
    "OTEL_COST_KEEP_CALLS",
    _age,
    lambda: None,
    "forever",
    "How long the ledger service keeps calls one by one: days or weeks, as in 90d or 13w, or forever. Their sums stay.",
)
KEEP_ROLLUPS: Final = Variable(
    "OTEL_COST_KEEP_ROLLUPS",
    _age,
    lambda: None,
    "forever",
    "How long it keeps their sums by hour and day, which is never less long than the calls.",
)
ENDPOINTS: Final = Variable(
    "OTEL_COST_ENDPOINTS",
    _endpoints,
    tuple,
    "(none)",
    "Base URLs that speak to an LLM provider under another host: BASE_URL=provider or BASE_URL=provider/format, "
    "comma separated.",
)
URL: Final = Variable(
    "OTEL_COST_URL",
    _url,
    lambda: "http://127.0.0.1:4318",
    "http://127.0.0.1:4318",
    "Where the dashboard and the commands look for the ledger service, and where applications send calls whose spans "
    "are not sampled.",
)
TOKEN: Final = Variable(
    "OTEL_COST_TOKEN",
    _tokens,
    lambda: None,
    "(none)",
    "The token that the ledger service asks for and that requests to it carry, for whatever has none of its own below; "
    "several, comma separated, while it is being changed: the first is sent, each is taken.",
)
WRITE_TOKEN: Final = Variable(
    "OTEL_COST_WRITE_TOKEN",
    _tokens,
    lambda: None,
    "`OTEL_COST_TOKEN`",
    "Likewise, to send calls.",
)
READ_TOKEN: Final = Variable(
    "OTEL_COST_READ_TOKEN",
    _tokens,
    lambda: None,
    "`OTEL_COST_TOKEN`",
    "Likewise, to ask questions.",
)
BUDGET_TOKEN: Final = Variable(
    "OTEL_COST_BUDGET_TOKEN",
    _tokens,
    lambda: None,
    "`OTEL_COST_TOKEN`",
    "Likewise, to share and change budgets.",
)
KEEP_TOKEN: Final = Variable(
    "OTEL_COST_KEEP_TOKEN",
    _tokens,
    lambda: None,
    "`OTEL_COST_TOKEN`",
    "Likewise, to mend, prune and price the books anew.",
)
CERTIFICATE: Final = Variable(
    "OTEL_COST_CERTIFICATE",
    _path,
    lambda: None,
    "(what the machine trusts)",
    "A file in PEM with the certificate that the ledger service at an https URL shows, or of who vouches for it.",
)
BAGGAGE_HOSTS: Final = Variable(
    "OTEL_COST_BAGGAGE_HOSTS",
    _hosts,
    tuple,
    "(none)",
    "Hosts that may learn who pays, as HOST or *.DOMAIN, comma separated, beside this machine, private networks and "
    "names that only a network of one's own has.",
)
METRIC_DIMENSIONS: Final = Variable(
    "OTEL_COST_METRIC_DIMENSIONS",
    _dimensions,
    lambda: ("project", "plan", "stage", "role"),
    "project,plan,stage,role",
    "The dimensions that cost metrics are broken down by, comma separated. Name none that has an id for every run.",
)
INCLUDE_USAGE: Final = Variable(
    "OTEL_COST_INCLUDE_USAGE",
    _switch,
    lambda: True,
    "true",
    "Whether a chat stream that would not state its usage is asked for it, hidden from the application.",
)
PRICES: Final = Variable(
    "OTEL_COST_PRICES",
    _path_or_url,
    lambda: None,
    "(none)",
    "Your own prices and discounts: a TOML file, which is read again when it changes, or a URL, from which one is "
    "fetched in the background.",
)
PRICES_REFRESH: Final = Variable(
    "OTEL_COST_PRICES_REFRESH",
    _seconds,
    lambda: 3600.0,
    "3600",
    "Seconds between two fetches of the prices, where `OTEL_COST_PRICES` is a URL.",
)
WEBHOOK: Final = Variable(
    "OTEL_COST_WEBHOOK",
    _url_with_a_secret,
    lambda: None,
    "(none)",
    "Where events of budgets are sent as JSON, such as the URL of an incoming webhook of Slack.",
)
REPORT: Final = Variable(
    "OTEL_COST_REPORT",
    _path,
    lambda: None,
    "(none)",
    "The file that a process writes a report of what it has spent to as it ends, such as `cost_report.json`.",
)

BUDGETS: Final = Variable(
    "OTEL_COST_BUDGETS",
    _path_as_it_is,
    lambda: None,
    "(none)",
    "Your budgets: a TOML file, which is read again when it changes. One that cannot be read lets no call through.",
)
BUDGET_KEY: Final = Variable(
    "OTEL_COST_BUDGET_KEY",
    _keys,
    lambda: None,
    "(none)",
    "The secret that budgets in the baggage of requests must be signed with; several, comma separated, while it is "
    "being changed: the first signs, each is taken.",
)
BUDGET_STORE: Final = Variable(
    "OTEL_COST_BUDGET_STORE",
    str,
    lambda: "memory",
    "memory",
    "Where the accounts of budgets are kept: in the memory of each process; in the ledger service (service, for the "
    "one at `OTEL_COST_URL`, or a URL); or in Redis (redis://127.0.0.1:6379/0). One that cannot be lets no call "
    "through.",
)
BUDGET_STORE_GONE: Final = Variable(
    "OTEL_COST_BUDGET_STORE_GONE",
    _allowance,
    lambda: None,
    "refuse",
    "What calls under a budget may do while the service or Redis does not answer: refuse, or what each process may "
    "spend meanwhile (0.50, or 20000tok).",
)

_PORTS: Final = {"http": 80, "https": 443}
_PROVIDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
_SWITCH: Final = {"true": True, "false": False, "1": True, "0": False, "on": True, "off": False}
_DAYS: Final = re.compile(r"(\d{1,5})([dw])")
_SHORTEST_KEY: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_said: set[tuple[str, str]] = set()

VARIABLES: Final = (
    LEDGER,
    SPOOL,
    KEEP_CALLS,
    KEEP_ROLLUPS,
    ENDPOINTS,
    URL,
    INCLUDE_USAGE,
    PRICES,
    PRICES_REFRESH,
    BUDGETS,
    BUDGET_KEY,
    BUDGET_STORE,
    BUDGET_STORE_GONE,
    TOKEN,
    WRITE_TOKEN,
    READ_TOKEN,
    BUDGET_TOKEN,
    KEEP_TOKEN,
    CERTIFICATE,
    BAGGAGE_HOSTS,
    METRIC_DIMENSIONS,
    WEBHOOK,
    REPORT,
)


def get(variable: Variable, environ: Mapping[str, str] | None = None) -> Any:
    """The value of `variable`: what the environment says, or its default where that is missing or cannot be read."""
    raw = (os.environ if environ is None else environ).get(variable.name, "").strip()
    if not raw:
        return variable.default()
    try:
        return variable.read(raw)
    except ValueError as error:
        if (variable.name, raw) not in _said:
            _said.add((variable.name, raw))
            _logger.warning("%s=%s: %s. Using the default, %s", variable.name, raw, error, variable.shown_default)
        return variable.default()
