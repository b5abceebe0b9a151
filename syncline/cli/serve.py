"""`syncline serve`: the hub over HTTP."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, json_option
from syncline.cli.workers import Workers, end_with_parent
from syncline.errors import SynclineError, TransportError, UsageError

if TYPE_CHECKING:
    from syncline import Hub
    from syncline.cli.configuration import Configuration, HubSection
    from syncline.server import Snapshots

SPARE_CONNECTIONS = 2
"""For what is not a device's request: probes, the building of files, pruning."""

NOT_RENEWED = "SIGHUP: the server goes on as it was started: %s"


@click.command()
@configuration_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--open", "is_open", is_flag=True, help="Let everybody in who reaches the address.")
@click.option("--fd", type=int, hidden=True)
@json_option
def serve(
    toml: Path, host: str, port: int, workers: int, is_open: bool, fd: int | None, as_json: bool
) -> int:
    """Answer devices over HTTP until Ctrl-C or SIGTERM; requests under way are finished first.

    Any number of servers may work on one central database, on this host (--workers) and on others. SIGHUP
    reads the configuration anew and renews the workers one by one, without refusing a request; one alone
    may cut some off, which devices send again. The rules of merging that init was given need no SIGHUP.

    This server asks nobody for a name, so it starts on a loopback address only. With --open it listens
    anywhere: whoever reaches it can read and write all rows. A server that knows its users is made with
    syncline.server.create_app(hub, authenticate=...).

    JSON, one line once it listens: url, process, tables.
    """
    from syncline.cli import configuration

    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise UsageError("the server is not installed", remedy="pip install 'syncline[server]'")
    from syncline.server import runner

    settings = configuration.read(toml)
    if fd is not None:
        listening = socket.socket(fileno=fd)
        refuse_strangers(listening, is_open=is_open)
        end_with_parent()
        signal.signal(
            signal.SIGHUP, signal.SIG_IGN
        )  # it is for the parent; a terminal that closes sends it to all
        _serve(settings, listening, lambda url, tables: _announce(url, tables, True))
        return output.DONE
    with _listen(host, port) as listening:
        if refuse_strangers(listening, is_open=is_open):
            output.warning(f"everybody who reaches {host} can read and write all rows (--open)")
        if workers == 1:
            _serve_anew(toml, settings, listening, as_json=as_json)
        else:
            with open_hub(settings) as hub:
                hub.check()
                tables = [table.name for table in hub.schema.tables]
            command = [sys.executable, "-m", "syncline", "serve", str(toml), *["--open"][: int(is_open)]]
            Workers(command, listening, workers).run(
                lambda said: _announce(runner.url_of(listening), tables, as_json)
            )
    return output.DONE


def hub_of(toml: Path) -> Hub:
    """The hub that a syncline.toml describes."""
    from syncline.cli import configuration

    return open_hub(configuration.read(toml))


def open_hub(settings: Configuration) -> Hub:
    """The hub of these settings."""
    return syncline.Hub(
        settings.hub.database,
        tables=settings.rules(),
        limits=settings.told(),
        forms=settings.forms,
        quotas=settings.limits.quotas(),
        tuning=settings.hub.tuning(),
        retention=settings.retention.rules(),
    )


def _serve_anew(toml: Path, settings: Configuration, listening: socket.socket, *, as_json: bool) -> None:
    """Be one server, in this process; after SIGHUP the next one, of the configuration as it is then."""
    from syncline.cli import configuration

    def can_start() -> bool:
        try:
            with open_hub(configuration.read(toml)) as hub:
                hub.check()
        except SynclineError as error:
            output.warning(NOT_RENEWED % error)
            return False
        return True

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    former = settings
    while True:
        try:
            if not _serve(
                settings, listening, lambda url, tables: _announce(url, tables, as_json), can_start
            ):
                return
            former, settings = settings, configuration.read(toml)
        except SynclineError as error:
            if settings is former:
                raise
            output.warning(NOT_RENEWED % error)
            settings = former


def _serve(
    settings: Configuration,
    listening: socket.socket,
    announce: Callable[[str, list[str]], None],
    may_renew: Callable[[], bool] | None = None,
) -> bool:
    """Be one server; whether it ended to be renewed."""
    from syncline.server import runner
    from syncline.server.housekeeping import Housekeeping

    with open_hub(settings) as hub:
        hub.check()
        tables = [table.name for table in hub.schema.tables]
        threads = max(1, settings.hub.pool - SPARE_CONNECTIONS)
        app = syncline.server.create_app(hub, threads=threads, snapshots=_snapshots(hub, settings.hub))
        with Housekeeping(hub):
            return runner.serve(app, listening, lambda url: announce(url, tables), may_renew)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise TransportError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            code="address_unavailable",
            remedy="Choose another --host or --port; --port 0 takes any free one.",
        ) from error
    return listening


def refuse_strangers(listening: socket.socket, *, is_open: bool) -> bool:
    """Whether others than this machine reach a bound socket. UsageError `open_to_strangers` if they do and
    nobody has said that they may.

    What counts is the address that the socket is bound to: a name may stand for any, and 0.0.0.0 and :: for
    all of them. One that has no address, such as a socket in the file system, counts as reached.
    """
    if _is_loopback(listening):
        return False
    if not is_open:
        raise UsageError(
            f"{_address(listening)} can be reached from elsewhere, and this server asks nobody for a name",
            code="open_to_strangers",
            remedy="Listen on 127.0.0.1 behind a proxy that checks, make your own server with"
            " create_app(hub, authenticate=...), or let everybody in: --open.",
        )
    return True


def _address(listening: socket.socket) -> str:
    name = listening.getsockname()
    return str(name[0] if isinstance(name, tuple) else name)


def _is_loopback(listening: socket.socket) -> bool:
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    address = ipaddress.ip_address(_address(listening).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _announce(url: str, tables: list[str], as_json: bool) -> None:
    if as_json:
        output.document_line({"url": url, "process": os.getpid(), "tables": tables})
    else:
        output.line(f"listening on {url} ({output.counted(len(tables), 'table')}; Ctrl-C ends)")


def _snapshots(hub: Hub, settings: HubSection) -> Snapshots | None:
    """The files to hydrate from, if there is a folder for them."""
    if not settings.snapshots:
        return None
    folder, size, age = settings.snapshots, settings.snapshot_size, settings.snapshot_age
    return syncline.server.Snapshots(hub, folder, size=size, age=age)
