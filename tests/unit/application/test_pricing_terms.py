"""What a price depends on beyond its model, as one line of text."""

from __future__ import annotations

import pytest

from otel_cost.pricing import terms


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({}, None),
        ({"inference_geo": "global", "speed": "standard", "location": "Global"}, None),
        ({"speed": "fast", "inference_geo": "us", "latency": "standard"}, "inference_geo=us,speed=fast"),
        ({"location": "europe-west1"}, "location=europe-west1"),
        ({"location": "azure.us"}, "location=azure.us"),
        ({"speed": "a,b=c", "location": "x" * 65}, None),  # no value that anybody has
    ],
)
def test_what_is_not_ordinary_is_written_and_read_again(stated: dict[str, str], text: str | None) -> None:
    assert terms.text_of(stated) == text
    written = {name: value for name, value in stated.items() if f"{name}={value}" in (text or "").split(",")}
    assert terms.of_text(text or "") == written


@pytest.mark.parametrize("text", ["", "speed", "=fast", "speed=", "speed=a b", "speed==fast"])
def test_what_is_no_term_is_passed_over(text: str) -> None:
    assert terms.of_text(f"{text},location=eu") == {"location": "eu"}
