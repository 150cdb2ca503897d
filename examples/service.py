"""A FastAPI service whose requests bring their own budgets. Nothing here knows of one but the handler of its error.

    opentelemetry-instrument python examples/service.py
    curl -H 'baggage: otel_cost.run=r1,otel_cost.budget.run=0.01' 'http://127.0.0.1:8000/answer?questions=50'

Needs `pip install otel-cost openai 'fastapi>=0.165' uvicorn` and OPENAI_API_KEY.
"""

from __future__ import annotations

import sys

import openai
import uvicorn
from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import JSONResponse

import otel_cost

app = FastAPI()
client = openai.AsyncOpenAI()


@app.get("/answer")
async def answer(questions: int) -> dict[str, int]:
    """Ask the model some questions, one after the other."""
    for number in range(questions):
        await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": f"Tell me fact {number}."}], max_tokens=100
        )
    return {"answered": questions}


@app.exception_handler(otel_cost.BudgetExceededError)
async def out_of_money(_: Request, error: otel_cost.BudgetExceededError) -> JSONResponse:
    """402 Payment Required, and which budget it was."""
    return JSONResponse({"detail": str(error), "budget": f"{error.scope} {error.id}"}, status_code=402)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000, log_level="warning")
