"""``otel-cost prices``."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_cost.pricing import sources, tables
from otel_cost.pricing.command import prices


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(prices, arguments)
    return result.exit_code, result.output


def test_the_example_is_a_price_file(root: Path) -> None:
    code, output = run("check", str(root / "examples/prices.toml"))
    assert (code, output.split(": ")[1]) == (0, "8 can be read, 0 cannot\n")


def test_every_key_is_in_the_how_to(root: Path) -> None:
    page = (root / "docs/how-to/prices.md").read_text()
    for key in (*tables._KEYS, *tables._PRICES):
        assert f"`{key}`" in page or f"`{key} = " in page


def test_what_cannot_be_read_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nprovider = "a"\nmodel = "b"\ninput = -1\n')
    code, output = run("check", str(path))
    assert code == 1
    assert f"{path}:4: input: it must be an amount in US dollars, as in 2.50\n" in output
    assert "0 can be read, 1 cannot" in output
    path.write_bytes(b"\xff")
    assert run("check", str(path))[0] == 1


def test_what_looks_mistyped_is_a_warning_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    item = '[[price]]\nmodel = "m"\ninput = 1\nprovider = {}\nservice_tier = {}\n'
    path.write_text(
        item.format('"opnai"', '"bacth"')
        + item.format('["vllm.internal", "*", "Azure", "aws.bedrok"]', '["standard", "Flex", "on_demand"]')
        + item.format('"openrouter"', '"gold"')
        + "[[price]]\nprovider = 1\n[[price]]\nbroken\n"
    )
    code, output = run("check", str(path))
    provider, tier = "warning: no known provider is called", "warning: no known service tier is called"
    unless = "Else OTEL_COST_ENDPOINTS must name it"
    assert [line for line in output.splitlines() if "warning" in line] == [
        f"{path}:4: {provider} 'opnai': is it 'openai'? {unless}",
        f"{path}:9: {provider} 'aws.bedrok': is it 'aws.bedrock'? {unless}",
        f"{path}:5: {tier} 'bacth': is it 'batch'?",
        f"{path}:15: {tier} 'gold': there are batch, flex, performance, priority, standard",
    ]
    assert "3 can be read, 2 cannot" in output
    path.write_text(item.format('"opnai"', '"batch"'))
    code, output = run("check", str(path))
    assert (code, output.count("warning")) == (0, 1)


def test_what_a_model_costs() -> None:
    code, output = run("show", "openai", "gpt-4o")
    assert code == 0
    assert output.startswith("genai-prices/")
    assert "  input tokens               2.5 USD per million\n" in output
    assert "  web searches               0.01 USD each\n" in output
    # Claude Sonnet 4.5 on Bedrock by batch, in a region: half of 3.30
    code, output = run("show", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "--tier", "batch")
    assert output.startswith("otel-cost/")
    assert "  input tokens               1.65 USD per million\n" in output
    code, output = run("show", "openai", "gpt-5.5")
    assert "    above 272,000 input tokens  10 USD per million\n" in output
    code, output = run("show", "perplexity", "sonar")
    assert "  request                    0.005 USD\n" in output


def test_what_a_model_costs_at_another_time_and_on_terms() -> None:
    # DeepSeek's peak, and its night
    peak = run("show", "deepseek", "deepseek-v4-pro", "--at", "2026-11-18T02:30")[1]
    night = run("show", "deepseek", "deepseek-v4-pro", "--at", "2026-11-18T12:00")[1]
    assert "1.32 USD per million" in peak
    assert "0.66 USD per million" in night
    assert "4.4 USD per million" in run("show", "anthropic", "claude-opus-5-5", "--term", "inference_geo=us")[1]
    assert (
        "  no price for speed 'fast': the rest is a guess\n"
        in run("show", "openai", "gpt-4o", "--term", "speed=fast")[1]
    )
    code, output = run("show", "openai", "gpt-4o", "--term", "speed")
    assert (code, "write NAME=VALUE" in output) == (2, True)


def test_a_model_without_a_price_comes_with_what_to_add() -> None:
    code, output = run("show", "openai", "gpt-none")
    assert code == 1
    assert "no price for 'gpt-none' of 'openai'" in output
    assert 'model = "gpt-none"\ninput = …' in output


def test_ones_own_prices_are_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_PRICES", str(root / "examples/prices.toml"))
    sources.begin_anew()
    code, output = run("show", "openai", "gpt-4o")  # published at 2.50
    monkeypatch.delenv("OTEL_COST_PRICES")
    sources.begin_anew()
    assert code == 0
    assert output.startswith("file:prices.toml@")
    assert "2.125 USD per million" in output
