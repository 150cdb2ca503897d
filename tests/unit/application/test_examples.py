"""Examples that need no service."""

import json
import runpy
import sys
from pathlib import Path

import pytest


def test_a_log_of_exchanges_is_priced_by_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 200}}
    chat = {
        "url": "https://api.openai.com/v1/chat/completions",
        "request": {"model": "gpt-4o", "messages": []},
        "status": 200,
        "headers": {"content-type": "application/json"},
        "response": json.dumps(answer),
    }
    local = {
        **chat,
        "url": "http://127.0.0.1:11434/api/chat",
        "response": json.dumps({"model": "qwen3", "eval_count": 5}),
    }
    upload = {**chat, "url": "https://api.openai.com/v1/files"}
    log = tmp_path / "exchanges.jsonl"
    log.write_text("".join(json.dumps(exchange) + "\n" for exchange in (chat, chat, local, upload)))
    monkeypatch.setattr(sys, "argv", ["meter.py", str(log)])
    runpy.run_path(str(root / "examples/meter.py"), run_name="__main__")
    # gpt-4o: $2.50 in and $10 out per million tokens, twice 1,000 and 200
    assert capsys.readouterr().out.splitlines() == [
        "gpt-4o: 2 calls, 2400 tokens, 0.009 USD",
        "qwen3: 1 calls, 5 tokens, 0 USD, 1 of them not certain",
    ]
