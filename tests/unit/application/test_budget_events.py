"""What happens to budgets is told to the log, traces, OpenTelemetry's logs and callbacks."""

import logging
from decimal import Decimal

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import safety
from otel_cost.budgets import Budget, Claim, Limit, Spend, events
from otel_cost.budgets.events import BudgetEvent, emit, is_subscribed, subscribe, tell
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tree import Standing

IN_USD = Standing(Key("run", "r 1", "USD"), Limit.of_usd("0.05"), Decimal("0.041"), Decimal("0.002"), 1, 3, None)
IN_TOKENS = Standing(Key("project", "p", "tokens", "day 2026-11-23"), Limit.of_tokens(900), 700, 0, 0, 3, None)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            BudgetEvent.of("warned", IN_USD, share=Decimal("0.80")),
            "budget of run 'r 1': 0.041000 USD spent, which is 80% of 0.050000 USD or more",
        ),
        (
            BudgetEvent.of("warned", IN_TOKENS, share=Decimal("0.755")),
            "budget of project 'p' (day 2026-11-23): 700 tokens spent, which is 75.5% of 900 tokens or more",
        ),
        (
            BudgetEvent.of("warned", IN_TOKENS, share=Decimal(1)),
            "budget of project 'p' (day 2026-11-23): 700 tokens spent, which is 100% of 900 tokens or more",
        ),
        (
            BudgetEvent.of("exceeded", IN_USD, call=Decimal("0.01"), model="gpt-5"),
            (
                "budget of run 'r 1' is exceeded: 0.041000 USD of 0.050000 USD spent and 0.002000 USD held by calls "
                "under way, and a call to 'gpt-5' asks for 0.010000 USD"
            ),
        ),
        (
            BudgetEvent.of("exceeded", IN_TOKENS),
            "budget of project 'p' (day 2026-11-23) is exceeded: 700 tokens of 900 tokens spent",
        ),
        (
            BudgetEvent.of("paused", IN_USD, call=Decimal("0.01"), model="gpt-5"),
            (
                "budget of run 'r 1' has a call to 'gpt-5' wait: 0.041000 USD of 0.050000 USD spent and 0.002000 USD "
                "held by calls under way, 0.003000 USD missing. `otel-cost budget raise run 'r 1' --to LIMIT` lets it "
                "go on, `otel-cost budget stop run 'r 1'` ends it"
            ),
        ),
        (
            BudgetEvent.of("paused", IN_TOKENS, call=300, model="gpt-5"),
            (
                "budget of project 'p' (day 2026-11-23) has a call to 'gpt-5' wait: 700 tokens of 900 tokens spent, "
                "100 tokens missing. `otel-cost budget raise project p --to LIMIT --window day` lets it go on, "
                "`otel-cost budget stop project p` ends it"
            ),
        ),
        (
            BudgetEvent.of("resumed", IN_TOKENS, model="gpt-5"),
            (
                "budget of project 'p' (day 2026-11-23) lets a call to 'gpt-5' that waited go on: 700 tokens of "
                "900 tokens spent"
            ),
        ),
        (
            BudgetEvent.of("stopped", IN_TOKENS),
            "budget of project 'p' (day 2026-11-23) is stopped: 700 tokens of 900 tokens spent",
        ),
        (
            BudgetEvent.of("downgraded", IN_TOKENS, model="gpt-5-nano"),
            (
                "budget of project 'p' (day 2026-11-23) has a call ask 'gpt-5-nano', which is cheaper: 700 tokens of "
                "900 tokens spent"
            ),
        ),
        (
            BudgetEvent.of("spent", IN_TOKENS, call=20, model="gpt-5"),
            (
                "budget of project 'p' (day 2026-11-23): a call to 'gpt-5' has spent 20 tokens; 700 tokens of 900 "
                "tokens spent"
            ),
        ),
        (BudgetEvent.of("stopped", IN_TOKENS, message="Nobody came."), "Nobody came."),
    ],
)
def test_an_event_is_one_sentence(event: BudgetEvent, line: str) -> None:
    assert event.message == line


@pytest.mark.parametrize(("is_raised", "printed"), [(False, 1), (True, 0)], ids=["told", "raised"])
def test_where_nobody_has_set_up_logging_what_an_error_says_is_not_printed_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_raised: bool, printed: int
) -> None:
    monkeypatch.setattr(events, "_logger", logging.Logger("of nobody"))  # noqa: LOG001 - it has no parent
    events.emit(BudgetEvent.of("exceeded", IN_USD), is_raised=is_raised)
    assert capsys.readouterr().err.count("budget of run 'r 1' is exceeded") == printed


