"""`connect` and `clone`: where a replica and a transport meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from syncline.errors import StoreError, UsageError
from syncline.protocol.flows import Transport, run
from syncline.replica import hydrate
from syncline.replica.progress import Progress, silent
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport

if TYPE_CHECKING:
    from syncline.hub.engine import Hub


def connect(file: str | os.PathLike[str], hub: str | Hub | None = None, token: str | None = None) -> Replica:
    """Open a device file.

    `hub` is the URL of the hub, or a `Hub` in the same process; None means the URL that the file was
    cloned from. `token` says who you are. Nothing is sent before the first verb that needs the hub.
    Raises StoreError if the file is not there, cannot be used, or is no replica; a file that is no replica
    yet can be opened when `hub` is given, to `track` its tables.
    """
    path = os.fspath(file)
    store = Store.open_file(path)
    try:
        if store.is_replica or hub is None:
            store.check()
        url = hub if isinstance(hub, str) else None
        return Replica(store, lambda: open_transport(hub, store, token), url)
    except BaseException:
        store.close()
        raise


def clone(
    hub: str | Hub, file: str | os.PathLike[str], token: str | None = None, progress: Progress | None = None
) -> Replica:
    """Create FILE with the hub's tables, rows and triggers, and open it.

    Raises StoreError if the file exists. If it is interrupted, the same call goes on where it stopped.
    `progress(stage, done, total)` is called as rows arrive.
    """
    path = os.fspath(file)
    hydrate.refuse_existing(path)
    transport = _transport(hub, token)
    try:
        url = hub if isinstance(hub, str) else None
        for _ in range(2):
            try:
                _fill(path, url, transport, progress or silent)
                break
            except StoreError as error:
                if error.code not in ("hydrate_stale", "store_layout", "store_damaged"):
                    raise
                hydrate.discard_building(path)
    finally:
        transport.close()
    return connect(path, hub, token)


def _fill(path: str, url: str | None, transport: Transport, progress: Progress) -> None:
    store = Store.open_private(hydrate.building_path(path))
    try:
        run(hydrate.fill(store, url, progress), transport)
        hydrate.finish(store, path)
    finally:
        store.close()


def open_transport(hub: str | Hub | None, store: Store, token: str | None) -> Transport:
    """The transport of an open file: to the hub given, or to the one the file remembers."""
    if hub is None:
        hub = store.state().hub_url
    if hub is None:
        raise UsageError(
            f"{store.path} remembers no hub",
            code="no_hub",
            remedy="Say where it is: --hub URL, or connect(file, hub=...).",
        )
    return _transport(hub, token)


def _transport(hub: str | Hub, token: str | None) -> Transport:
    if not isinstance(hub, str):
        return LocalTransport(hub)
    from syncline.transports.http import HttpTransport

    return HttpTransport(hub, token)
