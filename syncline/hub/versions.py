"""Versions of the schema: what replicas were given, and how a push of an older one is brought up to date.

A replica names the schema that it has by its fingerprint. The hub keeps every version that one may have,
takes pushes of any that is compatible with the present one, and answers in the present one alone: numbers of
tables and columns mean the same in all of them (`model.schema`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from syncline.errors import SchemaChanged
from syncline.hub.accept import Part
from syncline.hub.contract import Key, Ledger, ReadLedger
from syncline.hub.contract.codes import COLUMN_DROPPED, TABLE_CHANGED, TABLE_DROPPED, remedy_of
from syncline.hub.contract.kept import as_kept
from syncline.merge.decide import Base, is_default
from syncline.merge.policies import travelling
from syncline.merge.rules import TableRules
from syncline.model.schema import Schema, TableSchema, from_plain, to_plain
from syncline.model.values import Value, mask_of
from syncline.protocol.messages import Rejection

NOTHING: Mapping[int, str] = {}


def give_out(ledger: Ledger, schema: Schema) -> None:
    """Keep the version that replicas are given from now on, if it is not kept."""
    if ledger.given(schema.fingerprint) is None:
        ledger.give(schema.fingerprint, json.dumps(to_plain(schema)))


def kept(ledger: ReadLedger, fingerprint: str) -> Schema:
    """A version that is kept. SchemaChanged if there is none."""
    found = ledger.given(fingerprint)
    if found is None:
        raise SchemaChanged(
            "the replica has a schema that this hub never gave, or has forgotten",
            code="schema_unknown",
        )
    with as_kept("a version of the schema"):
        return from_plain(json.loads(found))


@dataclass(frozen=True, slots=True)
class Brought:
    """A push in the numbers of the present schema. `unplaced` has no place in it any more; `defaulted` are
    rows with a value that the database gives: the replica must hear of it."""

    parts: list[Part]
    unplaced: list[Rejection]
    defaulted: list[tuple[int, Key]]


def brought(
    parts: Sequence[Part], sent: Schema, present: Schema, changed: Mapping[int, str] = NOTHING
) -> Brought:
    """The parts of a push that was made with the schema `sent`, as they stand in the present one.

    `changed` says of tables that are gone why, by number, if it is for their change. Edits of tables and
    columns that are gone are refused, the rest of a row is kept.
    """
    found: list[Part] = []
    unplaced: list[Rejection] = []
    defaulted: list[tuple[int, Key]] = []
    for part in parts:
        table = present.by_number.get(part.table)
        if table is None:
            if part.op == "-":  # made and removed again by the same device: nobody has anything to decide
                continue
            name = sent.by_number[part.table].name
            why = changed.get(part.table)
            unplaced += [_gone_table(part.table, key, name, why) for key in part.keys]
            continue
        before = sent.by_number[part.table]
        if part.op in "IR" and any(_is_lost(column, table, before) for column in before.values):
            defaulted += [(part.table, key) for key in part.keys]  # nothing was sent of what it computed then
        if any(column not in table.pushed for column in part.columns):
            defaulted += [(part.table, key) for key in _computed(part, before, table)]
            part = _without_gone(part, before, table, unplaced)
        for piece, lacks in _with_defaults(part, table):
            if lacks:
                defaulted += [(part.table, key) for key in piece.keys]
            if piece.rows:
                found.append(piece)
    return Brought(found, unplaced, defaulted)


def _gone_table(number: int, key: Sequence[Value], name: str, why: str | None) -> Rejection:
    if why is not None:
        return Rejection(number, list(key), TABLE_CHANGED, why, remedy_of(TABLE_CHANGED))
    detail = f"the table {name} does not take part in the central database any more"
    return Rejection(number, list(key), TABLE_DROPPED, detail, remedy_of(TABLE_DROPPED))


def _computed(part: Part, before: TableSchema, table: TableSchema) -> Sequence[Key]:
    """The keys of rows with a column that the database computes, and did when they were edited: what was
    written there is nobody's to decide, and the replica hears what it is."""
    both = [
        column for column in part.columns if column in table.values and not _is_lost(column, before, table)
    ]
    return part.keys if any(column not in table.pushed for column in both) else ()


