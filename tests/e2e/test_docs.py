"""The commands in the documentation, carried out as they stand, page by page, against the stand-in provider.

A block ```sh is run; a block ```python file=NAME, or ```toml file=NAME, is that file. What runs until it is stopped
runs beside the rest. Commands in other blocks (```console, indented) need something of the reader's; other tests carry
out their like.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from otel_cost_exporter.demo import stand_in

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

STAYS = {
    "otel-cost serve": "http://127.0.0.1:4318/healthz",
    "otel-cost dashboard": "http://127.0.0.1:8501/_stcore/health",
}
"""What runs until it is stopped, and where it answers once it is up."""
ELSEWHERE = ("pip install ", "python3 dev.py ")
"""What other tests carry out: installing, and this checkout's own commands."""

CLEAN_UP = "trap 'status=$?; set +e; kill $(jobs -p) 2>/dev/null; wait; exit $status' EXIT"

APP = """
import openai
with openai.OpenAI() as client:
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], max_tokens=50)
"""


def script_of(page: Path, folder: Path) -> str:
    """The shell script that a page's blocks make; its files are written into `folder`."""
    lines: list[str] = []
    for kind, name, text in BLOCK.findall(page.read_text()):
        if kind in ("python", "toml") and name:
            (folder / name).write_text(text)
        elif kind == "sh":
            lines += [step for line in text.splitlines() if (step := step_of(line))]
    return "\n".join(lines)


def step_of(line: str) -> str:
    command = shlex.join(shlex.split(line, comments=True)[:2])
    if line.startswith(ELSEWHERE):
        return ""
    if command in STAYS:
        wait = f"until curl -sf {STAYS[command]} >/dev/null; do sleep 0.2; kill -0 $!; done"
        return f"{line.partition('#')[0].strip()} &\n{wait}"
    return line


def free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def output_of(shell: subprocess.Popen[str]) -> str:
    """What it prints until it ends. Where it hangs, it is ended with all it started: later pages need the ports."""
    try:
        return shell.communicate(timeout=400)[0]
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGTERM)
        try:
            said = shell.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            said = "... and not when it is asked to, either"
    pytest.fail(f"it does not end:\n{said}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_pages_commands_work_as_they_stand(page: Path, tmp_path: Path, bin_folder: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    script = script_of(page, tmp_path)
    if not script:
        assert not re.search(r"^```sh$", page.read_text(), re.MULTILINE)
        return
    if page.parent.name == "reference":
        script = f"{step_of('otel-cost serve')}\n{script}"  # a reference page takes it for granted
    assert all(free(port) for port in (4317, 4318, 8501)), "a port that the documentation uses is taken"
    with stand_in.running() as provider:
        environ = {
            **os.environ,
            **provider.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "BROWSER": "true",
        }
        shell = subprocess.Popen(
            ["bash", "-c", f"{CLEAN_UP}\nset -eux\n{script}"],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output = output_of(shell)
    if page.name == "budgets.md":  # the last command of that page is a program that its budget stops
        assert "BudgetExceededError" in output or "chapters, then: budget of run" in output
    else:
        assert shell.returncode == 0, output
    assert "Traceback" not in output, output


def test_every_page_is_in_the_index_and_every_link_leads_somewhere() -> None:
    index = (ROOT / "docs/README.md").read_text()
    for page in PAGES:
        if page.parent.name in {"how-to", "reference"}:
            assert f"({page.parent.name}/{page.name})" in index
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", BLOCK.sub("", page.read_text())):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
