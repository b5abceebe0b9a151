"""The indexes that Syncline makes, noted with the columns that they have by number.

An application may have indexes of its own; only those that stand in `_sync_index` are ever dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count

from syncline.errors import StoreConstraint
from syncline.model.schema import Schema, TableSchema
from syncline.replica.ddl import Index, indexes
from syncline.replica.defining import make_index
from syncline.replica.device import Device
from syncline.replica.postponed import needing
from syncline.replica.store import Store, quote
from syncline.sqlitekit.definition import is_same_index


def make_all(device: Device) -> None:
    """Make every index of a file that was filled. Inside a transaction."""
    for index in indexes(device.hub, device.schema):
        if not index.inline:
            make(device.store, index)


def drop_unwanted(store: Store, present: Schema) -> None:
    """Drop those of Syncline's own that the hub's schema has no more. One that a foreign key of the file
    needs stays until none does. Inside a transaction, when foreign keys are gone that the hub has no more.
    What was made for a table that takes part no longer stays as it is, and noted: see `take_over`."""
    for n, what, name in unwanted(store, present):
        if not any(needing(store, name)):
            store.execute(f"DROP INDEX IF EXISTS {quote(name)}")
            store.execute("DELETE FROM _sync_index WHERE n = ? AND what = ?", (n, what))


def unwanted(store: Store, present: Schema) -> list[tuple[int, str, str]]:
    """The number of the table, what it is, and the name of each of Syncline's own that this schema of the hub
    does not have, of tables that it has."""
    wanted = {(index.table, index.what) for index in indexes(present, present)}
    noted = store.rows("SELECT n, what, name FROM _sync_index")
    return [(n, what, name) for n, what, name in noted if n in present.by_number and (n, what) not in wanted]


def take_over(
    store: Store, former: TableSchema, called: TableSchema, hub: Schema, local: Schema, n: int
) -> None:
    """The indexes that Syncline made for a table when it had another number: those that it is to have still
    are noted under the one that it has now, the others are dropped. `former` is the table of then, and as it
    is `called` now. Inside a transaction. What the application made anew under such a name is its own."""
    known = {index.what: index for index in indexes(Schema((former,)), Schema((called,)))}
    wanted = [index for index in indexes(hub, local) if index.table == n]
    for what, name in store.rows("SELECT what, name FROM _sync_index WHERE n = ?", (former.number,)):
        still = next((index for index in wanted if _is_there(store, index, name)), None)
        if still is not None:
            _note(store, still, name)
        elif what in known and _is_there(store, known[what], name) and not any(needing(store, name)):
            store.execute(f"DROP INDEX {quote(name)}")
    store.execute("DELETE FROM _sync_index WHERE n = ?", (former.number,))


def make_new(device: Device, before: Schema, fresh: Collection[int]) -> None:
    """Make those that the hub's schema did not have before, and all of the `fresh` tables. Inside a
    transaction.

    One that a table which takes part again still has is Syncline's once more.
    A unique one that pending edits stand in the way of is left out: `missing` has it then.
    """
    former = {(index.table, index.what) for index in indexes(before, before) if index.table not in fresh}
    retired = {table.name for table in device.retired.tables.values()}
    noted = {(n, what): name for n, what, name in device.store.rows("SELECT n, what, name FROM _sync_index")}
    for index in indexes(device.hub, device.schema):
        known = noted.get((index.table, index.what))
        if index.table not in device.tables or (index.table, index.what) in former:
            continue
        if known is not None and _is_there(device.store, index, known):
            continue
        if index.on in retired and _is_there(device.store, index, index.name):
            _note(device.store, index, index.name)
        elif not (index.inline and index.columns in device.uniques(device.tables[index.table])):
            make(device.store, index)


def make_lost(device: Device, tables: Collection[int]) -> None:
    """Make those again that went with tables which a program made anew, where rows allow it. Inside a
    transaction. Tables that the application had made before are its own."""
    store = device.store
    if store.state().chosen:
        return
    for n, what, name in store.rows("SELECT n, what, name FROM _sync_index"):
        if n in tables and store.row("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)) is None:
            store.execute("DELETE FROM _sync_index WHERE n = ? AND what = ?", (n, what))
    known = set(store.rows("SELECT n, what FROM _sync_index"))
    for index in indexes(device.hub, device.schema):
        t = device.tables.get(index.table)
        if t is None or t.n not in tables or (t.n, index.what) in known:
            continue
        if not (index.unique and index.columns in device.uniques(t)):
            make(store, index)


def missing(device: Device) -> list[Index]:
    """The unique indexes of the hub's schema that the file has not, of tables that Syncline made."""
    if device.store.state().chosen:
        return []
    known = set(device.store.rows("SELECT n, what FROM _sync_index"))
    found = []
    for index in indexes(device.hub, device.schema):
        t = device.tables.get(index.table)
        if t is not None and index.unique and (index.table, index.what) not in known:
            if index.columns not in device.uniques(t):
                found.append(index)
    return found


def make(store: Store, index: Index) -> bool:
    """Make one; False if rows stand in its way. Inside a transaction."""
    name = _free(store, index.name)
    try:
        make_index(store, index, name)
    except StoreConstraint:
        return False
    _note(store, index, name)
    return True


def _note(store: Store, index: Index, name: str) -> None:
    store.execute(
        "INSERT OR REPLACE INTO _sync_index (n, what, name) VALUES (?, ?, ?)", (index.table, index.what, name)
    )


def _is_there(store: Store, index: Index, name: str) -> bool:
    found = store.row("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,))
    return found is not None and found[0] == index.on and is_same_index(found[1], index.sql(name))


def _free(store: Store, name: str) -> str:
    """Names of indexes and of tables must differ in more than case."""
    found = name
    for number in count(2):
        if store.row("SELECT 1 FROM sqlite_master WHERE lower(name) = lower(?)", (found,)) is None:
            break
        found = f"{name}_{number}"
    return found
