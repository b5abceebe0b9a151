"""A hub over SQLite in memory, and a device that writes its messages by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from syncline import Hub, Table
from syncline.databases.sqlite import open_database
from syncline.model.actor import ANYONE
from syncline.model.clock import stamp
from syncline.model.values import Value
from syncline.protocol import messages as m
from syncline.protocol.body import delta, open_groups, seal
from syncline.testing.outside import outside

NOW = 1_800_000_000_000
"""The hub's wall clock at the start, in milliseconds since 1970."""

Row = list[Value]


def hlc(seconds: float) -> int:
    return stamp(NOW + int(seconds * 1000))


class Desk:
    """`hub` over the tables of `script`; `sql` is another program in the centre."""

    def __init__(self, script: str, tables: Mapping[str, Table] | None = None) -> None:
        self.now = NOW
        self.database = open_database("sqlite:///:memory:", clock=lambda: self.now)
        with outside(self.database) as connection:
            connection.executescript(script)
        self.hub = Hub(self.database, tables)
        self.hub.init()

    def sql(self, statement: str, *values: Value, at: float = 0) -> list[tuple[Any, ...]]:
        """Run a statement as another program would, `at` seconds after the start."""
        self.now = NOW + int(at * 1000)
        with outside(self.database) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(statement, values).fetchall()

    def device(self, name: str) -> Device:
        return Device(self.hub, name)


class Device:
    """Builds pushes: `device.update("item", {"qty": 5}, [1], at=3)` adds a row, `device.push()` sends."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name, self.number = hub, name, 0
        self.schema = self.hub.schema
        answer = self.send(m.Register(name, self.schema.fingerprint))
        assert isinstance(answer, m.Registered)
        self.watermark, self.bases = answer.watermark, [answer.watermark]
        self.groups: list[m.PushGroup] = []
        self.details: list[m.Detail] = []

    def send(self, request: m.Request) -> m.Response:
        return self.hub.handle(ANYONE, request)

    def add(self, op: Any, table: str, columns: Sequence[int], row: Row, at: float) -> None:
        base = [len(self.bases) - 1]
        number = self.schema.number_of(table)
        self.groups.append(m.PushGroup(number, op, list(columns), [row], delta([hlc(at)]), base))

    def insert(self, table: str, *row: Value, at: float = 1, op: str = "I") -> None:
        """A whole row: key, then every value column."""
        self.add(op, table, self.schema.table(table).pushed, list(row), at)

    def update(self, table: str, key: Row, changes: dict[str, Value], at: float = 1) -> None:
        values = self.schema.table(table).values
        columns = [number for number, column in values.items() if column.name in changes]
        self.add("U", table, columns, [*key, *(changes[values[c].name] for c in columns)], at)

    def delete(self, table: str, *key: Value, at: float = 1, op: str = "D") -> None:
        self.add(op, table, [], list(key), at)

    def detail(self, table: str, key: Row, before: dict[str, Value], image: Row | None) -> None:
        numbers = {column.name: number for number, column in self.schema.table(table).values.items()}
        columns = [numbers[name] for name in before]
        self.details.append(
            m.Detail(self.schema.number_of(table), key, columns, list(before.values()), image)
        )

    def message(self, number: int | None = None, **fields: Any) -> m.Push:
        """The push as it stands; `fields` replace its own."""
        body, digest = seal(self.groups)
        plain: dict[str, Any] = {"digest": digest, "groups": Raw(body), "details": self.details, **fields}
        return m.Push(self.name, number or self.number + 1, self.schema.fingerprint, self.bases, **plain)

    def push(self) -> m.Verdict:
        """Send what was added. Unless the hub wants details the push is over, and the next begins."""
        verdict = self.send(self.message())
        assert isinstance(verdict, m.Verdict)
        if not verdict.wanted:
            self.number += 1
            self.groups, self.details = [], []
        return verdict

    def pull(self, limit: int = 1000) -> list[m.Group]:
        """Everything new; later edits are based on it."""
        answer = self.send(m.Pull(self.watermark, limit, self.name, self.schema.fingerprint))
        assert isinstance(answer, m.Changes)
        if answer.watermark is None:
            return []
        self.watermark = answer.watermark
        self.bases.append(answer.watermark)
        return open_groups(answer.groups, answer.digest)


def overrides(verdict: m.Verdict) -> list[tuple[int, str, list[Row]]]:
    return [(g.table, g.op, g.rows) for g in open_groups(verdict.overrides, verdict.digest)]
