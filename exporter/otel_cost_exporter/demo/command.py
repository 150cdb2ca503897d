"""The ``demo`` command."""

from __future__ import annotations

from importlib.util import find_spec

import click


@click.command()
@click.option("--once", is_flag=True, help="Print what was spent and end, instead of opening the explorer.")
@click.option("--live", is_flag=True, help="Call the real vendors with your own keys. This spends real money.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="The explorer's. 0 takes a free one."
)
def demo(*, once: bool, live: bool, port: int) -> None:
    """See it work: a sample agent, what it spent, and who spent it.

    Starts the ledger service and a stand-in LLM provider on loopback, runs a sample agent under
    opentelemetry-instrument, prints what was spent by whom, and opens the cost explorer. No vendor is called and
    nothing is charged, unless --live says so.
    """
    if missing := [name for name in ("openai", "anthropic", "duckdb", "streamlit") if find_spec(name) is None]:
        raise click.ClickException(f"the demo needs {', '.join(missing)}: pip install 'otel-cost[demo]'")
    # Here, because it needs what the extra brings.
    from otel_cost_exporter.demo.flow import run  # noqa: PLC0415

    run(once=once, live=live, port=port)
