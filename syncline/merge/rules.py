"""The rules a user chooses, and their resolved form for one table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from syncline.errors import ConfigurationError, SynclineError
from syncline.model.schema import TableSchema
from syncline.model.values import Value, mask_of

ColumnFunction = Callable[[Value, Value, Value], Value]
"""(base, ours, theirs) -> value. `ours` is the hub's present value, `theirs` what the replica sent, `base`
what the replica had seen. Called only for a conflict. Must be pure; raise `Reject` to refuse the edit."""

ColumnPolicy = Literal["lww", "sum", "max", "min", "hub_wins", "replica_wins", "review"]
RowPolicy = Literal["row", "hub_wins", "replica_wins", "review"]
Deletes = Literal["newer_wins", "delete_wins", "update_wins"]

COLUMN_POLICIES = ("lww", "sum", "max", "min", "hub_wins", "replica_wins", "review")
ROW_POLICIES = ("row", "hub_wins", "replica_wins", "review")
DELETES = ("newer_wins", "delete_wins", "update_wins")
NUMERIC_TYPES = frozenset({"any", "integer", "float", "decimal"})


class Reject(SynclineError):
    """Raised by a merge function: the edit is rejected with this reason and kept on the replica."""

    code, title = "rejected_by_rule", "A merge rule refused the edit"
    remedy = "Change the value so that the rule accepts it, or discard the edit."


@dataclass(frozen=True, slots=True)
class Table:
    """How one table is merged.

    `merge` maps columns to a policy (`lww`, `sum`, `max`, `min`, `hub_wins`, `replica_wins`, `review`, or
    a function of base, ours, theirs); columns not named are `lww`. A single word holds for whole rows:
    `row` (the newer row wins as a whole), `hub_wins`, `replica_wins`, `review`; `lww` means the default.
    `deletes` settles an update against a delete: `newer_wins`, `delete_wins`, `update_wins`.
    """

    merge: Mapping[str, str | ColumnFunction] | str = field(default_factory=dict)
    deletes: str = "newer_wins"


@dataclass(frozen=True, slots=True)
class TableRules:
    """`Table` resolved against a schema. `row` is set when rows compete as a whole.

    `columns[i]` belongs to `TableSchema.values[i]`. `computed_mask` has the columns whose result depends
    on the present value even without a conflict (`sum`, `max`, `min`).
    """

    row: RowPolicy | None
    columns: tuple[ColumnPolicy | ColumnFunction, ...]
    deletes: Deletes
    computed_mask: int
    numeric: tuple[bool, ...]


def resolve(schema: TableSchema, rules: Table) -> TableRules:
    """Check a table's rules against its schema. Raises ConfigurationError naming what is wrong."""
    if rules.deletes not in DELETES:
        raise ConfigurationError(_unknown("deletes", rules.deletes, DELETES, schema.name))
    numeric = tuple(column.type in NUMERIC_TYPES for column in schema.values)
    if isinstance(rules.merge, str):
        if rules.merge not in (*ROW_POLICIES, "lww"):
            raise ConfigurationError(_unknown("merge", rules.merge, (*ROW_POLICIES, "lww"), schema.name))
        row = None if rules.merge == "lww" else rules.merge
        policies = ("lww",) * len(schema.values)
        return TableRules(row, policies, rules.deletes, 0, numeric)  # type: ignore[arg-type]
    names = [column.name for column in schema.values]
    for name, policy in rules.merge.items():
        if name not in names:
            what = "is part of the key" if name in schema.key else "does not exist"
            raise ConfigurationError(_unknown(f"merge.{name} (it {what}): column", name, names, schema.name))
        if not callable(policy) and policy not in COLUMN_POLICIES:
            raise ConfigurationError(_unknown(f"merge.{name}", policy, COLUMN_POLICIES, schema.name))
        if policy == "sum" and not numeric[names.index(name)]:
            column = schema.column(name)
            raise ConfigurationError(f"table {schema.name}: {name} is {column.type}, and only numbers add up")
    columns = tuple(rules.merge.get(name, "lww") for name in names)
    computed = mask_of(i for i, policy in enumerate(columns) if policy in ("sum", "max", "min"))
    return TableRules(None, columns, rules.deletes, computed, numeric)  # type: ignore[arg-type]


def _unknown(what: str, given: object, known: tuple[str, ...] | list[str], table: str) -> str:
    near = difflib.get_close_matches(str(given), known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"table {table}: {what} {given!r} is none of {', '.join(known)}{hint}"
