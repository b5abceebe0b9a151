"""The hub's side of a conversation, for tests of a replica alone: a few rows, and what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Raw

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

    `decide` makes the verdict of a push; `asked` has every request.
    """

    def __init__(self, schema: Schema, rows: dict[str, list[Row]]) -> None:
        self.schema, self.rows = schema, rows
        self.decide: Callable[[int], Verdict] = lambda number: Verdict(number)
        self.asked: list[Request] = []

    def close(self) -> None:
        """Nothing is open."""

    def send(self, request: Request) -> Response:
        self.asked.append(request)
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
                return SchemaAnswer(fingerprint, to_plain(self.schema)["tables"])
            case Snapshot():
                body, digest = seal(list(self.groups()))
                return SnapshotPage("w0", None, 0, digest, Raw(body))
            case Pull():
                return Changes()
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
                return self.decide(request.number)
            case BeginPush():
                return PushBegun(request.number, [])
            case PushChunk():
                return ChunkKept(request.number, request.chunk)
            case ForgetPush():
                return PushForgotten(request.number)
        return None

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