def _is_lost(column: int, before: TableSchema, table: TableSchema) -> bool:
    """Whether devices could write a column, and can no longer."""
    return column in before.pushed and column not in table.pushed


def _without_gone(part: Part, before: TableSchema, table: TableSchema, unplaced: list[Rejection]) -> Part:
    """The part without columns that a device cannot write any more; what they held is refused."""
    gone = [place for place, column in enumerate(part.columns) if column not in table.pushed]
    if not gone:
        return part
    arity = len(table.key)
    for key, row in zip(part.keys, part.rows, strict=True):
        lost = [
            place
            for place in gone
            if _is_lost(part.columns[place], before, table)
            and (part.op == "U" or row[arity + place] is not None)
        ]
        if lost:
            names = ", ".join(before.values[part.columns[place]].name for place in lost)
            detail = f"table {table.name} has no column any more that a device writes as {names}"
            columns = [part.columns[place] for place in lost]
            remedy = remedy_of(COLUMN_DROPPED)
            unplaced.append(Rejection(part.table, list(key), COLUMN_DROPPED, detail, remedy, columns=columns))
    left = [place for place in range(len(part.columns)) if place not in gone]
    if part.op == "U" and not left:
        return _picked(part, left, [])
    return _picked(part, left, range(len(part.rows)))


def _with_defaults(part: Part, table: TableSchema) -> Iterable[tuple[Part, bool]]:
    """New rows, and those that replace others, without what means the default of the database: it is given
    to a row that is not there, and one that is there keeps what it has. Yields whether it is so."""
    if part.op not in ("I", "R"):
        return [(part, False)]
    needs = [place for place, number in enumerate(part.columns) if is_default(table.values[number], None)]
    arity = len(table.key)
    if not any(row[arity + place] is None for place in needs for row in part.rows):
        return [(part, False)]
    kinds: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(part.rows):
        kinds.setdefault(tuple(place for place in needs if row[arity + place] is None), []).append(number)
    places = range(len(part.columns))
    return [
        (_picked(part, [place for place in places if place not in lacking], rows), bool(lacking))
        for lacking, rows in kinds.items()
    ]


def _picked(part: Part, places: Sequence[int], rows: Sequence[int]) -> Part:
    """Some columns, by place, of some rows."""
    arity = len(part.rows[0]) - len(part.columns) if part.rows else 0

    def chosen(stamps: list[list[int]] | None) -> list[list[int]] | None:
        return None if stamps is None else [[stamps[row][place] for place in places] for row in rows]

    return replace(
        part,
        columns=[part.columns[place] for place in places],
        rows=[
            [*part.rows[row][:arity], *(part.rows[row][arity + place] for place in places)] for row in rows
        ],
        hlc=[part.hlc[row] for row in rows],
        base=[part.base[row] for row in rows] if part.base else [],
        column_hlc=chosen(part.column_hlc),
        column_base=chosen(part.column_base),
        keys=[part.keys[row] for row in rows],
    )


def brought_details(details: Mapping[tuple[int, Key], Base], present: Schema) -> dict[tuple[int, Key], Base]:
    """The details of a push without tables and columns that are gone."""
    found: dict[tuple[int, Key], Base] = {}
    for (number, key), base in details.items():
        table = present.by_number.get(number)
        if table is not None:
            before = {column: value for column, value in base.before.items() if column in table.values}
            image = base.image and {
                column: value for column, value in base.image.items() if column in table.values
            }
            found[number, key] = Base(before, image)
    return found


def rules_for(rules: Mapping[int, TableRules], sent: Schema, present: Schema) -> Mapping[int, TableRules]:
    """The rules for a push made with the schema `sent`. A column whose policy travels otherwise since then is
    merged as it was sent: a difference is added up, a value is taken by its clock."""
    found = dict(rules)
    for number, table in present.by_number.items():
        before = sent.by_number.get(number)
        if before is None:
            continue
        other = {
            column: travelling("difference" if before.values[column].increment else "value")
            for column in table.values
            if column in before.values and before.values[column].increment != table.values[column].increment
        }
        if other:
            columns = {**found[number].columns, **other}
            computed = mask_of(column for column, policy in columns.items() if policy.uses_present)
            found[number] = replace(found[number], columns=columns, computed_mask=computed)
    return found
