"""What a file has of a schema that its centre has lost: it was restored to before a change that the file
took.

The hub does not know the file's schema then. Tables and columns that it has never had, as far as it
remembers, are dropped ones for the file. But the hub will give out their numbers again, so that here they get
numbers of the file's own (`names.LOST`); and what it makes again under the same name takes its place.

    pending edits     are of the file's logs: `replica.migrate` and `replica.dropped` sort them
    kept pushes       were made with the schema that is lost: they are put into the present one when offered
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from syncline.model.evolution import has_same_key
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, from_plain, to_plain
from syncline.model.values import Value
from syncline.protocol.messages import ConflictNote, PushGroup
from syncline.replica.above import renumber_above
from syncline.replica.ddl import indexes
from syncline.replica.device import Device
from syncline.replica.dropped import COLUMN_DROPPED, TABLE_DROPPED
from syncline.replica.edge import inward_rows
from syncline.replica.names import LOST, Retired, RetiredColumn
from syncline.replica.plan import Plan, lost_columns
from syncline.replica.postponed import is_of, needing
from syncline.replica.rejected import Reason, keep_rejected
from syncline.replica.store import Store, pack, quote, unpack

_REMEDY = "Write it where it belongs now if it is still needed, then discard the edit."


def without_lost(store: Store, device: Device, made: Plan, retired: Retired) -> Retired:
    """What is retired, with numbers of the file's own for what the centre has lost. `device` has the former
    schema. Inside the transaction that migrates, after `dropped`."""
    tables, columns = dict(retired.tables), dict(retired.columns)
    for n in made.gone:
        if n < made.hub.used and n not in made.hub.by_number:
            continue
        table = tables.pop(n)
        own = Retired(tables).label(n)
        tables[own] = replace(table, number=own)
        for kept in ("_sync_rejected", "_sync_settled", "_sync_index"):
            store.execute(f"UPDATE {kept} SET n = ? WHERE n = ?", (own, n))
        renumber_above(store, n, own)
        _forget_numbers(store, n, None)
    for change in made.changes:
        n = change.after.number
        lost = lost_columns(device.hub.by_number[n], change.after)
        if lost:
            columns[n] = _labelled(store, retired, n, lost)
            _drop_indexes(store, device, n, lost)
            _forget_numbers(store, n, lost)
    for n, adopted in made.adopted.items():
        names = {made.schema.by_number[n].values[number].name for number in adopted}
        if n in columns:
            columns[n] = tuple(one for one in columns[n] if one.name not in names)
    changed = {n: why for n, why in retired.changed.items() if n in tables}
    return Retired(tables, {n: kept for n, kept in columns.items() if kept}, changed)


def _labelled(store: Store, retired: Retired, n: int, lost: Collection[int]) -> tuple[RetiredColumn, ...]:
    kept = list(retired.columns.get(n, ()))
    moved: dict[int, int] = {}
    for place, one in enumerate(kept):
        if one.number in lost:
            own = Retired(columns={n: tuple(kept)}).label(one.number, n)
            moved[one.number], kept[place] = own, RetiredColumn(own, one.name, one.literal)
    for number, edit in store.rows("SELECT id, edit FROM _sync_rejected WHERE n = ?", (n,)):
        plain = unpack(edit)
        if not moved.keys().isdisjoint(plain["columns"]):
            plain["columns"] = [moved.get(column, column) for column in plain["columns"]]
            store.execute("UPDATE _sync_rejected SET edit = ? WHERE id = ?", (pack(plain), number))
    return tuple(kept)


def _drop_indexes(store: Store, device: Device, n: int, lost: Collection[int]) -> None:
    """Indexes of Syncline's own on these columns, which one on other columns may come to be called like."""
    table = device.schema.by_number[n]
    names = {column.name for number, column in table.values.items() if number in lost}
    for index in indexes(device.hub, device.schema):
        if index.table == n and not names.isdisjoint(index.columns):
            for (name,) in store.rows(
                "SELECT name FROM _sync_index WHERE n = ? AND what = ?", (n, index.what)
            ):
                if all(_is_centre(device, *one) for one in needing(store, name)):
                    store.execute(f"DROP INDEX IF EXISTS {quote(name)}")
            store.execute("DELETE FROM _sync_index WHERE n = ? AND what = ?", (n, index.what))


def _is_centre(device: Device, table: str, key: ForeignKey) -> bool:
    """Whether a foreign key of the file is one that the centre had."""
    t = device.named(table)
    return t is not None and is_of(t.table, key)


def known_still(before: Schema, made: Plan) -> Schema:
    """The former schema without constraints on columns that are lost: others may have their numbers now."""
    lost: dict[int, set[str]] = {}
    for change in made.changes:
        numbers = lost_columns(change.before, change.after)
        lost[change.after.number] = {change.before.values[number].name for number in numbers}
    if not any(lost.values()):
        return before
    tables = [
        replace(
            table,
            uniques=tuple(u for u in table.uniques if lost.get(table.number, set()).isdisjoint(u)),
            foreign_keys=tuple(
                k for k in table.foreign_keys if lost.get(table.number, set()).isdisjoint(k.columns)
            ),
        )
        for table in before.tables
    ]
    return Schema(tuple(tables), before.used)


def _forget_numbers(store: Store, n: int, columns: Collection[int] | None) -> None:
    """Notes of conflicts that name the table by its number, or these columns of it, keep its names alone."""
    for number, body in store.rows("SELECT id, note FROM _sync_conflict"):
        note = msgspec.msgpack.decode(body, type=ConflictNote)
        if note.table_number == n and (columns is None or not set(columns).isdisjoint(note.columns)):
            plain = msgspec.structs.replace(note, table_number=-1, columns=[])
            packed = msgspec.msgpack.encode(plain)
            store.execute("UPDATE _sync_conflict SET note = ? WHERE id = ?", (packed, number))


