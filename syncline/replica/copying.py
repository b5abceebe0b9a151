"""A replica that was made to be copied: filled once by the hub, and every device makes a copy its own.

The hub fills a file as any device would (`hydrate.fill`) under an id that nobody pushes with. A device
that has got such a file takes an id of its own and lets the hub turn the watermark into one of that id.
"""

from __future__ import annotations

import json
import uuid
from contextlib import closing

import msgspec

from syncline.errors import Malformed, StoreError
from syncline.model.schema import Schema, to_plain
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Register, Registered
from syncline.replica.forms import NONE, written_forms
from syncline.replica.hydrate import blank
from syncline.replica.session import ask
from syncline.replica.store import Store, quote
from syncline.replica.store.looking import Connection, Unreadable, only_looked_at

_PREFIX = "snapshot-"


def id_for_copying() -> str:
    """The id of a file that devices will copy. Never used twice, so that no change has it as origin."""
    return f"{_PREFIX}{uuid.uuid4()}"


def is_for_copying(store: Store) -> bool:
    """Whether the file is a whole replica that no device has made its own yet."""
    if not store.is_replica:
        return False
    state = store.state()
    return state.replica.startswith(_PREFIX) and state.hydrate is None and state.schema is not None


def strip(store: Store) -> None:
    """Leave in a filled file only what every device needs."""
    with store.transaction():
        store.execute("DELETE FROM _sync_checkpoint WHERE id <> ?", (store.state().checkpoint,))
        store.set_state(hub_url=None, last_sync=None)


def check_copy(path: str, schema: Schema, hub: str) -> None:
    """Malformed unless the file is a replica for copying exactly as this schema makes one, object by object.

    It came from a network and nobody has opened it yet: nothing in it is run, and but for its rows nothing
    is read that is not compared. A damaged file is Malformed, too.
    """
    with closing(blank(schema)) as like, closing(only_looked_at(path)) as file:
        try:
            _check_objects(file, like)
            _check_state(file, schema, hub)
            _check_own_tables(file, like)
        except Unreadable as error:
            raise Malformed(f"the hub's file cannot be read: {error}") from error


_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?"


def _check_objects(file: Connection, like: Store) -> None:
    expected = set(like.rows(_OBJECTS, (-1,)))
    found = file.execute(_OBJECTS, (len(expected) + 1,)).fetchall()
    if set(found) != expected:
        odd = next(iter(set(found) ^ expected))
        raise Malformed(f"the hub's file is not what its schema makes: {odd[0]} {odd[1][:80]!r} differs")


def _check_state(file: Connection, schema: Schema, hub: str) -> None:
    cursor = file.execute("SELECT * FROM _sync_state LIMIT 2")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    if len(rows) != 1:
        raise Malformed("the hub's file has not one state")
    (state,) = rows
    noted = str(state["replica"]).startswith(_PREFIX) and (state["hub"], state["fingerprint"]) == (
        hub,
        schema.fingerprint,
    )
    unset = ("hub_url", "names", "retired", "hydrate", "recovery", "last_sync", "local_rows", "chunk_bytes")
    free = all(state[name] is None for name in unset) and state["former"] == "[]"
    free = free and state["forms"] == written_forms(NONE.having(schema.tables))
    free = free and not any(state[name] for name in ("suppressed", "chosen", "carried", "rejected"))
    if not noted or not free or json.loads(state["schema"]) != json.loads(json.dumps(to_plain(schema))):
        raise Malformed("the hub's file has another state than one for copying")


def _check_own_tables(file: Connection, like: Store) -> None:
    """Syncline's own tables hold what every device needs, and nothing else."""
    names = like.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_sync_*'")
    for (name,) in names:
        if name in ("_sync_table", "_sync_index", "_sync_reference"):
            rows = f"SELECT * FROM {quote(name)} LIMIT ?"
            expected = set(like.rows(rows, (-1,)))
            if set(file.execute(rows, (len(expected) + 1,)).fetchall()) != expected:
                raise Malformed(f"the hub's file has other rows in {name} than its schema makes")
        elif name not in ("_sync_state", "_sync_checkpoint"):
            if file.execute(f"SELECT 1 FROM {quote(name)} LIMIT 1").fetchone() is not None:
                raise Malformed(f"the hub's file has rows in {name}")


def adopt(store: Store, hub_url: str | None, replica: str) -> Flow[None]:
    """Make a file for copying this device's own replica, with this id; any other file is left alone.

    StoreError `hydrate_stale` if it is of another hub or schema; WatermarkRefused if it is too old.
    """
    if not is_for_copying(store):
        return
    state = store.state()
    request = Register(replica, state.fingerprint, previous=state.replica, watermark=state.watermark)
    answer = yield from ask(request, Registered)
    if (answer.hub, answer.schema) != (state.hub, state.fingerprint):
        raise StoreError(
            f"{store.path} was built by another hub or with another schema",
            code="hydrate_stale",
            remedy="Try again.",
        )
    with store.transaction():
        store.set_state(
            replica=replica,
            push=answer.push,
            hub_url=hub_url,
            limits=msgspec.json.encode(answer.limits).decode(),
        )
        store.advance(answer.watermark, answer.hlc)
        store.execute("DELETE FROM _sync_checkpoint WHERE id <> ?", (store.state().checkpoint,))