def test_an_event_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "otel_cost"):
        emit(BudgetEvent.of("warned", IN_USD, share=Decimal("0.8")))
        emit(BudgetEvent.of("resumed", IN_USD, model="gpt-5"))
        emit(BudgetEvent.of("spent", IN_USD))
    assert [(record.levelname, record.message.split(":")[0]) for record in caplog.records] == [
        ("WARNING", "budget of run 'r 1'"),
        ("INFO", "budget of run 'r 1' lets a call to 'gpt-5' that waited go on"),
    ]


ATTRIBUTES = {
    "otel_cost.budget.event.dimension": "run",
    "otel_cost.budget.event.id": "r 1",
    "otel_cost.budget.event.unit": "USD",
    "otel_cost.budget.event.limit": "0.050000",
    "otel_cost.budget.event.spent": "0.041000",
    "otel_cost.budget.event.held": "0.002000",
    "otel_cost.budget.event.share": "0.8",
}


def test_an_event_is_one_of_the_span_and_of_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    monkeypatch.setattr(events, "_otel_logger", lambda: loggers.get_logger("otel_cost"))
    tracer = tracers.get_tracer("test")
    with tracer.start_as_current_span("current"):
        emit(BudgetEvent.of("warned", IN_USD, share=Decimal("0.8")))
    call = tracer.start_span("call")
    emit(BudgetEvent.of("paused", IN_USD, call=Decimal("0.01"), model="gpt-5"), call)
    call.end()

    current, call_ended = spans.get_finished_spans()
    assert [(event.name, dict(event.attributes or {})) for event in current.events] == [
        ("otel_cost.budget.warned", ATTRIBUTES)
    ]
    assert [event.name for event in call_ended.events] == ["otel_cost.budget.paused"]
    warned, paused = (log.log_record for log in logs.get_finished_logs())
    assert (warned.event_name, dict(warned.attributes or {})) == ("otel_cost.budget.warned", ATTRIBUTES)
    assert warned.severity_number == SeverityNumber.WARN
    assert "80%" in str(warned.body)
    assert (warned.span_id, paused.span_id) == (current.context.span_id, call_ended.context.span_id)
    assert paused.attributes == {
        **{key: value for key, value in ATTRIBUTES.items() if not key.endswith("share")},
        "otel_cost.budget.event.call": "0.010000",
        "otel_cost.budget.event.model": "gpt-5",
    }


def test_callbacks_hear_of_the_kinds_that_they_asked_for() -> None:
    every: list[str] = []
    some: list[str] = []
    assert not is_subscribed("spent")
    end_every = subscribe(lambda event: every.append(event.kind))
    end_some = subscribe(lambda event: some.append(event.kind), kinds=["spent", "stopped"])
    assert is_subscribed("spent")
    for kind in ("spent", "warned", "stopped"):
        emit(BudgetEvent.of(kind, IN_USD))  # type: ignore[arg-type]
    end_every()
    emit(BudgetEvent.of("stopped", IN_USD))
    end_some()
    emit(BudgetEvent.of("stopped", IN_USD))
    assert every == ["spent", "warned", "stopped"]
    assert some == ["spent", "stopped", "stopped"]
    assert not is_subscribed("spent")


def test_a_callback_that_fails_takes_no_other_with_it() -> None:
    heard: list[str] = []

    def fails(event: BudgetEvent) -> None:
        raise OSError(event.kind)

    ends = [subscribe(fails), subscribe(lambda event: heard.append(event.id))]
    emit(BudgetEvent.of("spent", IN_USD))
    for end in ends:
        end()
    assert heard == ["r 1"]
    assert safety.failures() == {"calling back with a budget's event": 1}


def test_a_kind_that_there_is_not_is_said() -> None:
    with pytest.raises(ValueError, match="no such kind of budget event: spend; there are warned, exceeded"):
        subscribe(print, kinds=["spend"])  # type: ignore[list-item]


def test_a_settled_call_tells_of_shares_reached_and_of_the_sum_to_who_subscribed() -> None:
    in_usd = Budget("run", "r 1", Limit.of_usd("0.05"))
    in_tokens = Budget("project", "p", Limit.of_tokens(900))
    claims = (Claim(in_usd, IN_USD.key, Decimal("0.03")), Claim(in_tokens, IN_TOKENS.key, 30))
    standings = (IN_USD._replace(crossed=(Decimal("0.5"), Decimal("0.8"))), IN_TOKENS)
    heard: list[BudgetEvent] = []
    end = subscribe(heard.append)
    tell(claims, standings, Spend(Decimal("0.02"), 21), "gpt-5")
    assert [(event.kind, event.id, event.share, event.call) for event in heard] == [
        ("spent", "r 1", None, Decimal("0.02")),
        ("warned", "r 1", Decimal("0.5"), None),
        ("warned", "r 1", Decimal("0.8"), None),
        ("spent", "p", None, 21),
    ]
    tell(claims, (), Spend(Decimal("0.02"), 21), "gpt-5")  # a store that answers later
    assert len(heard) == 4
    end()
    assert "a call has spent" in BudgetEvent.of("spent", IN_USD).message
