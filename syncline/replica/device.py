"""The open device file with its tables: what every verb of the replica works on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import msgspec

from syncline.errors import StoreError
from syncline.model.schema import Schema, from_plain
from syncline.protocol.messages import Limits
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote


@dataclass(slots=True)
class Device:
    """`tables` has the tracked tables by number, parents first: those of the hub's schema that this file does
    not track are left out.
    """

    store: Store
    schema: Schema
    tables: dict[int, Statements]
    _uniques: dict[int, tuple[int, list[tuple[str, ...]]]] = field(default_factory=dict)

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
        schema = from_plain(json.loads(state.schema))
        tracked = set(store.numbers().values())
        tables = {n: Statements(schema.by_number[n], rank) for n, rank in schema.rank.items() if n in tracked}
        return cls(store, schema, tables)

    def named(self, name: str) -> Statements | None:
        """The tracked table of this name."""
        return next((t for t in self.tables.values() if t.table.name == name), None)

    def limits(self) -> Limits:
        """The hub's limits as last registered."""
        kept = self.store.state().limits
        return Limits() if kept is None else msgspec.json.decode(kept, type=Limits)

    def uniques(self, t: Statements) -> list[tuple[str, ...]]:
        """The columns of each unique index (over plain columns, all rows) besides the key's own."""
        version = self.store.value("PRAGMA schema_version")
        if self._uniques.get(t.n, (None,))[0] != version:
            found = []
            for _, name, unique, origin, partial, *_ in self.store.rows(f"PRAGMA index_list({t.name})"):
                columns = [row[2] for row in self.store.rows(f"PRAGMA index_info({quote(name)})")]
                if unique and origin != "pk" and not partial and None not in columns:
                    found.append(tuple(columns))
            self._uniques[t.n] = version, found
        return self._uniques[t.n][1]
