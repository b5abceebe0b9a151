"""`connect` and `clone`: where a replica and a transport meet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from syncline.errors import SynclineError, TransportError, UsageError, WatermarkRefused
from syncline.model.forms import chosen
from syncline.model.local import LocalRows
from syncline.protocol.flows import Transport, run
from syncline.protocol.messages import Register, Registered
from syncline.replica.copying import adopt, check_copy
from syncline.replica.forms import NONE, Forms
from syncline.replica.hydrate import (
    building_id,
    building_path,
    discard_building,
    fill,
    finish,
    forget_id,
    refuse_existing,
)
from syncline.replica.local import choose
from syncline.replica.lock import WAIT_SECONDS, checked_wait, one_at_a_time, tidy
from syncline.replica.progress import Progress, silent
from syncline.replica.replica import Replica
from syncline.replica.session import fetch_schema
from syncline.replica.sound import looked_after
from syncline.replica.store import Store
from syncline.transports.download import Download, FileSource
from syncline.transports.local import LocalTransport

if TYPE_CHECKING:
    from syncline.hub.engine import Hub

_BEGIN_ANEW = ("hydrate_stale", "store_layout", "store_damaged", "replica_of_another")
"""What is wrong with a file that an earlier attempt has left or the hub has built, by code."""

CLONE_AGAIN = (
    "Check the URL, and run the same clone again when there is a network; it goes on where it stopped."
)
"""The remedy where the hub is not reached. That of a sync would not do: there is no file yet."""


def connect(
    file: str | os.PathLike[str],
    hub: str | Hub | None = None,
    token: str | None = None,
    *,
    wait: float = WAIT_SECONDS,
    insecure: bool = False,
    local_rows: LocalRows | None = None,
) -> Replica:
    """Open a device file.

    `hub` is the URL of the hub, or a `Hub` in the same process; None means the URL that the file was
    cloned from. `token` says who you are; a `Hub` in the same process is asked as `ANYONE`. Over plain
    http it is sent to this machine alone, unless `insecure` says that others may read it. Nothing is sent
    before the first verb that needs the hub. One verb with the hub at a time works on a file: `wait` is how
    many seconds another one waits for it, before it is StoreBusy `store_busy`, which says who is at work.
    `local_rows` says from now on what becomes of rows of the application's own tables that refer to one that
    the centre deleted: refuse, cascade or null; None: as before, at first as the hub says.
    Raises StoreError if the file is not there, cannot be used, or is no replica; a file that is no replica
    yet can be opened when `hub` is given, to `track` its tables.
    """
    store = Store.open_file(file)
    try:
        if store.is_replica or hub is None:
            store.check()
            with looked_after(store):
                choose(store, local_rows)
        url = hub if isinstance(hub, str) else None
        return Replica(store, lambda: open_transport(hub, store, token, insecure=insecure), url, wait)
    except BaseException:
        store.close()
        raise


def clone(
    hub: str | Hub,
    file: str | os.PathLike[str],
    token: str | None = None,
    progress: Progress | None = None,
    *,
    forms: Mapping[str, str] | str | None = None,
    wait: float = WAIT_SECONDS,
    insecure: bool = False,
) -> Replica:
    """Create FILE with the hub's tables, rows and triggers, and open it.

    Large data come as a ready file if the hub offers it, otherwise as rows. Raises StoreError if the file
    exists. If it is interrupted, or the hub cannot be reached, the same call goes on where it stopped.
    `forms` says how the file spells values, for an ORM that compares text: a form by kind of value, such as
    `{"timestamps": "space", "uuids": "hex"}`, or the name of a preset, `"django"` or `"sqlalchemy"`; without
    it they are as the hub says. Such a file is filled by rows. ConfigurationError `form_unknown`.
    `progress(stage, done, total)` is called as rows arrive. `wait` and `insecure` as for `connect`: another
    clone may be making the same file.
    """
    checked_wait(wait)
    wanted = Forms(chosen(forms))
    refuse_existing(file)
    transport = _transport(hub, token, insecure=insecure)
    try:
        with one_at_a_time(os.fspath(file), "clone", wait):
            clone_over(transport, file, hub if isinstance(hub, str) else None, progress or silent, wanted)
    except TransportError as error:
        if error.remedy == TransportError.remedy:  # of a sync, and there is no file yet
            error.remedy = CLONE_AGAIN
        raise
    finally:
        transport.close()
        tidy(os.fspath(file))
    return connect(file, hub, token, wait=wait, insecure=insecure)


def clone_over(
    transport: Transport,
    file: str | os.PathLike[str],
    hub_url: str | None = None,
    progress: Progress = silent,
    forms: Forms = NONE,
) -> None:
    """`clone` over an open transport; leaves the file closed. What cannot be gone on with is begun anew."""
    refuse_existing(file)
    path = os.fspath(file)
    download = Download(building_path(path), progress)
    try:
        if not forms.chosen:  # the hub's file is as the hub says
            _fetch(path, transport, download)
        _fill(path, hub_url, transport, progress, forms)
    except SynclineError as error:
        if error.code not in _BEGIN_ANEW and not isinstance(error, WatermarkRefused):
            raise
        discard_building(path)
        if error.code == "replica_of_another":  # somebody else has begun here
            forget_id(path)
        _fill(path, hub_url, transport, progress, forms)
    download.forget()
    forget_id(path)


def _fetch(path: str, transport: Transport, download: Download) -> None:
    """The hub's ready file, if there is one and nothing is there yet. Only a replica that the hub knows gets
    it, so it registers first."""
    if not isinstance(transport, FileSource) or Path(building_path(path)).exists():
        return
    replica = building_id(path)
    answer = transport.send(Register(replica))
    assert isinstance(answer, Registered), "a transport answers as the route says"

    def check(unpacked: str) -> None:
        check_copy(unpacked, run(fetch_schema(replica, answer.schema), transport), answer.hub)

    download.fetch(transport, replica, answer.schema, check)


def _fill(path: str, url: str | None, transport: Transport, progress: Progress, forms: Forms) -> None:
    """Go on with what is there: nothing, rows of an earlier call, or the hub's file."""
    store = Store.open_private(building_path(path))
    try:
        if store.is_replica:
            store.check()
        with looked_after(store):
            run(adopt(store, url, building_id(path)), transport)
            run(fill(store, url, progress, building_id(path), forms), transport)
            finish(store, path)
    finally:
        store.close()


def open_transport(
    hub: str | Hub | None, store: Store, token: str | None, *, insecure: bool = False
) -> Transport:
    """The transport of an open file: to the hub given, or to the one the file remembers."""
    if hub is None:
        hub = store.state().hub_url
    if hub is None:
        raise UsageError(
            f"{store.path} remembers no hub",
            code="no_hub",
            remedy="Say where it is: --hub URL, or connect(file, hub=...).",
        )
    return _transport(hub, token, insecure=insecure)


def _transport(hub: str | Hub, token: str | None, *, insecure: bool) -> Transport:
    if not isinstance(hub, str):
        return LocalTransport(hub)
    from syncline.transports.http import HttpTransport

    return HttpTransport(hub, token, insecure=insecure)
