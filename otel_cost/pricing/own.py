"""The user's own prices: a file that is looked at again and again, or a URL that is fetched now and then.

Whatever cannot be read or fetched, or is bad where it was good before, leaves the last good prices where they are. What
was fetched is kept on disk, so that a process without a network has it too.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_cost import settings
from otel_cost.pricing import tables
from otel_cost.toml_file import Complaints, TextFile

if TYPE_CHECKING:
    from otel_cost.pricing.tables import Table

_logger = logging.getLogger(__name__)
_LOOK_EVERY: Final = 5.0
"""Seconds between two looks at a file."""
_FETCH_SECONDS: Final = 15.0
_MOST_BYTES: Final = 8 * 1024 * 1024
_LAST_GOOD: Final = "the prices that were good last hold"


class PriceFile:
    """Prices in a file of the user's."""

    every = _LOOK_EVERY

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, TextFile(path)
        self._complaints = Complaints(_logger, settings.PRICES.name)

    def first(self) -> Table | None:
        """What is there at once, without waiting for anything."""
        return self.look(None)

    def look(self, now: Table | None) -> Table | None:
        """The prices, where they are others than `now`; None where these stay."""
        try:
            text = self._file.changed()
        except (OSError, UnicodeDecodeError) as error:
            self._complaints.are(f"{self._path} cannot be read: {error}; {_LAST_GOOD}")
            return None
        if text is None:
            return None
        found = tables.read(text, str(self._path), f"file:{self._path.name}")
        if now is not None and found.is_empty:  # as it also is for a moment while somebody writes it
            self._complaints.are(*found.problems, f"{self._path} has no price that can be read; {_LAST_GOOD}")
            return None
        self._complaints.are(*(f"{problem} (passed over)" for problem in found.problems))
        return found


class PriceUrl:
    """Prices at a URL that the user names."""

    def __init__(self, url: str, every: float) -> None:
        parts = urlsplit(url)
        self.every = every
        self._url = settings.normal_url(url)
        self._name = urlsplit(self._url)._replace(query="", fragment="").geturl()  # a query may hold a secret
        self._headers = {"accept": "application/toml, text/plain, */*"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        self._version = f"url:{parts.hostname}"
        self._etag: str | None = None
        self._kept = settings.data_folder() / "prices" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.toml"
        self._complaints = Complaints(_logger, settings.PRICES.name)

    def first(self) -> Table | None:
        """What was fetched last, by this or another process."""
        try:
            return self._read(self._kept.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def look(self, now: Table | None) -> Table | None:
        """The prices, where they are others than `now`; None where these stay."""
        try:
            text = self._fetch()
        except (OSError, ValueError, HTTPException) as error:
            self._complaints.are(f"{self._name} cannot be fetched: {error}; {_LAST_GOOD}")
            return None
        if text is None:
            return None
        found = self._read(text)
        if now is not None and found.version == now.version:
            self._complaints.are()
            return None
        if (found.problems and now is not None) or found.is_empty:  # half a file, or a page that says sorry
            self._etag = None
            self._complaints.are(*found.problems, f"{self._name} is not what it should be; {_LAST_GOOD}")
            return None
        self._complaints.are(*(f"{problem} (passed over)" for problem in found.problems))
        if not found.problems:
            self._keep(text)
        return found

    def _read(self, text: str) -> Table:
        return tables.read(text, self._name, self._version)

    def _fetch(self) -> str | None:
        """What is there; None where it is what was there before."""
        headers = {**self._headers, **({"if-none-match": self._etag} if self._etag else {})}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - the setting takes http and https only
        token = context.attach(context.Context())  # no baggage of whoever started the thread
        try:
            with suppress_instrumentation(), urllib.request.urlopen(request, timeout=_FETCH_SECONDS) as response:  # noqa: S310 - likewise
                body = response.read(_MOST_BYTES + 1)
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"it has more than {_MOST_BYTES} bytes")
                if len(body) < int(response.headers.get("content-length") or 0):
                    raise ValueError("it came only in part")
                self._etag = response.headers.get("etag")
                return str(body.decode("utf-8"))
        except urllib.error.HTTPError as error:
            if error.code == 304:  # noqa: PLR2004 - not modified
                return None
            raise
        finally:
            context.detach(token)

    def _keep(self, text: str) -> None:
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._kept.parent, delete=False) as new:
                new.write(text)
            Path(new.name).replace(self._kept)
        except OSError as error:
            self._complaints.are(f"{self._name} cannot be kept in {self._kept.parent}: {error}")
