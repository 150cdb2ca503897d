"""What calls are likely to cost, from the history that a ledger service has of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests
from click.testing import CliRunner
from exporter_building import call, refused, request, unknown

from otel_cost import estimate
from otel_cost.cli import main

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from otel_cost_exporter.service import Service


@pytest.fixture
def history(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Ten runs, of which the n-th has n calls of the stage ``draft``, each of n hundred tokens of output.

    A call of gpt-4o with 1000 tokens of input and n x 100 of output costs 0.0025 + n x 0.001 USD.
    """
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    spans: list[Span] = []
    for run in range(1, 11):
        spans += [
            call(
                100 * run + number,
                otel_cost__run=f"r{run}",
                otel_cost__stage="draft",
                otel_cost__project="a" if run < 3 else "b",
                gen_ai__usage__output_tokens=100 * run,
                otel_cost__cost__amount=str(Decimal("0.0025") + Decimal("0.001") * run),
            )
            for number in range(run)
        ]
    spans += [refused(1, otel_cost__run="r1", otel_cost__stage="draft"), call(2, otel_cost__stage="review")]
    send(service, *spans)
    return service


def send(service: Service, *spans: Span) -> None:
    headers = {"content-type": "application/x-protobuf"}
    answer = requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10)
    answer.raise_for_status()


def ask(service: Service, question: str, status: int = 200) -> Any:
    answer = requests.get(f"{service.url}/v1/estimate?{question}", timeout=10)
    assert answer.status_code == status
    return answer.json()


@pytest.mark.usefixtures("history")
def test_what_a_run_of_the_stage_costs() -> None:
    found = estimate(stage="draft")
    # Runs cost n x (0.0025 + n x 0.001): the first 0.0035, the fifth 0.0375, the ninth 0.1035.
    assert (found.low, found.likely, found.high) == (Decimal("0.0035"), Decimal("0.0375"), Decimal("0.1035"))
    assert (found.basis, found.calls, found.seen, found.model, found.doubts) == ("runs", None, 10, None, ())


@pytest.mark.usefixtures("history")
def test_what_so_many_calls_of_the_stage_cost() -> None:
    found = estimate(stage="draft", calls=100)
    # 55 calls, of which the sixth costs 0.0055, the fiftieth 0.0125; all together n x 0.0025 + n x n x 0.001
    mean = (55 * Decimal("0.0025") + 385 * Decimal("0.001")) / 55
    assert (found.low, found.high) == (Decimal("0.55"), Decimal("1.25"))
    assert found.likely == mean * 100
    assert (found.basis, found.calls, found.seen) == ("calls", 100, 55)


@pytest.mark.usefixtures("history")
def test_the_same_calls_at_the_prices_of_another_model() -> None:
    """GPT-4o mini: 0.15 and 0.60 USD a million."""
    found = estimate(stage="draft", model="gpt-4o-mini", calls=10)
    # 1000 tokens of input; of output 300 for the sixth of 55 calls, 700 for the mean, 1000 for the fiftieth
    price = [10 * (1000 * Decimal("0.15") + tokens * Decimal("0.60")) / 1_000_000 for tokens in (300, 700, 1000)]
    assert [found.low, found.likely, found.high] == price
    assert (found.basis, found.calls, found.seen, found.model) == ("calls priced anew", 10, 55, "gpt-4o-mini")
    run = estimate(stage="draft", model="gpt-4o-mini")
    # and a run has 1, 5 or 9 of them
    assert [run.low, run.likely, run.high] == [each / 10 * calls for each, calls in zip(price, (1, 5, 9), strict=True)]
    assert run.calls is None


@pytest.mark.usefixtures("history")
def test_history_may_be_narrowed() -> None:
    assert estimate(stage="draft", project="a").seen == 2
    assert estimate(stage="draft", since="2026-01-01").seen == 10
    with pytest.raises(LookupError, match="no run of stage='draft' yet: say for how many calls="):
        estimate(stage="draft", since="2026-04-01")
    with pytest.raises(ValueError, match="since='yesterday' is no time"):
        estimate(stage="draft", since="yesterday")
    with pytest.raises(ValueError, match="parameter 'stge' is unknown"):
        estimate(stge="draft")


