"""The rules that `init` was given, for all servers of a hub: nobody merges by others.

Kept in the ledger as JSON, by the names that the configuration uses. A policy that is a function of the
program is kept as its name alone: only a server that was given one for the same column can merge by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from syncline.errors import RulesDiffer
from syncline.hub import names
from syncline.hub.contract import Ledger, ReadLedger
from syncline.hub.contract.kept import as_kept
from syncline.hub.names import FormerNames
from syncline.merge.policies import COLUMN_POLICIES, FUNCTION, ColumnFunction, default
from syncline.merge.rules import Table
from syncline.model.forms import Choice, chosen
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import Value

SETTING = "rules"
CHANGED = "its rules are others from now on; every server of the hub takes them over"
"""What `init` says of a table whose rules it was given anew."""


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    function: str


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    merge: dict[str, str | _Function] | str
    inserts: str | None
    deletes: str
    local_rows: str | None
    key: list[str]
    forms: dict[str, str] | str


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    tables: dict[str, _Table] | None
    forms: dict[str, str]


def plain_of(text: str) -> dict[str, Any]:
    """What is kept, looked at whether it is what this module writes. LedgerDamaged."""
    with as_kept("a setting"):
        plain: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(text, type=_Kept))
        return plain


@dataclass(frozen=True, slots=True)
class Rules:
    """The tables of a configuration (None: all that can take part), and the forms of all of them."""

    tables: Mapping[str, Table] | None = None
    forms: Choice = field(default_factory=dict)

    @classmethod
    def kept(cls, text: str) -> Rules:
        """Those that are kept, to be compared: functions are named alone."""
        plain = plain_of(text)
        tables = plain["tables"]
        return cls(
            tables if tables is None else {name: _filled(_named(said)) for name, said in tables.items()},
            plain["forms"],
        )

    @property
    def text(self) -> str:
        """As it is kept: equal for equal rules."""
        plain = None
        if self.tables is not None:
            plain = {name: _plain(table) for name, table in self.tables.items()}
        return json.dumps({"tables": plain, "forms": dict(self.forms)}, sort_keys=True)

    def differing(self, other: Rules, schema: Schema, former: FormerNames) -> list[str]:
        """The tables of this schema that have other rules there, by the names that a configuration says."""
        return [
            names.configured(table)
            for table in schema.tables
            if self._of(former.rules(table, self.tables or {}))
            != other._of(former.rules(table, other.tables or {}))
        ]

    def _of(self, table: Table) -> dict[str, Any]:
        """What holds of one table, without what it says needlessly."""
        plain = _plain(table)
        if isinstance(table.merge, Mapping):
            plain["merge"] = {
                name: said for name, said in plain["merge"].items() if said != default(COLUMN_POLICIES).name
            }
        return plain | {"forms": {**self.forms, **chosen(table.forms)}}


def _plain(table: Table) -> dict[str, Any]:
    merge: Any = table.merge
    if isinstance(merge, Mapping):
        merge = {name: {FUNCTION: _called(how)} if callable(how) else how for name, how in merge.items()}
    forms = table.forms if isinstance(table.forms, str) else dict(table.forms)
    return {
        "merge": merge,
        "inserts": table.inserts,
        "deletes": table.deletes,
        "local_rows": table.local_rows,
        "key": list(table.key),
        "forms": forms,
    }


def _called(function: ColumnFunction) -> str:
    if isinstance(function, _NameAlone):
        return function.name
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"


def _is_called(function: ColumnFunction | None, kept: str) -> bool:
    """Whether it has the kept name. A module is called otherwise where it is the program itself."""
    return function is not None and _called(function).rpartition(".")[2] == kept.rpartition(".")[2]


def read(ledger: ReadLedger) -> str:
    """What `init` was given, as it is kept; '' if that was before rules were kept."""
    return ledger.setting(SETTING) or ""


def note(ledger: Ledger, rules: Rules) -> None:
    """Keep what `init` was given."""
    if read(ledger) != rules.text:
        ledger.set(SETTING, rules.text)


def taken(kept: str, given: Rules) -> Rules:
    """The rules in force, by what is kept of them and what this server was given: functions are its own, of
    the same names. RulesDiffer if it has not got them, or was given some where `init` was given something
    else."""
    if not kept:
        return given
    plain = plain_of(kept)
    if plain["tables"] is None:
        tables = None
    else:
        own = given.tables or {}
        tables = {name: _taken(name, said, own.get(name, Table())) for name, said in plain["tables"].items()}
    for name, table in (given.tables or {}).items():
        beside = Table() if tables is None else tables.get(name, Table())
        for column, function in _functions(table).items():
            if _functions(beside).get(column) is not function:
                raise _differ(f"merge.{column} of {name} is a function of this program, and was none at init")
    return Rules(tables, plain["forms"])


def fitting(rules: Table, table: TableSchema) -> Table:
    """The rules without what they say of columns that are not there yet: `init` keeps them beforehand."""
    if isinstance(rules.merge, str):
        return rules
    present = {column.name for column in table.columns}
    return replace(rules, merge={name: how for name, how in rules.merge.items() if name in present})


def _taken(name: str, plain: dict[str, Any], own: Table) -> Table:
    merge: Any = plain["merge"]
    if isinstance(merge, Mapping):
        functions = _functions(own)
        for column, said in merge.items():
            if not isinstance(said, str) and not _is_called(functions.get(column), said[FUNCTION]):
                raise _differ(
                    f"merge.{column} of {name} is the function {said[FUNCTION]} of a program, which this"
                    " server was not given"
                )
        merge = {c: said if isinstance(said, str) else functions[c] for c, said in merge.items()}
    return _filled({**plain, "merge": merge})


@dataclass(frozen=True, slots=True)
class _NameAlone:
    """A function of which its name alone is kept: it is compared, and called by nobody."""

    name: str

    def __call__(self, base: Value, ours: Value, theirs: Value) -> Value:
        raise TypeError(f"of {self.name} the name alone is kept")


def _named(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kept rules of a table, with something to stand for each function."""
    if isinstance(said["merge"], str):
        return said
    merge = {
        name: how if isinstance(how, str) else _NameAlone(how[FUNCTION])
        for name, how in said["merge"].items()
    }
    return {**said, "merge": merge}


def _filled(plain: Mapping[str, Any]) -> Table:
    return Table(**{**plain, "key": tuple(plain["key"])})


def _functions(table: Table) -> dict[str, ColumnFunction]:
    if isinstance(table.merge, str):
        return {}
    return {name: how for name, how in table.merge.items() if callable(how)}


def _differ(detail: str) -> RulesDiffer:
    return RulesDiffer(f"the rules that init was given last are not this server's: {detail}")
