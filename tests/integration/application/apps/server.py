"""A FastAPI application that calls a model, as its author would write it: of otel-cost it knows only the error."""

import asyncio
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import uvicorn
from fastapi import FastAPI, Request

import otel_cost

app = FastAPI()
MESSAGES: Any = [{"role": "user", "content": "[stand-in input=10,output=100]"}]


async def ask() -> dict[str, Any]:
    try:
        async with openai.AsyncOpenAI() as client:
            await client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=MESSAGES)
    except otel_cost.BudgetExceededError as error:
        return {"refused": [error.scope, error.id, str(error.limit), str(error.spent), str(error.call)]}
    return {"refused": None}


def ask_here() -> dict[str, Any]:
    return asyncio.run(ask())


@app.get("/await")
async def in_turn(calls: int) -> list[Any]:
    return [await ask() for _ in range(calls)]


@app.get("/gather")
async def at_once(calls: int) -> list[Any]:
    return list(await asyncio.gather(*(ask() for _ in range(calls))))


@app.get("/sync")
def sync(calls: int) -> list[Any]:
    return [ask_here() for _ in range(calls)]


@app.get("/threads")
def threads(calls: int) -> list[Any]:
    answers: list[Any] = []
    started = [threading.Thread(target=lambda: answers.append(ask_here())) for _ in range(calls)]
    for thread in started:
        thread.start()
        thread.join()
    return answers


@app.get("/pool")
def pool(calls: int) -> list[Any]:
    with ThreadPoolExecutor(2) as workers:
        return list(workers.map(lambda _: ask_here(), range(calls)))


@app.get("/outgoing")
async def outgoing(calls: int, request: Request) -> list[Any]:
    answers = []
    async with httpx2.AsyncClient(base_url=str(request.base_url)) as client:
        for _ in range(calls):
            answers += (await client.get("/await", params={"calls": 1})).json()
    return answers


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], os.getpid(), flush=True)  # noqa: T201 - the test reads it
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
