"""Fill a new replica: tables, rows in chunks, indexes and triggers, then what changed meanwhile.

The file is built beside its place and moved there when it is complete, so that nobody ever opens half a
replica. Every chunk is one transaction together with the cursor: after a kill the same call goes on.
While one chunk is written, the next one is fetched.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from syncline.errors import Malformed, SchemaChanged, StoreConstraint, StoreError
from syncline.model.schema import Schema, to_plain
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Register, Registered, Snapshot, SnapshotPage
from syncline.replica import capture
from syncline.replica.answers import REMEDY, groups_of
from syncline.replica.apply import Answer, keep_held, mend, run_steps, take_held
from syncline.replica.defining import make_table
from syncline.replica.device import Device
from syncline.replica.edge import as_here
from syncline.replica.follow import take_in
from syncline.replica.forms import NONE, Forms, check_typed, in_forms, read_forms, warn_of_loss, written_forms
from syncline.replica.made import make_all
from syncline.replica.overlay import Overlay
from syncline.replica.postponed import postpone_mismatched
from syncline.replica.progress import Progress
from syncline.replica.pull import fetch_rest
from syncline.replica.rows import write_rows
from syncline.replica.session import ask, fetch_schema
from syncline.replica.store import MEMORY, Store, checked_path
from syncline.replica.work import Work, load_held, save_held
from syncline.sqlitekit.files import write_private

SUFFIX = ".hydrating"
_ID = ".id"
_SIDES = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, by suffix."""


def building_path(file: str) -> str:
    """Where the file is built."""
    return file + SUFFIX


def refuse_existing(file: str | os.PathLike[str]) -> None:
    """StoreError if there is a file already, or can be none."""
    path = checked_path(file, SUFFIX + _ID)
    if not Path(path).exists():
        return
    if not _is_replica(path):
        raise StoreError(
            f"{file} exists already",
            code="file_exists",
            remedy="Choose another name, or make its tables take part: syncline track FILE TABLE --hub URL",
        )
    raise StoreError(
        f"{file} is a replica already",
        code="file_exists",
        remedy=f"Sync it: syncline sync {file}; or choose another name for a further one.",
    )


def _is_replica(path: str) -> bool:
    """Whether Syncline's tables are in the file. It need be no database at all."""
    with suppress(StoreError), closing(Store.open_reading(path)) as store:
        return store.is_replica
    return False


def building_id(file: str) -> str:
    """The id of the replica that is being built: the same in every attempt, for the hub knows it already.

    StoreError if it cannot be kept beside the file."""
    beside = Path(building_path(file) + _ID)
    try:
        return str(uuid.UUID(beside.read_text("ascii")))
    except (OSError, ValueError):  # there is none yet, or a kill has left half of it
        replica = str(uuid.uuid4())
    try:
        write_private(beside, replica.encode("ascii"))
    except OSError as error:
        raise StoreError(f"{beside}: {error.strerror or error}") from error
    return replica


def forget_id(file: str) -> None:
    """The replica is complete and knows its own id, or the next one is to be another."""
    Path(building_path(file) + _ID).unlink(missing_ok=True)


def discard_building(file: str) -> None:
    """Remove what an earlier attempt has left."""
    discard(building_path(file))


def discard(path: str) -> None:
    """Remove a private file, the main file last: it says that there may be others."""
    for side in reversed(_SIDES):
        Path(path + side).unlink(missing_ok=True)


def finish(store: Store, file: str) -> None:
    """Close the complete file and move it to its place."""
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.check_place()
    store.close()
    refuse_existing(file)
    os.replace(store.path, file)
    _flush_folder(Path(file).absolute().parent)


