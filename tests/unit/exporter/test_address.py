"""Where a service listens."""

from __future__ import annotations

import socket

import pytest

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.errors import AddressError


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:4317", Address("127.0.0.1", 4317), True),
        ("localhost:0", Address("localhost", 0), True),
        ("[::1]:4318", Address("::1", 4318), True),
        ("0.0.0.0:4317", Address("0.0.0.0", 4317), False),  # noqa: S104 - only its text is read
        ("[::]:4317", Address("::", 4317), False),
        ("ledger.example:4317", Address("ledger.example", 4317), False),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address, loopback: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    assert Address.parse(text) == address
    assert str(address) == text
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text", ["", "4317", ":4317", "localhost", "localhost:http", "localhost:65536", "::1:4317", "a:-1"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no address: write it like 127\.0\.0\.1:4317"):
        Address.parse(text)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(AddressError, match=rf"{address} cannot be listened on for HTTP: .* Choose with --http"):
            address.listen("HTTP", "--http")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nobody.invalid", ".*resol.*|.*known.*"),
        ("a..b", "it is no host name"),
        ("192.0.2.1", "Cannot .*"),
    ],
)
def test_a_host_that_is_none_of_ours_is_one_clear_line(host: str, reason: str) -> None:
    with pytest.raises(
        AddressError, match=rf"{host}:0 cannot be listened on for HTTP: ({reason})\. Choose with --http"
    ):
        Address(host, 0).listen("HTTP", "--http")


def test_an_address_that_this_machine_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``localhost`` is, in its IPv6 form, where a container has none."""
    both = [(socket.AF_INET, 0, 0, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with Address("localhost", 0).listen("HTTP", "--http") as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_host_of_which_an_address_is_in_use_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        both = [(socket.AF_INET, 0, 0, "", where) for where in (taken.getsockname(), ("127.0.0.1", 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        with pytest.raises(AddressError, match="cannot be listened on for HTTP: Address already in use"):
            Address("localhost", taken.getsockname()[1]).listen("HTTP", "--http")
