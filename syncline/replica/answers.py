"""What a hub answers, looked at before the device does anything with it: it comes from a network.

What a field may hold is said by its type (`protocol.messages`). Here is what depends on the request, on the
schema and on this file: that an answer is the answer to what was asked, that it leads on, and that tables,
columns, keys and rows in it are some that there are. Malformed otherwise; nothing was changed then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints

from msgspec import Raw, structs

from syncline.errors import DigestMismatch, Malformed, ProtocolError
from syncline.model.schema import Schema, TableSchema
from syncline.protocol.body import open_groups
from syncline.protocol.messages import (
    TOKEN_LENGTH,
    BeginPush,
    Changes,
    ChunkKept,
    CommitPush,
    Group,
    PreparePush,
    Pull,
    Push,
    PushBegun,
    PushChunk,
    Record,
    Request,
    Response,
    Snapshot,
    SnapshotPage,
    Spell,
    Spelled,
    Verdict,
    Verified,
    undressed,
)
from syncline.protocol.packing import check_cells

REMEDY = "Ask whoever runs the hub; it, or what answers in its place, is broken. Nothing was changed here."
DAMAGED = (
    "Sync again; if it stays so, ask whoever runs the hub: its answers are damaged. Nothing was changed here."
)
NOTHING = (b"\x90", b"")
"""Groups without any, as they travel."""


def check_answer(request: Request, answer: Response) -> None:
    """Malformed unless the answer fits the request and, where it is one of several, leads on."""
    _check_marks(answer)
    check = _CHECKS.get(type(answer))
    if check is not None:
        check(request, answer)


def _check_marks(answer: Record) -> None:
    """Malformed unless what the file is to keep, and to hand back later, looks like what a hub gives."""
    for name, default in _marks(type(answer)):
        value = getattr(answer, name)
        if value != default and value is not None and not _is_mark(value):
            raise _wrong(f"its {name} is none that a hub gives")
    if isinstance(answer, (Verdict, Verified)) and answer.changes is not None:
        _check_marks(answer.changes)


@cache
def _marks(kind: type[Record]) -> tuple[tuple[str, Any], ...]:
    """The fields of an answer that hold watermarks and cursors, and what is in them when there is none."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((one.name, one.default) for one in structs.fields(kind) if _holds_mark(hints[one.name]))


def _holds_mark(hint: Any) -> bool:
    bare, extra = undressed(hint)
    return "mark" in extra or any(_holds_mark(part) for part in get_args(bare) if part is not NoneType)


def _is_mark(value: str) -> bool:
    return 0 < len(value) <= TOKEN_LENGTH and value.isascii() and value.isprintable() and " " not in value


def _check_changes(request: Any, answer: Changes) -> None:
    if isinstance(request, Pull) and answer.more and answer.watermark in (None, "", request.after):
        raise _wrong("a page of changes that says there is more leads nowhere")


def _check_page(request: Any, answer: SnapshotPage) -> None:
    if not isinstance(request, Snapshot) or answer.cursor is None:
        return
    if answer.cursor == request.cursor or bytes(answer.groups) in NOTHING:
        raise _wrong("a chunk of rows that says there is more leads nowhere")


def _check_verdict(request: Any, answer: Verdict) -> None:
    if isinstance(request, (Push, CommitPush, PreparePush)) and answer.number != request.number:
        raise _wrong(f"the verdict is on push {answer.number}, and push {request.number} was sent")
    pull = getattr(request, "pull", None)
    if answer.changes is not None and pull is not None:
        _check_changes(pull, answer.changes)


def _check_begun(request: Any, answer: PushBegun) -> None:
    if isinstance(request, BeginPush):
        have = set(answer.have)
        fits = answer.number == request.number and len(have) == len(answer.have)
        if not fits or any(not 1 <= number <= request.chunks for number in have):
            raise _wrong("it has other chunks of the push than there are")


def _check_kept(request: Any, answer: ChunkKept) -> None:
    sent = isinstance(request, PushChunk) and (request.number, request.chunk)
    if sent and sent != (answer.number, answer.chunk):
        raise _wrong("another chunk was kept than was sent")


