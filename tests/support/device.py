"""A device file made from CREATE TABLE statements, without a hub: for the tests of single steps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syncline.databases.sqlite.reflect import reflect
from syncline.model.schema import Schema, TableSchema, arrange, from_plain, to_plain
from syncline.protocol.body import open_push, seal
from syncline.protocol.messages import Changes, Group, PushGroup, Verdict
from syncline.replica import capture
from syncline.replica.apply import Answer, Applied, apply
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.identity import Learned
from syncline.replica.reconciled import enter
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from tests.support.numbering import numbered


class Bench:
    """A prepared replica, and a connection of the application beside it."""

    def __init__(
        self, path: Path, ddl: str, increments: Sequence[str] = (), types: Mapping[str, str] | None = None
    ) -> None:
        """`types`: what the centre has for columns, by name."""
        self.app = sqlite3.connect(path, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")
        self.app.executescript(ddl)
        self.schema = schema_of(self.app, increments, types)
        self.store = Store.open_private(path)
        with self.store.transaction() as store:
            store.prepare("replica-1")
            store.set_state(
                schema=json.dumps(to_plain(self.schema)), fingerprint=self.schema.fingerprint, hub="hub-1"
            )
            for table in self.schema.tables:
                store.number(table.number, table.name)
            store.advance("w0", 0)
            self.device = Device.load(store)
            for t in self.device.tables.values():
                capture.install(store, t)

    def close(self) -> None:
        self.store.close()
        self.app.close()

    # What the hub sends -------------------------------------------------------------------------------

    def put(self, table: str, *rows: Sequence[Any], columns: Sequence[str] | None = None) -> Group:
        """Rows as the hub has them: the key, then all others as declared, or some (names)."""
        t = self.schema.table(table)
        if columns is not None:
            return Group(t.number, "U", [t.column(name).number for name in columns], list(map(list, rows)))
        given = [column.number for column in t.columns if column.name not in t.key]
        order = [*range(len(t.key)), *(len(t.key) + given.index(number) for number in t.values)]
        return Group(t.number, "U", list(t.values), [[row[i] for i in order] for row in rows])

    def gone(self, table: str, *keys: Any) -> Group:
        """Rows that are not there; a key of several columns is a tuple."""
        return Group(
            self.schema.number_of(table),
            "D",
            [],
            [[*key] if isinstance(key, tuple) else [key] for key in keys],
        )

    def pull(self, *groups: Group, watermark: str = "w1", hlc: int = 0) -> Applied:
        """Take in a pull of one page."""
        body, digest = seal(list(groups))
        return apply(self.device, Answer(last=Changes(watermark, False, hlc, digest, _raw(body))))

    def verdict(self, *overrides: Group, **fields: Any) -> Applied:
        """Take in the verdict of the push in flight."""
        body, digest = seal(list(overrides))
        number = self.store.state().push
        verdict = Verdict(number, [], digest, _raw(body), **{"made": 1_772_000_000_000} | fields)
        return apply(self.device, Answer(verdict))

    # What the device sends ----------------------------------------------------------------------------

    def entered(self, **learned: Any) -> bool:
        """Take in what the hub has said of the file's edits; see `replica.reconciled.enter`."""
        state = self.store.state()
        plain: dict[str, Any] = {"replica": state.replica, "taken": False, "push": state.push, "since": 0}
        with self.store.transaction():
            return enter(self.device, Learned(**(plain | learned)))

    def chunks(self) -> list[list[PushGroup]]:
        """The push in flight, chunk by chunk; a small one is a single chunk."""
        return [open_push(body, digest) for _, digest, body in sealed(self.store)]

    def declared(self, group: PushGroup) -> list[list[Any]]:
        """The rows of a group, with the values in the order in which their columns were declared."""
        t = self.schema.by_number[group.table]
        places = [group.columns.index(c.number) for c in t.columns if c.number in group.columns]
        order = [*range(len(t.key)), *(len(t.key) + place for place in places)]
        return [[row[i] for i in order] for row in group.rows]

    # What the device shows ----------------------------------------------------------------------------

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.app.execute(sql).fetchall()

    def table(self, name: str) -> Statements:
        """The tracked table of this name."""
        found = self.device.named(name)
        assert found is not None
        return found

    def log(self, table: str) -> str:
        """The change log of a table, as SQL."""
        return self.table(table).log

    def all(self, table: str) -> list[tuple[Any, ...]]:
        return self.rows(f'SELECT * FROM "{table}" ORDER BY 1')


def _raw(body: bytes) -> Any:
    from msgspec import Raw

    return Raw(body)


def schema_of(
    app: sqlite3.Connection, increments: Sequence[str] = (), types: Mapping[str, str] | None = None
) -> Schema:
    """The schema of every table of the file, with the numbers of the present test."""
    names = [name for (name,) in app.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = []
    for table in reflect(app, names).schema.tables:
        plain = to_plain(Schema((table,)))["tables"][0]
        for column in plain["columns"]:
            column["increment"] = column["name"] in increments
            column["type"] = (types or {}).get(column["name"], column["type"])
        tables.append(_again(plain))
    return numbered(arrange(tables))


def _again(plain: dict[str, Any]) -> TableSchema:
    return from_plain({"tables": [plain], "used": 0}).tables[0]
