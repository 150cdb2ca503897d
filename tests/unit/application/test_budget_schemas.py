"""docs/reference/schemas has the JSON Schema of each public shape: `python <this file>` writes them anew."""

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from otel_cost.budgets.config import BudgetStatus
from otel_cost.budgets.events import KINDS, BudgetEvent
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PLAIN, Key
from otel_cost.budgets.schemas import BudgetEvent as EventShape
from otel_cost.budgets.schemas import BudgetFile, schemas
from otel_cost.budgets.tree import Standing
from otel_cost.budgets.webhook import body_of

FOLDER = Path(__file__).parents[3] / "docs/reference/schemas"


def text_of(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def test_the_published_schemas_are_those_of_the_code() -> None:
    published = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert published == {f"{name}.json": text_of(schema) for name, schema in schemas().items()}


def test_every_field_says_what_it_is_for() -> None:
    for name, schema in schemas().items():
        for shape in (schema, *schema.get("$defs", {}).values()):
            silent = [key for key, value in shape.get("properties", {}).items() if "description" not in value]
            assert not silent, (name, silent)


def test_amounts_are_texts_in_what_is_answered() -> None:
    status = schemas()["BudgetStatus"]["properties"]
    assert {status[name]["type"] for name in ("limit", "spent", "held", "remaining")} == {"string"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_webhook_sends_is_as_it_says(kind: Any) -> None:
    standing = Standing(Key("run", "r1", "USD"), Limit.of_usd(1), Decimal("0.5"), Decimal(0), 0, 3, None)
    event = BudgetEvent.of(kind, standing, share=Decimal("0.5"), call=Decimal("0.01"), model="gpt-4o")
    sent = EventShape.model_validate_json(body_of(event))
    assert (sent.event, sent.limit, sent.spent, sent.share) == (kind, "1.000000", "0.500000", "0.5")
    EventShape.model_validate_json(body_of(BudgetEvent.of(kind, standing)))


def test_a_file_is_as_it_says() -> None:
    found = BudgetFile.model_validate(
        tomllib.loads('[[budget]]\ndimension = "run"\nlimit_usd = 0.50\n', parse_float=Decimal)
    )
    assert found.budget[0].limit == Limit.of_usd("0.50")
    with pytest.raises(ValidationError):
        BudgetFile.model_validate({"budgets": []})


def test_a_status_comes_back_from_what_was_sent() -> None:
    standing = Standing(Key("run", "r1", "tokens"), Limit.of_tokens(9), 5, 1, 1, 3, None)
    status = BudgetStatus.of(standing, PLAIN)
    assert BudgetStatus.model_validate_json(status.model_dump_json()) == status


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(text_of(schema))
