"""The hub's side of a conversation, for tests of a replica alone: a few rows, and what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from syncline.errors import SchemaChanged
from syncline.model.schema import Schema, TableSchema, to_plain
from syncline.protocol.body import seal
from syncline.protocol.canonical import RowsDigest
from syncline.protocol.messages import (
    BeginPush,
    Changes,
    ChunkKept,
    ConflictsAnswer,
    ConflictsQuery,
    ForgetPush,
    Group,
    Limits,
    Part,
    PreparePush,
    Pull,
    Push,
    PushBegun,
    PushChunk,
    PushForgotten,
    Register,
    Registered,
    Request,
    Response,
    SchemaAnswer,
    SchemaQuery,
    Snapshot,
    SnapshotPage,
    Verdict,
    Verified,
    Verify,
)

Row = dict[str, Any]


class Peer:
    """`rows` are what the centre has, by table and then as a list of whole rows by column name, in key order.

    `decide` makes the verdict of a push; `asked` has every request. `news` are the groups that a pull after
    watermark w0, w1, ... brings. `before` is called with every request, before it is answered.
    """

    def __init__(self, schema: Schema, rows: dict[str, list[Row]]) -> None:
        self.schema, self.rows = schema, rows
        self.decide: Callable[[int], Verdict] = lambda number: Verdict(number)
        self.asked: list[Request] = []
        self.news: list[list[Group]] = []
        self.before: Callable[[Request], None] = lambda request: None

    def close(self) -> None:
        """Nothing is open."""

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        self.before(request)
        answer = self._answer(request)
        assert answer is not None, f"{type(request).__name__} is nothing that this peer knows"
        return answer

    def _answer(self, request: Request) -> Response | None:
        fingerprint = self.schema.fingerprint
        match request:
            case Register():
                names = [table.name for table in self.schema.tables]
                return Registered("hub-1", fingerprint, "", names, Limits(), "w0", 0, 0)
            case SchemaQuery():
                return SchemaAnswer(fingerprint, **to_plain(self.schema))
            case Snapshot():
                self._refuse_other(request.schema)
                body, digest = seal(list(self._snapshot(request)))
                return SnapshotPage(f"w{len(self.news)}", None, 0, digest, Raw(body))
            case Pull():
                return self._changes(request)
            case Verify(table=None):
                return Verified(Changes(), [self._whole(table) for table in self.schema.tables])
            case Verify():
                assert request.table is not None
                body, digest = seal([self.group(self.schema.by_number[request.table])])
                return Verified(Changes(), digest=digest, groups=Raw(body))
            case ConflictsQuery():
                return ConflictsAnswer([])
        return self._answer_push(request)

    def _answer_push(self, request: Request) -> Response | None:
        match request:
            case Push() | PreparePush():
                verdict = self.decide(request.number)
                pull = request.pull if isinstance(request, Push) else None
                changes = None if pull is None else self._changes(pull)
                return msgspec.structs.replace(verdict, changes=changes, schema=self._other(request.schema))
            case BeginPush():
                return PushBegun(request.number, [])
            case PushChunk():
                return ChunkKept(request.number, request.chunk)
            case ForgetPush():
                return PushForgotten(request.number)
        return None

    def _other(self, fingerprint: str) -> str:
        """The present fingerprint, if a request names another one."""
        return "" if fingerprint == self.schema.fingerprint else self.schema.fingerprint

    def _refuse_other(self, fingerprint: str) -> None:
        if self._other(fingerprint):
            raise SchemaChanged("the schema is another one")

    def _changes(self, pull: Pull) -> Changes:
        """One page with everything that is new."""
        seen, schema = int(pull.after.removeprefix("w") or 0), self._other(pull.schema)
        groups = [group for groups in self.news[seen:] for group in groups]
        if not groups:
            return Changes(schema=schema)
        body, digest = seal(groups)
        return Changes(f"w{len(self.news)}", False, 0, digest, Raw(body), schema)

    def _snapshot(self, request: Snapshot) -> Iterator[Group]:
        if request.table is None:
            yield from self.groups()
            return
        table = self.schema.by_number[request.table]
        if not request.columns:
            yield self.group(table)
            return
        columns = [int(number) for number in request.columns.split(",")]
        names = [*table.key, *(table.values[number].name for number in columns)]
        rows = [[row[name] for name in names] for row in self.rows.get(table.name, [])]
        yield Group(table.number, "U", columns, rows)

    def _whole(self, table: TableSchema) -> Part:
        digest, rows = RowsDigest(), self.group(table).rows
        digest.add(rows)
        return Part(None, len(rows), digest.hex)

    def groups(self) -> Iterator[Group]:
        """Everything, parents first."""
        return map(self.group, self.schema.tables)

    def group(self, table: TableSchema, rows: Sequence[Row] | None = None) -> Group:
        """Whole rows of a table: all that the centre has, or those given."""
        names = [*table.key, *(column.name for column in table.values.values())]
        chosen = self.rows.get(table.name, []) if rows is None else rows
        return Group(table.number, "U", list(table.values), [[row[name] for name in names] for row in chosen])
