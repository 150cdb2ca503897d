import logging
from pathlib import Path

import pytest

from otel_cost import settings
from otel_cost.settings import Endpoint


def test_without_a_variable_the_default_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert settings.get(settings.LEDGER, {}) == Path("/data/otel-cost/ledger.duckdb")
    assert settings.get(settings.SPOOL, {}) == Path("/data/otel-cost/spool")
    assert settings.get(settings.ENDPOINTS, {}) == ()
    assert settings.get(settings.URL, {}) == "http://127.0.0.1:4318"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert settings.get(settings.LEDGER, {}) == Path.home() / ".local/share/otel-cost/ledger.duckdb"


def test_values_are_read_as_what_they_are() -> None:
    assert settings.get(settings.LEDGER, {"OTEL_COST_LEDGER": "~/l.duckdb"}) == Path.home() / "l.duckdb"
    assert settings.get(settings.URL, {"OTEL_COST_URL": "https://costs.example/"}) == "https://costs.example"
    for allowed in ("0.50", "20000tok"):
        assert settings.get(settings.BUDGET_STORE_GONE, {"OTEL_COST_BUDGET_STORE_GONE": allowed}) == allowed
    assert settings.get(settings.BUDGET_STORE_GONE, {"OTEL_COST_BUDGET_STORE_GONE": "refuse"}) is None
    hook = "https://Hooks.example/a/B/"
    assert settings.get(settings.WEBHOOK, {"OTEL_COST_WEBHOOK": hook}) == hook
    text = "http://127.0.0.1:8000/v1/=openai, https://gw.example/a=anthropic/anthropic.messages,"
    assert settings.get(settings.ENDPOINTS, {"OTEL_COST_ENDPOINTS": text}) == (
        Endpoint("http://127.0.0.1:8000/v1", "openai"),
        Endpoint("https://gw.example/a", "anthropic", "anthropic.messages"),
    )


def test_the_process_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_URL", "http://127.0.0.1:9")
    assert settings.get(settings.URL) == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (settings.URL, "costs.example"),
        (settings.SPOOL, "~nobody-of-that-name/spool"),
        (settings.URL, "ftp://costs.example"),
        (settings.URL, "http://costs.example:abc"),
        (settings.URL, "http://costs.example:70000"),
        (settings.URL, "http://costs example"),
        (settings.INCLUDE_USAGE, "maybe"),
        (settings.BUDGET_STORE_GONE, "allow"),
        (settings.BUDGET_STORE_GONE, "-1"),
        (settings.WEBHOOK, "hooks.example"),
        (settings.WEBHOOK, "https://user:secret@hooks.example"),
    ],
)
def test_a_bad_value_gets_one_clear_line_and_the_default(
    variable: settings.Variable, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert settings.get(variable, {variable.name: value}) == variable.default()
    (record,) = caplog.records
    assert f"{variable.name}={value}" in record.getMessage()
    assert "must be" in record.getMessage()
    assert f"Using the default, {variable.shown_default}" in record.getMessage()


@pytest.mark.parametrize(
    "item",
    [
        "openai",
        "http://h=",
        "h=openai",
        "http://h:x=openai",
        "http://h=openai http://g=a",
        "http://h=openai;http://g=a",
    ],
)
def test_an_endpoint_that_cannot_be_read_is_said_and_takes_no_other_with_it(
    item: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"http://one=openai,{item},http://two=anthropic"
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert settings.get(settings.ENDPOINTS, {"OTEL_COST_ENDPOINTS": text}) == (
                Endpoint("http://one", "openai"),
                Endpoint("http://two", "anthropic"),
            )
    (record,) = caplog.records
    assert record.getMessage().startswith(f"OTEL_COST_ENDPOINTS: {item!r} is passed over: ")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("HTTP://LocalHost:8000/V1", "http://localhost:8000/V1"),
        ("https://llm.corp:443/v1", "https://llm.corp/v1"),
        ("http://llm.corp:80", "http://llm.corp"),
        ("https://user:secret@llm.corp/v1/", "https://llm.corp/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_the_same_however_it_is_written(written: str, normal: str) -> None:
    found = settings.get(settings.ENDPOINTS, {"OTEL_COST_ENDPOINTS": f"{written}=OpenAI"})
    assert found == (Endpoint(normal, "openai"),)


def test_every_variable_is_in_the_reference(root: Path) -> None:
    reference = (root / "docs/reference/settings.md").read_text()
    for variable in settings.VARIABLES:
        assert f"`{variable.name}`" in reference
        assert variable.doc in reference.replace("\n", " ")
        assert variable.shown_default in reference