def _check_spelled(request: Any, answer: Spelled) -> None:
    if isinstance(request, Spell):
        widths = set(map(len, request.keys))
        if len(answer.keys) != len(request.keys) or not widths >= set(map(len, answer.keys)):
            raise _wrong("it spells other keys than were asked")
        with from_hub():
            check_cells(answer.keys)
        if any(value is None for key in answer.keys for value in key):
            raise _wrong("a key with NULL")


_CHECKS: Mapping[type, Callable[[Any, Any], None]] = {
    Changes: _check_changes,
    SnapshotPage: _check_page,
    Verdict: _check_verdict,
    PushBegun: _check_begun,
    ChunkKept: _check_kept,
    Spelled: _check_spelled,
}


@contextmanager
def from_hub() -> Iterator[None]:
    """What cannot be read in here came from the hub: its remedy is not one for who wrote a request."""
    try:
        yield
    except DigestMismatch as error:
        error.remedy = DAMAGED
        raise
    except ProtocolError as error:
        error.remedy = REMEDY
        raise


def groups_of(body: Raw | bytes, digest: str, schema: Schema | None) -> list[Group]:
    """The groups of an answer, whose rows are of this schema; None: of one that is not known yet, so that no
    more can be told than that they are rows at all."""
    with from_hub():
        groups = open_groups(body, digest)
    for group in groups:
        check_group(group, schema)
    return groups


def check_group(group: Group, schema: Schema | None) -> None:
    """Malformed unless the rows are some of a table that there is, with its key and the columns named. That
    they hold values and nothing else was seen when they were read."""
    if schema is None:
        return
    table = schema.by_number.get(group.table)
    if table is None:
        raise _wrong(f"there is no table {group.table}")
    columns = set(group.columns)
    if len(columns) < len(group.columns) or not table.values.keys() >= columns:
        raise _wrong(f"table {table.name}: it names columns there are not")
    width = len(table.key) + (0 if group.op == "D" else len(group.columns))
    if group.op == "D" and group.columns:
        raise _wrong(f"table {table.name}: a row that is gone has values")
    if not set(map(len, group.rows)) <= {width}:
        raise _wrong(f"table {table.name}: a row has not {width} values")
    for place in range(len(table.key)):
        if any(row[place] is None for row in group.rows):
            raise _wrong(f"table {table.name}: a key with NULL")


def check_places(verdict: Verdict, known: Callable[[int], TableSchema | None]) -> None:
    """Malformed unless the rows that a verdict names are some of tables that there are. `known` finds a table
    by its number.

    What is rejected or wanted was sent. A conflict, or the row that a rejected one depends on, may be of a
    table that the file has not got: the centre has it since the schema that the push was made with, or had it
    when the push was decided. That is told, and nothing else is done with it."""
    named = [(one.table, one.key, one.columns) for one in verdict.rejected]
    parents = [one.parent for one in verdict.rejected if one.parent is not None]
    if not all(map(_is_place, parents)):
        raise _wrong("a rejected row depends on something that is no row")
    if not all(map(_is_place, verdict.wanted)):
        raise _wrong("it wants something that is no row")
    named += [(number, key, []) for number, key in verdict.wanted]
    told = [(number, key) for number, key in parents]
    told += [(one.table_number, one.key) for one in verdict.conflicts if one.table_number >= 0]
    for number, key in told:
        if known(number) is not None:
            named.append((number, key, []))
        else:
            _check_key(key)
    for number, key, columns in named:
        table = known(number)
        if table is None:
            raise _wrong(f"there is no table {number}")
        if len(key) != len(table.key):
            raise _wrong(f"table {table.name}: a key has {len(table.key)} values, not {len(key)}")
        _check_key(key)
        if any(column < 0 for column in columns):
            raise _wrong(f"table {table.name}: it names columns there are not")


def _check_key(key: Sequence[Any]) -> None:
    with from_hub():
        check_cells([key])


def _is_place(value: Any) -> bool:
    """Whether it is a table's number and a key."""
    fits = isinstance(value, Sequence) and len(value) == 2
    return fits and type(value[0]) is int and isinstance(value[1], list)


def _wrong(what: str) -> Malformed:
    return Malformed(f"the hub's answer cannot be: {what}", remedy=REMEDY)