@pytest.mark.usefixtures("history")
def test_a_stage_without_history_says_what_to_do() -> None:
    with pytest.raises(LookupError, match="no run of stage='nowhere' yet"):
        estimate(stage="nowhere")
    with pytest.raises(LookupError, match="no call of stage='nowhere' yet: give model="):
        estimate(stage="nowhere", calls=3)
    with pytest.raises(LookupError, match="no run of stage='review' yet: say for how many calls="):
        estimate(stage="review")  # its call belonged to no run
    assert estimate(stage="review", calls=1).likely == Decimal("0.0045")


def test_what_nobody_knows_is_left_out_and_said(history: Service) -> None:
    send(history, unknown(3, otel_cost__stage="draft", otel_cost__run="r1"))
    assert estimate(stage="draft").doubts == ("1 of 10 runs are left out, of which nobody knows it",)
    assert estimate(stage="draft", calls=1).doubts == ("1 of 56 calls are left out, of which nobody knows it",)
    send(history, unknown(4, otel_cost__stage="odd", otel_cost__run="r1"))
    for asked in ({"calls": 1}, {}):
        with pytest.raises(LookupError, match="nobody knows what stage='odd' cost"):
            estimate(stage="odd", **asked)  # type: ignore[arg-type]
    send(history, call(5, otel_cost__stage="cut", otel_cost__run="r1", gen_ai__usage__input_tokens=...))
    with pytest.raises(LookupError, match="nobody knows how large those calls were"):
        estimate(stage="cut", model="gpt-4o-mini")


def test_a_few_dear_calls_do_not_leave_the_range(history: Service) -> None:
    for number in range(11):
        dear = {"otel_cost__cost__amount": "9"} if not number else {}
        send(history, call(5000 + number, otel_cost__stage="skewed", **dear))
    found = estimate(stage="skewed", calls=1)
    assert found.low == Decimal("0.0045")
    assert found.likely == found.high


def test_the_route_is_for_one_answer_alone(history: Service) -> None:
    assert ask(history, "stage=draft")["run_cost_median_usd"] == "0.037500"
    assert ask(history, "")["calls"] == 56
    refused = ask(history, "by=model", 400)["detail"]
    assert refused.startswith("parameter 'by' is unknown, allowed are: since, until, tz")
    nothing = ask(history, "stage=nowhere")
    assert (nothing["calls"], nothing["runs"], nothing["run_cost_low_usd"]) == (0, 0, None)


@pytest.mark.usefixtures("history")
def test_the_command() -> None:
    run = CliRunner().invoke(main, ["estimate", "--stage", "draft"])
    assert run.exit_code == 0, run.output
    assert run.output.splitlines() == [
        "0.037500 USD are likely, 0.003500 to 0.103500",
        "from 10 runs of the ledger",
    ]
    sizes = ["--model", "gpt-4o", "--calls", "200", "--input-tokens", "1000", "--output-tokens", "100-200"]
    run = CliRunner().invoke(main, ["estimate", *sizes])
    assert run.output.splitlines() == [
        "0.800000 USD are likely, 0.700000 to 0.900000",
        "from given sizes, 200 calls at the prices of gpt-4o",
    ]
    sizes[1] = "gpt-4o-2035-01-01"
    run = CliRunner().invoke(main, ["estimate", *sizes, "--provider", "openai"])
    assert run.output.splitlines()[2:] == ["Not sure: no price for this version of the model"]
    run = CliRunner().invoke(main, ["estimate", "--where", "project=a", "--model", "gpt-4o-mini", "--json"])
    assert '"basis": "calls priced anew"' in run.output
    run = CliRunner().invoke(main, ["estimate", "--stage", "nowhere"])
    assert (run.exit_code, run.output) == (
        1,
        "Error: the ledger has no run of --stage nowhere yet: say for how many --calls, or give sizes\n",
    )
    run = CliRunner().invoke(main, ["estimate", "--model", "gpt-4o"])
    assert run.output.endswith(
        "Error: say whose history, as in --stage draft; or give --model, --input-tokens and --output-tokens\n"
    )
    for options in (["--input-tokens", "many"], ["--where", "project"], []):
        assert CliRunner().invoke(main, ["estimate", *options]).exit_code == 2
