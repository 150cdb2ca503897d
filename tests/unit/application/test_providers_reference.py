"""docs/reference/providers.md is the table of wire formats, written out: `python <this file>` writes it anew."""

import re
from pathlib import Path

from otel_cost.usage import FORMATS, STATES_COST
from otel_cost.usage.endpoints import PROVIDERS

PAGE = Path(__file__).parents[3] / "docs/reference/providers.md"
BEGIN = "<!-- from here on written by tests/unit/application/test_providers_reference.py -->"


def shown(pattern: str) -> str:
    """A regular expression of the table as a person would write it."""
    pattern = re.sub(r"\(\?<?![^()]*\)", "", pattern)
    pattern = re.sub(r"\(\?P<(\w+)>@?\??\[[^\]]*\]\+(?:/\[[^\]]*\]\+)?\)", r"{\1}", pattern)
    pattern = re.sub(r"\(\?P<(\w+)>\.\+\)", r"{\1}", pattern)
    pattern = re.sub(r"\(\?P<stream>([^)]*)\)\?", r"[\1]", pattern)
    pattern = re.sub(r"\(\?P<stream>([^)]*)\)", r"\1", pattern)
    pattern = re.sub(r"\(\?:([^()]*)\)\?", r"[\1]", pattern)
    pattern = re.sub(r"\(\?:([^()]*)\)", r"(\1)", pattern)
    return pattern.replace("[^/]+", "{}").replace("[12]", "(1|2)")


def written() -> str:
    """The page's part that is the table."""
    lines = [BEGIN, "", "## Hosts", "", "| Host | `gen_ai.provider.name` | |", "|---|---|---|"]
    for host, name in sorted(PROVIDERS.items(), key=lambda row: (row[1], row[0])):
        lines.append(f"| `{host}` | `{name}` | {'states its cost' if name in STATES_COST else ''} |")
    lines += ["", "## Formats", ""]
    for name, wire_format in FORMATS.items():
        lines += [f"### `{name}`", ""]
        lines += [f"- `…{shown(path)}`" for path in wire_format.paths]
        lines += ["", "| Meter | What of the usage it is |", "|---|---|"]
        for meter, text in wire_format.meters.items():
            places = " + ".join(
                " or ".join(f"`{place.strip()}`" for place in part.split("|")) for part in text.split("+")
            )
            lines.append(f"| {meter.replace('_', ' ')} | {places} |")
        if not wire_format.meters:
            lines.append("| | nothing is stated; the cost is unknown |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_is_the_table() -> None:
    before, _, _ = PAGE.read_text().partition(BEGIN)
    assert PAGE.read_text() == before + written()


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(BEGIN)[0] + written())
