"""The command that runs the ledger service: ``otel-cost serve``."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from otel_cost import settings
from otel_cost_exporter.access.address import GRPC, HTTP, Address
from otel_cost_exporter.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost_exporter.access.tls import Tls
    from otel_cost_exporter.service import Options, Service

_LOOK_EVERY_SECONDS: Final = 0.2
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


class _AddressType(click.ParamType[Address]):
    name = "host:port"

    def convert(self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--ledger", type=_FILE, help=f"The DuckDB file. Default: {settings.LEDGER.name}.")
@click.option("--grpc", type=_AddressType(), default=str(GRPC), show_default=True, help="Where OTLP/gRPC comes.")
@click.option(
    "--http",
    type=_AddressType(),
    default=str(HTTP),
    show_default=True,
    help="Where OTLP/HTTP and questions come.",
)
@click.option("--spool", type=_FOLDER, help=f"The folder that is drained. Default: {settings.SPOOL.name}.")
@click.option("--tls-certificate", type=_FILE, help="Speak TLS on both ports, with this certificate (PEM).")
@click.option("--tls-key", type=_FILE, help="The key of that certificate (PEM).")
def serve(
    ledger: Path | None,
    spool: Path | None,
    *,
    grpc: Address,
    http: Address,
    tls_certificate: Path | None,
    tls_key: Path | None,
) -> None:
    """Run the ledger service until it is told to stop. Port 0 takes a free port.

    OTEL_COST_TOKEN, or one variable for each right, says which token is asked for.
    """
    # DuckDB and the servers take a second to import, which `otel-cost --help` need not wait for.
    from otel_cost_exporter.access.tokens import Tokens  # noqa: PLC0415
    from otel_cost_exporter.heap import give_back_large_blocks  # noqa: PLC0415
    from otel_cost_exporter.keeping.retention import Retention  # noqa: PLC0415
    from otel_cost_exporter.service import Options, Service  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    give_back_large_blocks()
    os.umask(0o077)  # nobody else can read what is made here, DuckDB's log of what is not in the file yet included
    told: list[int] = []  # and not an event: a handler that comes amid its wait could wait for its lock for ever
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.append(number))
    try:
        options = Options(
            ledger=ledger or settings.get(settings.LEDGER),
            spool=spool or settings.get(settings.SPOOL),
            grpc=grpc,
            http=http,
            tokens=Tokens.of_settings(),
            tls=_tls(tls_certificate, tls_key),
            retention=Retention.of_settings(),
        )
        with Service(options) as running:
            _say_where(running, options)
            while not told:
                time.sleep(_LOOK_EVERY_SECONDS)
    except LedgerError as error:
        raise click.ClickException(str(error)) from None
    click.echo("Stopped. Everything that was acknowledged is in the ledger.")


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--tls-certificate and --tls-key go together")
    from otel_cost_exporter.access.tls import Tls  # noqa: PLC0415 - likewise

    return Tls(certificate, key)


def _say_where(running: Service, options: Options) -> None:
    from otel_cost_exporter.answers.words import rows_of  # noqa: PLC0415 - likewise

    click.echo(f"Ledger     {running.ledger.path} ({rows_of(running.reader.calls())})")
    click.echo(f"OTLP/gRPC  {running.grpc}")
    click.echo(f"OTLP/HTTP  {running.url}/v1/traces")
    click.echo(f"Questions  {running.url}/v1/summary")
    click.echo(f"Spool      {options.spool}")
    for address in (running.grpc, running.http):
        if not address.is_loopback:
            for line in _warnings(address, options):
                click.echo(f"WARNING: {line}", err=True)


def _warnings(address: Address, options: Options) -> Iterator[str]:
    """What to say of an address that can be reached from other machines."""
    if rights := options.tokens.everybody_may:
        yield (
            f"{address} can be reached from other machines, and whoever reaches it can {', '.join(rights)} without a "
            f"token. Set {settings.TOKEN.name}, or listen on 127.0.0.1"
        )
    elif options.tls is None:
        yield (
            f"{address} can be reached from other machines, and tokens and calls come there in the clear. Give it a "
            "certificate (--tls-certificate, --tls-key), or put something in front that has one"
        )
