"""One reading of parameters for the API and the commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from exporter_building import naive

from otel_cost_exporter.answers import question
from otel_cost_exporter.answers.question import Question
from otel_cost_exporter.errors import QuestionError


def test_parameters_repeat_and_keep_their_order() -> None:
    asked = question.read(
        [("by", "stage"), ("by", "tenant"), ("by", "stage"), ("project", "a"), ("tenant", "x"), ("project", "b")],
        ["tenant"],
    )
    assert asked == Question(by=("stage", "tenant"), filters={"project": ("a", "b"), "tenant": ("x",)})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02", naive("2026-03-02T00:00:00")),
        ("2026-03-02T12:00:00", naive("2026-03-02T12:00:00")),
        ("2026-03", naive("2026-03-01T00:00:00")),
        ("2026-03-02T12:00:00Z", naive("2026-03-02T12:00:00")),
        ("2026-03-02T12:00:00+02:00", naive("2026-03-02T10:00:00")),
    ],
)
def test_a_time_without_zone_is_utc(text: str, moment: datetime) -> None:
    asked = question.read([("since", text), ("until", text)], [])
    assert (asked.since, asked.until) == (moment, moment)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_a_time_may_be_how_long_ago(text: str, ago: timedelta) -> None:
    asked = question.read([("since", text)], [])
    assert asked.since is not None
    assert abs(datetime.now(UTC).replace(tzinfo=None) - ago - asked.since) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "yesterday", "24", "h", "-1h", "999999w", "2026-13-01", "24h; drop table calls"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(QuestionError, match=r"since=.* is no time: write it like 2026-11-22"):
        question.read([("since", text)], [])


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ([("by", "modle")], r"by='modle' is unknown, by can be: project, plan, .*, hour, day, week, month, tenant\Z"),
        ([("by", "")], "by='' is unknown"),
        ([("by", "cost")], "by='cost' is unknown"),
        (
            [("tenent", "x")],
            r"parameter 'tenent' is unknown, allowed are: by, since, until, tz, limit, project, .*, tenant\Z",
        ),
        ([("hour", "x")], "parameter 'hour' is unknown"),
        ([("", "")], "parameter '' is unknown"),
        ([("since", "24h"), ("by", "run"), ("since", "1h")], "since is given more than once"),
        ([("until", "24h"), ("until", "24h")], "until is given more than once"),
        ([("since", "2026-03-02"), ("until", "2026-03")], "since='2026-03-02' is after until='2026-03'"),
        ([("since", "24h"), ("until", "7d")], "since='24h' is after until='7d'"),
    ],
)
def test_an_unknown_parameter_is_named_with_the_allowed(parameters: list[tuple[str, str]], line: str) -> None:
    with pytest.raises(QuestionError, match=line):
        question.read(parameters, ["tenant"])


def test_a_dimension_that_is_called_like_a_figure_or_parameter_stays_unaskable() -> None:
    own = ["calls", "cost_usd", "since"]
    for name in ("calls", "cost_usd"):
        with pytest.raises(QuestionError, match=f"by='{name}' is unknown"):
            question.read([("by", name)], own)