def _flush_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # not a thing that every system can open
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fill(
    store: Store,
    hub_url: str | None,
    progress: Progress,
    replica: str | None = None,
    forms: Forms = NONE,
    root: str = "",
    horizon: str = "",
) -> Flow[None]:
    """Make the private file a complete replica, going on where an earlier call was cut off.

    `replica` is the id of a new one; a uuid is made if it is None. `forms`: how it is to spell values.
    `root`: as in `messages.Register`. `horizon`: as in `messages.Pull`, of the file that it is filled for.
    """
    store.execute("PRAGMA synchronous = NORMAL")
    device = yield from begin(store, hub_url, replica or str(uuid.uuid4()), forms, root)
    if horizon:
        with store.transaction():
            store.set_state(horizon=horizon)
    if device.store.state().hydrate is not None:
        # Parents and children come in different chunks, each a transaction of its own. Nobody else can
        # see the file before all foreign keys have been checked at once, below (law L9).
        store.execute("PRAGMA foreign_keys = OFF")
        try:
            notes = yield from copy_chunks(device, write_chunk, progress)
        except SchemaChanged as error:
            raise _stale(store) from error
        _complete(device, notes)
        store.execute("PRAGMA foreign_keys = ON")
    last = yield from fetch_rest(device, None, progress)
    yield from take_in(device, Answer(last=last), progress)
    if store.row("PRAGMA foreign_key_check") is not None:
        run_steps(device, Answer(), (take_held, mend, keep_held))
    if store.state().chain is None:
        with store.transaction():
            store.set_state(chain="")


def begin(store: Store, hub_url: str | None, replica: str, forms: Forms, root: str = "") -> Flow[Device]:
    """Register and create the tables; or find that they are there. StoreError `hydrate_stale` if what
    is there was begun with another hub or schema, or in other forms."""
    if store.is_replica and store.state().schema is not None:
        state = store.state()
        answer = yield from ask(Register(state.replica, state.fingerprint, root=root), Registered)
        known = (answer.hub, answer.schema) == (state.hub, state.fingerprint)
        if not known or read_forms(state.forms).chosen != forms.chosen:
            raise _stale(store)
        return Device.load(store)
    answer = yield from ask(Register(replica, root=root), Registered)
    schema = yield from fetch_schema(replica, answer.schema)
    with store.transaction():
        store.prepare(replica)
        store.set_state(chain=None)  # it may be filled for a replica that has pushed
        note_hub(store, answer, schema, hub_url)
        check_typed(schema, forms.chosen)
        store.set_state(forms=written_forms(forms.having(schema.tables)))
        device = _laid_out(store, schema)
    if forms.chosen:  # what the hub asks for was chosen by whoever runs it, and `doctor` says it
        warn_of_loss(device.schema.tables)
    return device


def _laid_out(store: Store, schema: Schema) -> Device:
    """The tables of a schema that is noted, in the forms that are noted, and their change logs."""
    local = in_forms(schema, read_forms(store.state().forms))
    for table in local.tables:
        make_table(store, table, schema, local)
    for table in schema.tables:
        store.number(table.number, table.name)
    device = Device.load(store)
    for t in device.tables.values():
        store.execute(capture.log_ddl(t))
    return device


def blank(schema: Schema) -> Store:
    """A replica in memory as this schema makes it, without rows: what a file from a hub must be like."""
    store = Store.open_private(MEMORY)
    with store.transaction():
        store.prepare("")
        store.set_state(
            schema=json.dumps(to_plain(schema)),
            fingerprint=schema.fingerprint,
            forms=written_forms(NONE.having(schema.tables)),
        )
        _completed(_laid_out(store, schema))
    return store


def _completed(device: Device) -> None:
    """Indexes and triggers. Without foreign keys that refuse all writes, as an index could not be made."""
    make_all(device)
    postpone_mismatched(device.store, device.tables.values())
    for t in device.tables.values():
        capture.install(device.store, t)


def _stale(store: Store) -> StoreError:
    return StoreError(
        f"{store.path} was begun with another hub or schema, or in other forms",
        code="hydrate_stale",
        remedy="Try again.",
    )


