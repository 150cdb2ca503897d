"""What the exchanges in a gateway's log cost, by model.

    python examples/meter.py exchanges.jsonl

Each line of the log is an exchange with a provider, as any gateway can write it down:
{"url": "https://api.openai.com/v1/responses", "request": {...}, "status": 200, "headers": {...}, "response": "..."}
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import otel_cost


def main(log: Path) -> None:
    """Print a line a model: how many calls, how many tokens, what they cost, and what of it is not certain."""
    calls: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    dollars: dict[str, Decimal] = {}
    for line in log.read_text().splitlines():
        exchange = json.loads(line)
        call = otel_cost.meter(
            url=exchange["url"],
            request_body=json.dumps(exchange["request"]).encode(),
            status=exchange["status"],
            response_headers=exchange["headers"],
            response_body=exchange["response"].encode(),
        )
        if call is None:  # an upload, a list of models: nothing that was charged by what it used
            continue
        model = call.response_model or call.request_model or "?"
        calls[model] += 1
        tokens[model] += call.usage.total_tokens if call.usage is not None else 0
        dollars[model] = dollars.get(model, Decimal(0)) + (call.cost.amount or 0)
        unsure[model] += call.cost.status != "known"
    for model, count in calls.most_common():
        doubt = f", {unsure[model]} of them not certain" if unsure[model] else ""
        print(f"{model}: {count} calls, {tokens[model]} tokens, {dollars[model].normalize():f} USD{doubt}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
