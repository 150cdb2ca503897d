"""Write a report, with the strongest model that the budget still has room for.

    OTEL_COST_BUDGETS=examples/profiles.toml opentelemetry-instrument python examples/choose.py

It says beforehand what the report may cost, and asks for a model before each section.
"""

from __future__ import annotations

import openai

import otel_cost

SECTIONS = 12


def main() -> None:
    """Write the sections one by one."""
    plan = otel_cost.estimate(model="gpt-4o", calls=SECTIONS, input_tokens=50, output_tokens=(100, 300))
    print(f"with gpt-4o alone about {plan.likely:.4f} {plan.currency}")
    client = openai.OpenAI()
    with otel_cost.attribute(run="report", stage="draft"):
        for section in range(1, SECTIONS + 1):
            model = otel_cost.choose_model()
            question = [{"role": "user", "content": f"Write section {section}. [stand-in output=200]"}]
            client.chat.completions.create(model=model, messages=question, max_tokens=300)
            print(f"section {section}: {model}")


if __name__ == "__main__":
    main()
