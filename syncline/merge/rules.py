"""The rules a user chooses, and their resolved form for one table."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from syncline.errors import ConfigurationError
from syncline.merge.policies import (
    COLUMN_POLICIES,
    DELETE_POLICIES,
    INSERT_POLICIES,
    NUMBERS,
    ROW_POLICIES,
    ColumnFunction,
    ColumnPolicy,
    DeletePolicy,
    InsertPolicy,
    RowPolicy,
    default,
    from_function,
)
from syncline.model.local import LOCAL_ROWS
from syncline.model.schema import TableSchema
from syncline.model.values import mask_of
from syncline.sqlitekit.tables import affinity_of

Policy = TypeVar("Policy", ColumnPolicy, RowPolicy, DeletePolicy, InsertPolicy)


@dataclass(frozen=True, slots=True)
class Table:
    """How one table is merged.

    `merge` maps columns to the name of a policy (`merge.policies.COLUMN_POLICIES`) or to a function of
    base, ours, theirs; columns not named are `lww`. A single name holds for whole rows (`ROW_POLICIES`).
    `deletes` settles an update against a delete (`DELETE_POLICIES`). `docs/policies.md` lists them all.
    `inserts` is what an insert is that meets another one of the same key: `same_row`, a concurrent edit of
    one row, or `key_taken`, another thing whose key is not free: it is rejected (`INSERT_POLICIES`).
    Without it a single integer key, which devices count up by themselves, is `key_taken`, unless it is a
    foreign key, and any other `same_row`.
    `local_rows` is what a device does with rows of its own tables that refer to one of this table which the
    centre deleted: `refuse` (the row stays there, and is said to wait), `cascade` or `null`. `key` names
    the columns of a unique index, none of which can be NULL, that tells the rows of a table without a
    primary key apart. `forms` is how devices spell its values in their
    files (`docs/types.md`), beside those of the hub."""

    merge: Mapping[str, str | ColumnFunction] | str = field(default_factory=dict)
    inserts: str | None = field(default=None, kw_only=True)
    deletes: str = default(DELETE_POLICIES).name
    local_rows: str | None = None
    key: Sequence[str] = ()
    forms: Mapping[str, str] | str = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ConfigurationError for what is of another type; whether it fits a table is seen by `resolve`."""
        chosen = self.merge.items() if isinstance(self.merge, Mapping) else [("", self.merge)]
        for column, policy in chosen:
            if isinstance(policy, str) or (callable(policy) and column != ""):
                _check_plain_function(column, policy)
            else:
                where = f"merge.{column}" if column else "merge"
                raise _wrong_type(where, policy, "a policy's name, or for a column a function")
        for name, kinds in _KINDS.items():
            if not isinstance(given := getattr(self, name), kinds):
                raise _wrong_type(name, given, _KIND_WORDS[name])
        if isinstance(self.key, str) or not all(isinstance(column, str) for column in self.key):
            raise _wrong_type("key", self.key, _KIND_WORDS["key"])


_KINDS: Mapping[str, tuple[type, ...]] = {
    "inserts": (str, type(None)),
    "deletes": (str,),
    "local_rows": (str, type(None)),
    "key": (Sequence,),
    "forms": (str, Mapping),
}
_KIND_WORDS = {
    "inserts": "a policy's name, or None",
    "deletes": "a policy's name",
    "local_rows": "a word, or None",
    "key": "a list of the names of columns",
    "forms": "a form for each kind, or the name of a preset",
}


def _wrong_type(where: str, given: object, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where} of a table is {type(given).__name__}; it is to be {expected}",
        remedy="Correct what Table(...) is given.",
    )


def _check_plain_function(column: object, policy: object) -> None:
    if not isinstance(column, str):
        raise _wrong_type("a column in merge", column, "a name")
    if inspect.iscoroutinefunction(policy):
        raise ConfigurationError(
            f"merge.{column} is a coroutine function, and is called by nobody who could wait for it",
            remedy="Give it a plain function of base, ours and theirs.",
        )


@dataclass(frozen=True, slots=True)
class TableRules:
    """`Table` resolved against a schema.

    `columns` has the policy of each value column by its number, `numeric` whether its values are compared
    as numbers. `computed_mask` has the columns whose result depends on the present value even without a
    conflict. `key_taken`: an insert whose key another one has is rejected.
    """

    row: RowPolicy
    columns: Mapping[int, ColumnPolicy]
    deletes: DeletePolicy
    computed_mask: int
    numeric: Mapping[int, bool]
    key_taken: bool = False


def resolve(schema: TableSchema, rules: Table) -> TableRules:
    """Check a table's rules against its schema. Raises ConfigurationError naming what is wrong."""
    deletes = _named(DELETE_POLICIES, rules.deletes, "deletes", schema)
    if rules.local_rows not in (None, *LOCAL_ROWS):
        raise ConfigurationError(_unknown("local_rows", rules.local_rows, LOCAL_ROWS, schema.name))
    inserts = rules.inserts
    if inserts is None:
        inserts = "key_taken" if is_counted_up(schema) else "same_row"
    rejects = _named(INSERT_POLICIES, inserts, "inserts", schema).rejects
    chosen: Mapping[str, str | ColumnFunction] = {}
    row = default(ROW_POLICIES)
    if isinstance(rules.merge, str):
        row = _named(ROW_POLICIES, rules.merge, "merge", schema)
    else:
        chosen = rules.merge
    names = [column.name for column in schema.values.values()]
    for name in chosen:
        if name not in names:
            what = "is part of the key" if name in schema.key else "does not exist"
            raise ConfigurationError(_unknown(f"merge.{name} (it {what}): column", name, names, schema.name))
    columns = {
        number: _column(schema, column.name, chosen.get(column.name))
        for number, column in schema.values.items()
    }
    computed = mask_of(number for number, policy in columns.items() if policy.uses_present)
    numeric = {number: column.type in NUMBERS for number, column in schema.values.items()}
    return TableRules(row, columns, deletes, computed, numeric, rejects)


def is_counted_up(schema: TableSchema) -> bool:
    """Whether the key is one integer that says nothing but which row it is, so that two who insert rows at
    the same time mean two things by one number."""
    pointing = {name for key in schema.foreign_keys for name in key.columns}
    if len(schema.key) != 1 or schema.key[0] in pointing:
        return False
    (key,) = schema.keys
    return key.type == "integer" or (key.type == "any" and affinity_of(key.declared) == "INTEGER")


def _column(schema: TableSchema, name: str, chosen: str | ColumnFunction | None) -> ColumnPolicy:
    if chosen is None:
        return default(COLUMN_POLICIES)
    if callable(chosen):
        return from_function(chosen)
    policy = _named(COLUMN_POLICIES, chosen, f"merge.{name}", schema)
    kind = schema.column(name).type
    if policy.types is not None and kind not in policy.types:
        raise ConfigurationError(f"table {schema.name}: {name} is {kind}, and {policy.types_reason}")
    return policy


def _named(policies: Mapping[str, Policy], name: str, where: str, schema: TableSchema) -> Policy:
    policy = policies.get(str(name))
    if policy is None:
        raise ConfigurationError(_unknown(where, name, policies, schema.name))
    return policy


def _unknown(what: str, given: object, known: Iterable[str], table: str) -> str:
    near = difflib.get_close_matches(str(given), list(known))
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"table {table}: {what} {given!r} is none of {', '.join(known)}{hint}"
