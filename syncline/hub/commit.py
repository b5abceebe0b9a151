"""Step 7 of the path: write what was settled, isolating what the central database will not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from syncline.hub.contract import Key, Refusal, Rows, Stage, WriteTransaction, codes
from syncline.hub.dependents import (
    RowId,
    cascading,
    going_with,
    live_rows,
    row_id,
    taken_along,
    with_dependents,
)
from syncline.model.schema import Schema


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row was rejected; `parent` is the rejected row it depends on. `unread`: others hold its table, so
    that what the centre has of it is not told."""

    code: str
    detail: str
    remedy: str
    parent: RowId | None = None
    unread: bool = False


GONE_WITH = Refused(
    codes.FOREIGN_KEY,
    "the row went with another that the same push deletes",
    codes.remedy_of(codes.FOREIGN_KEY),
)


def commit_stages(
    transaction: WriteTransaction,
    schema: Schema,
    stages: Sequence[Stage],
    origin: str,
    before: Set[RowId],
    again: Callable[[Sequence[Refusal]], None],
) -> dict[RowId, Refused]:
    """Apply all stages; return the rejected rows. The rest is written (law L2, poison does not block).
    `before`: rows of the same push that were rejected already. `again` is called when some were refused,
    nothing is written and the rest is about to be tried.

    Parents are written before children and children deleted before parents (law L9).
    """
    refused: dict[RowId, Refused] = {}
    found = going_with(schema, stages) or _attempt(transaction, schema, stages, origin)
    while found:
        found = with_dependents(schema, stages, found)
        for stage, refusals in _by_stage(found):
            rows = [refusal.row for refusal in refusals]
            transaction.rows.discard(stage, rows)
            stage.discarded.update(rows)
        again(found)
        rows_refused = {row_id(schema, one.stage, one.row): one for one in found}
        rejected = before | refused.keys() | rows_refused.keys()
        also = _taking(transaction.rows, schema, found, rejected)
        for row, refusal in rows_refused.items():
            refused[row] = _why(schema, refusal, rejected, also.get(row, ""))
        found = _attempt(transaction, schema, stages, origin)
    return refused | _gone_with(transaction.rows, schema, stages)


def _gone_with(rows: Rows, schema: Schema, stages: Sequence[Stage]) -> dict[RowId, Refused]:
    """The written rows that are there no more, for what was deleted has taken them along. The device had
    deleted that before it wrote them, and was shown it again for another's sake."""
    found: dict[RowId, Refused] = {}
    deleted = {stage.table for stage in stages if stage.form == "delete" and any(live_rows(schema, stage))}
    if not deleted:
        return found
    taken = taken_along(schema, deleted)
    for stage in stages:
        if stage.form != "delete" and stage.table in taken:
            found |= gone(rows, stage.table, [key for _, key in live_rows(schema, stage)])
    return found


def gone(rows: Rows, table: int, keys: Sequence[Key]) -> dict[RowId, Refused]:
    """Those of these rows that are not there, refused because they went with others."""
    there = {tuple(key) for key in rows.find(table, keys, [])} if keys else set()
    return {(table, key): GONE_WITH for key in keys if key not in there}


def _attempt(
    transaction: WriteTransaction, schema: Schema, stages: Sequence[Stage], origin: str
) -> list[Refusal]:
    writes = [stage for stage in stages if stage.form != "delete"]
    deletes = [stage for stage in stages if stage.form == "delete"]
    writes.sort(key=lambda stage: (schema.rank[stage.table], stage.form))
    deletes.sort(key=lambda stage: -schema.rank[stage.table])
    return transaction.rows.apply([*writes, *deletes], origin)


def _by_stage(found: Sequence[Refusal]) -> list[tuple[Stage, list[Refusal]]]:
    groups: dict[int, tuple[Stage, list[Refusal]]] = {}
    for refusal in found:
        groups.setdefault(id(refusal.stage), (refusal.stage, []))[1].append(refusal)
    return list(groups.values())


def _taking(rows: Rows, schema: Schema, found: Sequence[Refusal], rejected: Set[RowId]) -> dict[RowId, str]:
    """Of refused deletes that would take rejected rows along: which. What a trigger said then is of such a
    row, and maybe none is on the table of the delete."""
    below, also = cascading(schema), dict[RowId, str]()
    for stage, refusals in _by_stage(found):
        those = [one.row for one in refusals if one.code != codes.LOCKED]
        if stage.form != "delete" or stage.table not in below or not those:
            continue
        keys, hlc = [stage.rows[row] for row in those], [stage.hlc[row] for row in those]
        alone = Stage(stage.table, "delete", "D", [], keys, hlc)
        rows.stage(alone)
        for child, pairs in below[stage.table]:
            for n, key in rows.children(alone, child.number, pairs):
                if (child.number, key) in rejected:
                    what = (
                        f"; it would take along the row of {child.name} with key {list(key)!r}, rejected too"
                    )
                    also.setdefault(row_id(schema, alone, n), what)
    return also


def _why(schema: Schema, refusal: Refusal, rejected: Set[RowId], also: str) -> Refused:
    """`also`: what is to be said besides what the database said."""
    parent = refusal.parent
    if parent is not None and parent in rejected:
        name = schema.by_number[parent[0]].name
        detail = f"depends on the row of {name} with key {list(parent[1])!r}, which was rejected"
        return Refused(codes.PARENT_REJECTED, detail, codes.remedy_of(codes.PARENT_REJECTED), parent)
    remedy = codes.remedy_of(refusal.code)
    return Refused(refusal.code, f"{refusal.detail}{also}", remedy, unread=refusal.stage.held)
