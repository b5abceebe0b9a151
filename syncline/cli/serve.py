"""`syncline serve`: the hub over HTTP."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, json_option
from syncline.errors import TransportError, UsageError

if TYPE_CHECKING:
    from syncline import Hub
    from syncline.cli.configuration import HubSection
    from syncline.server import Snapshots

GRACE_SECONDS = 10
Announce = Callable[[str], None]


@click.command()
@configuration_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free.")
@json_option
def serve(toml: Path, host: str, port: int, as_json: bool) -> int:
    """Answer devices over HTTP until Ctrl-C or SIGTERM; requests under way are finished first.

    JSON, one line once it listens: url, process, tables.
    """
    from syncline.cli import configuration

    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise UsageError("the server is not installed", remedy="pip install 'syncline[server]'")
    settings = configuration.read(toml)
    hub = syncline.Hub(settings.hub.database, tables=settings.rules())
    try:
        tables = [table.name for table in hub.schema.tables]
        listening = _listen(host, port)
        if not _is_loopback(host):
            output.message(
                f"warning: without tokens everybody who reaches {host} can read and write all rows"
            )
        snapshots = _snapshots(hub, settings.hub)
        _answer(hub, snapshots, listening, lambda url: _announce(url, tables, as_json))
    finally:
        hub.close()
    return output.DONE


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


def _answer(hub: Hub, snapshots: Snapshots | None, listening: socket.socket, announce: Announce) -> None:
    """Serve until a signal; every request that was begun is answered, for up to `GRACE_SECONDS`."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                announce(_url(listening))

    # uvicorn raises the signal that ended it once more when it is done; that must not kill us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    options = uvicorn.Config(
        syncline.server.create_app(hub, snapshots=snapshots),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(options).run(sockets=[listening])


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
