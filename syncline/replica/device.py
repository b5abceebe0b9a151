"""The open device file with its tables: what every verb of the replica works on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import msgspec

from syncline.errors import StoreBusy, StoreError
from syncline.model.schema import Schema, TableSchema, from_plain
from syncline.protocol.messages import Limits
from syncline.replica.edges import Edge, read_edges
from syncline.replica.forms import Forms, as_declared, in_forms, read_forms
from syncline.replica.names import Retired, localized, read_names, read_retired
from syncline.replica.statements import Statements
from syncline.replica.store import State, Store, legible
from syncline.sqlitekit.undecoded import sayable


@dataclass(slots=True)
class Device:
    """`tables` has the tracked tables by number, parents first: those of the hub's schema that this file does
    not track are left out, and so are those `aside`, which cannot go on as they are (`replica.lost`). `hub`
    is the hub's schema, `schema` the same with the names and forms of this file.
    """

    store: Store
    hub: Schema
    schema: Schema
    tables: dict[int, Statements]
    retired: Retired
    forms: Forms
    version: tuple[object, ...]
    """What the file must still have noted for this to be true of it."""
    schema_version: int
    """SQLite's count of changes to the file's schema when the triggers were last found in order."""
    lacking: int = field(default=0, init=False)
    """The number of the push in flight, if the hub has just said that it has not got it."""
    told: tuple[int, str, bytes] | None = field(default=None, init=False)
    """Number and digest of the push that was sent last, and the stamps that it told."""
    is_joining: bool = False
    """Whether a `track` of further tables was under way, or cut off, when this was looked at."""
    is_drafting: bool = field(default=False, init=False)
    """Whether a thread freezes what is pending: nobody else is to touch the file."""
    came_back: bool = False
    """Whether a table that was aside has come to fit during the verb, by what the centre has now."""
    aside: dict[int, Statements] = field(default_factory=dict)
    changed: dict[int, str] = field(default_factory=dict)
    """How tables were changed that are not in the hub's schema any more, by number, as it has just said."""
    _uniques: dict[int, tuple[int, list[tuple[str, ...]]]] = field(default_factory=dict, init=False)
    _edges: tuple[int, tuple[Edge, ...]] | None = field(default=None, init=False)

    @classmethod
    def load(cls, store: Store) -> Device:
        """The tables as the file has them noted. StoreError if nothing is tracked yet."""
        state = store.state()
        if state.schema is None:
            raise StoreError(
                f"{store.path} tracks no tables",
                code="not_a_replica",
                remedy="Make it a replica with: syncline track FILE TABLE --hub URL",
            )
        with legible(store.path, "the state"):
            _check_noted(state)
            hub, retired = from_plain(json.loads(state.schema)), read_retired(state.retired)
            forms = read_forms(state.forms)
            schema = in_forms(localized(hub, read_names(state.names)), forms)
        noted = store.numbers()
        store.check_logs(noted.values())
        schema = as_declared(store, schema, noted.keys())
        tracked = set(noted.values())
        tables = {
            n: Statements(schema.by_number[n], rank, retired.constants(n))
            for n, rank in schema.rank.items()
            if n in tracked
        }
        seen = store.value("PRAGMA schema_version")
        unable = _aside(store)
        fit = {n: t for n, t in tables.items() if n not in unable}
        aside = {n: t for n, t in tables.items() if n in unable}
        begun = state.hydrate is not None
        return cls(
            store, hub, schema, fit, retired, forms, _version(store), seen, is_joining=begun, aside=aside
        )

    @property
    def tracked(self) -> dict[int, Statements]:
        """The tracked tables by number, also those that are aside."""
        return {**self.tables, **self.aside}

    def reload(self) -> None:
        """Read again what the file has noted."""
        seen, is_drafting = self.schema_version, self.is_drafting
        self._become(Device.load(self.store))
        self.schema_version, self.is_drafting = seen, is_drafting

    def refresh(self) -> None:
        """`reload`, if it is no longer what this was read from."""
        state = self.store.state()
        self.is_joining = state.hydrate is not None
        if _version(self.store, state) != self.version:
            self.reload()

    def check(self) -> None:
        """StoreBusy if another process has changed what this was read from. Inside a transaction."""
        if _version(self.store) != self.version:
            raise StoreBusy(f"another process changed the tables of {self.store.path} meanwhile")

    @contextmanager
    def restored(self) -> Iterator[None]:
        """What the block does to this is undone if it fails, as its transaction is."""
        before = replace(self)
        try:
            yield
        except BaseException:
            self._become(before)
            raise

    def _become(self, other: Device) -> None:
        for part in fields(self):
            setattr(self, part.name, getattr(other, part.name))

    def named(self, name: str) -> Statements | None:
        """The tracked table of this name."""
        return next((t for t in self.tables.values() if t.table.name == name), None)

    def known(self, number: int) -> TableSchema | None:
        """The table with this number, as it is called here, also one that the hub has no more."""
        return self.schema.by_number.get(number) or self.retired.tables.get(number)

    def arity(self, table: int) -> int:
        """How many values the key of a table has, also of one that the hub has no more."""
        found = self.known(table)
        if found is None:
            raise StoreError(f"{self.store.path} does not know the table with number {table}")
        return len(found.key)

    def column_name(self, table: int, column: int) -> str:
        """What a value column is called here, also one that the hub has no more."""
        found = self.known(table)
        if found is not None and column in found.values:
            return found.values[column].name
        return self.retired.name(table, column) or f"column {column}"

    def limits(self, state: State | None = None) -> Limits:
        """The hub's limits as last registered, by a `state` that is at hand."""
        kept = (state or self.store.state()).limits
        with legible(self.store.path, "the limits"):
            return Limits() if kept is None else msgspec.json.decode(kept, type=Limits)

    def local_rows(self, t: Statements) -> str:
        """What becomes of rows of the application's tables that refer to one of this table which the centre
        deleted: what this device was told, else what the hub says."""
        told = self.limits().local_rows
        return self.store.state().local_rows or told.get(str(t.n)) or told.get("*") or "refuse"

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The foreign keys that the file has between its tables, as they were when the triggers were last
        found in order, or the tables read anew."""
        if self._edges is None or self._edges[0] != self.schema_version:
            self._edges = self.schema_version, read_edges(self.store, self.tables)
        return self._edges[1]

    @property
    def own_edges(self) -> list[Edge]:
        """Those of them that the centre has not."""
        return [edge for edge in self.edges if edge.own]

    def uniques(self, t: Statements) -> list[tuple[str, ...]]:
        """The columns of each unique index (over plain columns, all rows) besides the key's own."""
        version = self.store.value("PRAGMA schema_version")
        if self._uniques.get(t.n, (None,))[0] != version:
            found = []
            for _, name, unique, origin, partial, *_ in self.store.described(f"PRAGMA index_list({t.name})"):
                columns = [
                    row[2]
                    for row in self.store.described(f"SELECT * FROM pragma_index_info({sayable(name)})")
                ]
                if unique and origin != "pk" and not partial and None not in columns:
                    found.append(tuple(columns))
            self._uniques[t.n] = version, found
        return self._uniques[t.n][1]


_NOTED = (
    "SELECT 0, n, name FROM _sync_table UNION ALL SELECT 1, n, NULL FROM _sync_lost WHERE aside = 1"
    " ORDER BY 1, 2"
)
"""The numbers and names of the tracked tables, and the numbers of those that are aside."""


def _check_noted(state: State) -> None:
    """Raise what `legible` knows unless what is read elsewhere, and not here, is as it is written."""
    for kept in (state.hydrate, state.recovery, state.former):
        if kept is not None:
            json.loads(kept)
    if state.limits is not None:
        msgspec.json.decode(state.limits, type=Limits)


def _version(store: Store, state: State | None = None) -> tuple[object, ...]:
    """`state`: if it has just been read."""
    state = state or store.state()
    noted = state.fingerprint, state.names, state.retired, state.forms
    return *noted, *store.rows(_NOTED)


def _aside(store: Store) -> list[int]:
    return [n for (n,) in store.rows("SELECT n FROM _sync_lost WHERE aside = 1 ORDER BY n")]