# Kept pushes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """The schemas that the hub does not know, by fingerprint; None: this file does not know it either, any
    more."""

    schemas: Mapping[str, Schema | None] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: Mapping[str, str | None]) -> Past:
        """The inverse of `written`."""
        return cls({name: (text and from_plain(json.loads(text))) or None for name, text in kept.items()})

    def written(self) -> dict[str, str | None]:
        """As JSON can hold it."""
        return {
            name: None if schema is None else json.dumps(to_plain(schema))
            for name, schema in self.schemas.items()
        }

    def with_unknown(self, unknown: Iterable[str], known: Schema) -> Past:
        """With those that the hub has said it does not know; `known` is the one that the file has."""
        found = dict(self.schemas)
        for name in unknown:
            found[name] = known if name == known.fingerprint else found.get(name)
        return Past(found)

    def schema(self, fingerprint: str | None) -> Schema | None:
        """The schema of a push that the hub cannot read; one that followed it, if that one is forgotten:
        numbers mean the same there."""
        exact = self.schemas.get(fingerprint or "")
        return exact or next((one for one in reversed(list(self.schemas.values())) if one), None)


def translated(
    device: Device, groups: Sequence[PushGroup], before: Schema, refused: Collection[tuple[int, object]]
) -> list[PushGroup]:
    """The groups of a kept push, which was made with the schema `before` that the hub has lost, in the
    present one. What has no place there is kept as rejected edits. Inside a transaction.

    `refused`: table number and key of rows that are not offered again."""
    found = []
    for group in groups:
        old, new = before.by_number.get(group.table), device.hub.by_number.get(group.table)
        if old is None or new is None or not has_same_key(old, new):
            _refuse_rows(device, group, old, refused)
            continue
        going = {number: j for j, number in enumerate(group.columns) if _goes_on(old, new, number)}
        if len(going) < len(group.columns):
            lost = [j for j, number in enumerate(group.columns) if number not in going]
            _refuse_columns(device, group, old, lost, refused)
        if going or group.op != "U":
            found.append(_picked(group, len(old.key), going, new))
    return found


def _goes_on(old: TableSchema, new: TableSchema, number: int) -> bool:
    """Whether a column is there, and its values mean the same."""
    one, other = old.values.get(number), new.values.get(number)
    if one is None or other is None or number not in new.pushed:
        return False
    return _meaning(one) == _meaning(other)


def _meaning(column: ColumnSchema) -> tuple[object, ...]:
    return column.origin, column.type, column.increment


def _picked(group: PushGroup, arity: int, going: Mapping[int, int], new: TableSchema) -> PushGroup:
    """The group with the columns that go on, by number; `going` has their places. New rows name every column
    that a device writes: what was not there when they were made has no value."""
    columns: list[int] = list(new.pushed) if group.op in ("I", "R") else list(going)
    places = [going.get(number) for number in columns]

    def chosen(stamps: list[list[int]] | None) -> list[list[int]] | None:
        return None if stamps is None else [[some[j] for j in going.values()] for some in stamps]

    return msgspec.structs.replace(
        group,
        columns=columns,
        rows=[
            [*row[:arity], *(None if place is None else row[arity + place] for place in places)]
            for row in group.rows
        ],
        column_hlc=chosen(group.column_hlc),
        column_base=chosen(group.column_base),
    )


def _refuse_rows(
    device: Device, group: PushGroup, old: TableSchema | None, refused: Collection[tuple[int, object]]
) -> None:
    number = max((n for n in device.retired.tables if n % LOST == group.table), default=group.table)
    known = device.retired.tables.get(number)
    if old is None and known is None:
        arity = 1
    else:
        arity = len((old or known).key)  # type: ignore[union-attr]
    called = known.name if known else old.name if old else str(group.table)
    reason = Reason(TABLE_DROPPED, f"the centre has no table {called} any more: it was restored", _REMEDY)
    for row in group.rows:
        if (group.table, tuple(row[:arity])) in refused or group.op == "-":
            continue
        op = "I" if group.op == "R" else group.op
        keep_rejected(device, number, row[:arity], op, (group.columns, row[arity:], []), reason)


def _refuse_columns(
    device: Device,
    group: PushGroup,
    old: TableSchema,
    lost: Sequence[int],
    refused: Collection[tuple[int, object]],
) -> None:
    arity, t = len(old.key), device.tables.get(group.table)
    retired = {one.number % LOST: one for one in device.retired.columns.get(group.table, ())}
    numbers, names = [], []
    for j in lost:
        number = group.columns[j]
        one = retired.get(number)
        numbers.append(one.number if one else number)
        names.append(one.name if one else old.values[number].name if number in old.values else str(number))
    detail = f"table {old.name}: the centre has no column {', '.join(names)} any more: it was restored"
    reason = Reason(COLUMN_DROPPED, detail, _REMEDY)
    for row in group.rows:
        values: list[Value] = [row[arity + j] for j in lost]
        held = [k for k, value in enumerate(values) if group.op == "U" or value is not None]
        if not held or (group.table, tuple(row[:arity])) in refused:
            continue
        (key,) = inward_rows(t, [], [row[:arity]])
        kept: tuple[list[int], list[Value], list[Value]] = (
            [numbers[k] for k in held],
            [values[k] for k in held],
            [],
        )
        keep_rejected(device, group.table, key, "U", kept, reason)