def note_hub(store: Store, answer: Registered, schema: Schema, hub_url: str | None) -> None:
    """Enter what registration brought. Rows are still to come: `hydrate` has no cursor yet."""
    store.set_state(
        hub_url=hub_url or store.state().hub_url,
        hub=answer.hub,
        schema=json.dumps(to_plain(schema)),
        fingerprint=schema.fingerprint,
        limits=msgspec.json.encode(answer.limits).decode(),
        hlc=answer.hlc,
        hydrate=json.dumps(BEGINNING),
    )


# Chunks ------------------------------------------------------------------------------------------------

Notes = dict[str, Any]
"""How far a hydrate is: `cursor`, `rows` so far, `total` as estimated, `complete`, `watermark`."""

BEGINNING: Notes = {"cursor": None, "rows": 0, "total": 0, "complete": False, "watermark": None}


class Ahead:
    """One thread that writes a chunk while the next one is fetched."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "syncline-hydrate")
        self._running: Future[Notes] | None = None

    def run(self, write: Callable[[], Notes]) -> None:
        assert self._running is None, "one chunk at a time"
        self._running = self._pool.submit(write)

    def wait(self, otherwise: Notes) -> Notes:
        """The notes of the chunk that was being written, once it is; its error comes out here."""
        running, self._running = self._running, None
        return otherwise if running is None else running.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def copy_chunks(
    device: Device, write: Callable[[Device, SnapshotPage, Notes], Notes], progress: Progress
) -> Flow[Notes]:
    """Fetch every chunk from the noted cursor on and have `write` keep each with its notes, in one
    transaction a chunk."""
    state = device.store.state()
    notes: Notes = json.loads(state.hydrate or "null") or BEGINNING
    fingerprint, limit, ahead = device.hub.fingerprint, device.limits().pull_rows, Ahead()
    cursor, complete = notes["cursor"], notes["complete"]
    try:
        while not complete:
            page = yield from ask(Snapshot(state.replica, fingerprint, cursor, limit), SnapshotPage)
            notes = ahead.wait(notes)
            progress("hydrate", notes["rows"], max(notes["total"], notes["rows"]) or None)
            ahead.run(partial(write, device, page, notes))
            cursor = page.cursor
            complete = cursor is None
        notes = ahead.wait(notes)
        progress("hydrate", notes["rows"], notes["rows"])
        return notes
    finally:
        ahead.close()


def noted(page: SnapshotPage, notes: Notes, rows: int) -> Notes:
    """The notes after this chunk."""
    return {
        "cursor": page.cursor,
        "rows": notes["rows"] + rows,
        "total": notes["total"] or page.rows,
        "complete": page.cursor is None,
        "watermark": page.watermark,
    }


def write_chunk(device: Device, page: SnapshotPage, notes: Notes) -> Notes:
    """Write the rows of one chunk, which are new, and the cursor. One transaction."""
    groups = as_here(device.tables, groups_of(page.groups, page.digest, device.hub))
    if any(group.op != "U" for group in groups):
        raise Malformed("the hub's answer cannot be: a chunk of rows has some that are gone", remedy=REMEDY)
    notes = noted(page, notes, sum(len(group.rows) for group in groups))
    with device.store.transaction() as store:
        for group in groups:
            t = device.tables[group.table]
            try:
                store.executemany(t.insert(group.columns), group.rows)
            except StoreConstraint:
                # A row that moved in the key order while it was read comes twice, with a unique value.
                work = Work(device, Overlay(store))
                load_held(work)
                write_rows(work, t, group.columns, group.rows)
                save_held(work)
        store.set_state(hydrate=json.dumps(notes))
    return notes


def _complete(device: Device, notes: Notes) -> None:
    """The rows are in: indexes, triggers, and the watermark from which the pull goes on."""
    with device.store.transaction() as store:
        _completed(device)
        store.advance(notes["watermark"], store.state().hlc)
        store.set_state(hydrate=None)
