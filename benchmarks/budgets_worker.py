"""One side of ``budgets.py``: calls of one process under a budget, by otel-cost or by a peer of it.

python benchmarks/budgets_worker.py JSON
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

GIVEN_UP_SECONDS = 1.0
of: dict[str, Any] = json.loads(sys.argv[1])


def asked(number: int) -> dict[str, Any]:
    words = "word " * max(1, of["inputs"][number] - 8)
    return {
        "model": "gpt-4o",
        "max_tokens": of["max_tokens"],
        "user": str(number),
        "messages": [{"role": "user", "content": words}],
    }


# --- the sides: a client, and the block that the calls are made in ---------------------------------------------------
def otel_cost(client: Any, sizing: Any) -> tuple[Any, AbstractContextManager[Any]]:
    import otel_cost

    return client, otel_cost.budget("run", of["run"], limit_usd=of["usd"], sizing=sizing)


def shekel(client: Any) -> tuple[Any, AbstractContextManager[Any]]:
    import shekel as peer
    from shekel.backends.redis import RedisBackend

    if of["redis"] is None:
        return client, peer.budget(max_usd=float(of["usd"]))
    return client, peer.budget(f"${of['usd']}/hr", name=of["run"], backend=RedisBackend(url=of["redis"]))


def agentbudget(client: Any) -> tuple[Any, AbstractContextManager[Any]]:
    import agentbudget as peer

    peer.init(float(of["usd"]), max_repeated_calls=10**9)
    return client, nullcontext()


def tokencap(client: Any) -> tuple[Any, AbstractContextManager[Any]]:
    import tokencap as peer
    from tokencap.backends.redis import RedisBackend

    if of["redis"] is not None:
        blocks = peer.Threshold(at_pct=1.0, actions=[peer.Action(kind=peer.ActionKind.BLOCK)])
        policy = peer.Policy(dimensions={"run": peer.DimensionPolicy(limit=of["tokens"], thresholds=[blocks])})
        peer.init(policy, identifiers={"run": of["run"]}, backend=RedisBackend(of["redis"]), quiet=True)
        return peer.wrap(client, quiet=True), nullcontext()
    return peer.wrap(client, limit=of["tokens"], quiet=True), nullcontext()


def spendguard(client: Any) -> tuple[Any, AbstractContextManager[Any]]:
    from spendguard import SpendGuard

    guard = SpendGuard("bench", ceiling_usd=float(of["usd"]), threshold_pct=1.0, log_events=False)
    return guard.wrap_openai(client), nullcontext()


SIDES: dict[str, Any] = {
    "otel-cost strict": partial(otel_cost, sizing="strict"),
    "otel-cost expected": partial(otel_cost, sizing="expected"),
    "shekel": shekel,
    "agentbudget": agentbudget,
    "tokencap": tokencap,
    "spendguard": spendguard,
}


# --- the calls -------------------------------------------------------------------------------------------------------
def call(client: Any, number: int) -> None:
    with suppress(Exception):  # refused, failed or given up: the provider's books say what was sent
        client.chat.completions.create(**asked(number))


def in_sequence(client: Any) -> None:
    """One call after another, as an application makes them that ends at the first refusal.

    Some peers refuse only by raising after a call that was one too many, and serve the next one all the same.
    """
    for number in of["numbers"]:
        with suppress(openai.OpenAIError):  # failed or given up
            client.chat.completions.create(**asked(number))


async def call_async(client: Any, number: int) -> None:
    with suppress(Exception):
        await client.chat.completions.create(**asked(number))


async def all_at_once(client: Any) -> None:
    await asyncio.gather(*(call_async(client, number) for number in of["numbers"]))


def main() -> None:
    if of["side"].startswith("otel-cost"):
        from otel_cost import bootstrap

        bootstrap.start()
    options: dict[str, Any] = {
        "api_key": "x",
        "base_url": of["base_url"],
        "max_retries": 0,
        "timeout": GIVEN_UP_SECONDS,
    }
    made = openai.AsyncOpenAI(**options) if of["way"] == "asyncio" else openai.OpenAI(**options)
    client, block = SIDES[of["side"]](made)
    with block:
        if of["way"] == "asyncio":
            asyncio.run(all_at_once(client))
        elif of["way"] == "sequence":
            with suppress(Exception):  # refused
                in_sequence(client)
        else:
            with ThreadPoolExecutor(len(of["numbers"])) as pool:
                for number in of["numbers"]:
                    pool.submit(copy_context().run, call, client, number)  # peers keep their budget in the context


if __name__ == "__main__":
    main()
