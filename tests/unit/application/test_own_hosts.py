"""Which hosts may learn who pays, told by their names alone."""

import logging

import pytest

from otel_cost import own_hosts, settings

OWN = [
    "http://localhost:8000/x",
    "http://127.0.0.1",
    "http://127.9.9.9:1/",
    "http://[::1]:8000/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.0.7/",
    "http://100.64.1.1/",  # shared address space, as overlay networks use
    "http://169.254.1.1/",
    "http://[fd12::7]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://billing/charge",
    "http://BILLING:9000?x",
    "http://user:pass@billing:9000/",
    "https://billing.shop.svc/",
    "https://billing.shop.svc.cluster.local./",
    "http://printer.local",
    "http://host.docker.internal:4000",
    "http://app.localhost",
    "http://nas.home.arpa",
]
STRANGERS = [
    "https://api.openai.com/v1",
    "https://example.com",
    "https://localhost.example.com/",
    "https://localhost@evil.example/",
    "https://svc.example/",
    "https://example.notlocal",
    "http://8.8.8.8/",
    "http://[2001:4860:4860::8888]/",
    "http://[::ffff:8.8.8.8]/",
    "http://134744072/",  # 8.8.8.8
    "http://0x08080808/",
    "http://8.2056/",
    "http://224.0.0.1/",
    "https://example.com\\@localhost/",
    "nonsense",
    "",
]


@pytest.mark.parametrize("url", OWN)
def test_names_that_only_a_network_of_ones_own_has(url: str) -> None:
    assert own_hosts.is_own(url)
    assert not own_hosts.is_listed(url)


@pytest.mark.parametrize("url", STRANGERS)
def test_every_other_host_is_a_stranger(url: str) -> None:
    assert not own_hosts.is_own(url)


def test_a_listed_host_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_BAGGAGE_HOSTS", " Billing.example.com, *.shop.example,[2001:4860:4860::8888] ,")
    for url in ("https://billing.example.com:8443/x", "https://a.b.shop.example", "http://[2001:4860:4860::8888]:1/"):
        assert own_hosts.is_listed(url)
        assert own_hosts.is_own(url)
    for url in (
        "https://example.com",
        "https://x.billing.example.com",
        "https://shop.example",
        "https://eshop.example",
    ):
        assert not own_hosts.is_own(url)


def test_what_is_no_host_is_said_once_and_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_COST_BAGGAGE_HOSTS", "*,http://a.example,b.example:80,c.example,*.")
    with caplog.at_level(logging.WARNING):
        assert settings.get(settings.BAGGAGE_HOSTS) == ("c.example",)
        assert settings.get(settings.BAGGAGE_HOSTS) == ("c.example",)
    assert [record.args[1] for record in caplog.records] == ["*", "http://a.example", "b.example:80", "*."]  # type: ignore[index]
