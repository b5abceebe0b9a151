"""From what a catalogue says to the portable schema, for databases with types and names of their own.

An adapter fills in `FoundTable`s by its queries; here they are chosen, named as devices call them, and looked
through for what keeps a table from taking part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from syncline.databases.base import foreign
from syncline.databases.base.foreign import FoundKey, IsExact
from syncline.errors import SchemaError
from syncline.hub.contract import NO_KEYS, Keys
from syncline.model.naming import folded, why_no_name
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange
from syncline.sqlitekit.acceptable import check_table
from syncline.sqlitekit.described import NoDefinition

_FAR = 10_000

MOST_COLUMNS = 1_590
"""A table with more cannot take part: PostgreSQL's have 1,600 at most, and that in which the rows of a push
are staged has some of its own."""

OTHER_KEY = (
    'name the columns of a unique index as key = ["..."] in [tables.x]: where syncline.toml names a table, it'
    " must name every table that is to take part ([tables.y] for each)"
)
"""What to do about a table without a primary key, beside giving it one."""


@dataclass(slots=True)
class FoundTable:
    """One table of the catalogue. `id` and the numbers of columns are the database's own."""

    id: int
    schema: str
    name: str
    why_not: str | None
    rank: int | None
    """Where its schema stands in the search path; None if it does not."""
    columns: dict[int, ColumnSchema] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    uniques: list[tuple[str, ...]] = field(default_factory=list)
    generated: set[str] = field(default_factory=set)
    is_part: bool = False
    """Whether it is a part of another table, which takes part or is told itself."""

    @property
    def is_told(self) -> bool:
        """Whether it is worth a note that it takes no part."""
        return bool(self.why_not) and not self.is_part

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"

    def add_key(self, numbers: Sequence[int], *, primary: bool) -> None:
        """A primary key or unique index, unless it has columns that are not the table's."""
        if any(number not in self.columns for number in numbers):
            return
        names = tuple(dict.fromkeys(self.columns[number].name for number in numbers))
        if primary:
            self.key = names
        else:
            self.uniques.append(names)


def meant(name: str, places: Mapping[str, str]) -> str:
    """The end of a sentence on a name that is no table's: which may be meant. `places`: names of the tables
    that there are, in lower case, and what to call each."""
    near = get_close_matches(name.lower(), places, 1, 0.7)
    return f"; is {places[near[0]]} meant?" if near else ""


@dataclass(frozen=True, slots=True)
class Reflection:
    """The schema, and a sentence for each table that was left out."""

    schema: Schema
    notes: tuple[str, ...]
    types: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Types of columns that may get another name, see `wider.NamedTypes`."""


class Taking(NamedTuple):
    """What is recorded of a table that takes part: its full name now (None if no table has its id), what it
    was prepared with for a key, its id, and its full name when it was prepared."""

    name: str | None
    key: Sequence[str]
    id: int
    former: str


class Selection:
    """The tables that are wanted, by `name` or `schema.name`; with None all that can take part."""

    def __init__(
        self,
        everything: Sequence[FoundTable],
        wanted: Sequence[str] | None,
        keys: Keys = NO_KEYS,
        taking: Sequence[Taking] = (),
    ) -> None:
        """`keys` are chosen by the configuration; those of tables that are `taking` part are what tables
        without a primary key were prepared with."""
        self._wanted, self._keys = wanted is not None, keys
        self._kept = {one.name: one.key for one in taking if one.name is not None}
        self._recorded = {one.id: one.former for one in taking}
        self._trouble: list[tuple[str, str]] = []
        self.types: dict[str, Sequence[Any]] = {}
        chosen = {name: self._named(everything, name) for name in wanted or ()}
        found = everything if wanted is None else [table for table in chosen.values() if table is not None]
        self.tables = {table.id: table for table in found}
        self._asked = {table.id: name for name, table in chosen.items() if table is not None}

    def _named(self, everything: Sequence[FoundTable], name: str) -> FoundTable | None:
        matches = [table for table in everything if name in (table.name, table.full)]
        best = min((table.rank or _FAR for table in matches), default=0)
        matches = [table for table in matches if (table.rank or _FAR) == best]
        if len(matches) == 1:
            return matches[0]
        if matches:
            places = ", ".join(table.full for table in matches)
            self._trouble.append((name, f"{name}: is in several schemas; say which: {places}"))
        else:
            known = {t.full.lower(): t.full for t in everything}
            known |= {t.name.lower(): t.full for t in everything}
            self._trouble.append((name, f"{name}: there is no such table{meant(name, known)}"))
        return None

    def reflection(self, keys: Iterable[FoundKey], is_exact: IsExact) -> Reflection:
        """The portable schema, once columns and keys of the tables were filled in; `keys` are their foreign
        keys, `is_exact` as `foreign` takes it. SchemaError names every wanted table that cannot take
        part, and why."""
        for table in self.tables.values():
            chosen_key = self._keys.get(table.full) or self._keys.get(table.name)
            if not chosen_key and not table.key:
                chosen_key = self._kept.get(table.full)
            if chosen_key:
                table.why_not = table.why_not or _chosen_key(table, chosen_key)
            table.why_not = table.why_not or _obstacle(table)
        names = self._device_names()
        out = [table for table in self.tables.values() if table.why_not]
        if self._wanted and (self._trouble or out):
            reasons = ((self._asked[table.id], f"{table.full}: {table.why_not}") for table in out)
            raise SchemaError.of((*self._trouble, *reasons))
        chosen = {table.id: table for table in self.tables.values() if not table.why_not}
        portable: dict[int, list[ForeignKey]] = {number: [] for number in chosen}
        unchecked: dict[int, list[ForeignKey]] = {number: [] for number in chosen}
        notes = [f"left out {table.full}: {table.why_not}" for table in self.tables.values() if table.is_told]
        for found in keys:
            if found.child in chosen:
                key, other, said = _foreign_key(found, chosen, names, is_exact)
                portable[found.child] += [key] if key is not None else []
                unchecked[found.child] += [other] if other is not None else []
                notes += [f"{chosen[found.child].full}: {sentence}" for sentence in said]
        schema = arrange(
            _portable(t, names[number], portable[number], unchecked[number]) for number, t in chosen.items()
        )
        return Reflection(schema, tuple(notes), self.types)

    def _device_names(self) -> dict[int, str]:
        """What the tables that can take part are called on devices, by their ids. Where there is no name for
        all of them the newest are left out: what takes part goes on."""
        able = [table for table in self.tables.values() if not table.why_not]
        names = _names(able)
        clashes = _clashes(able, names)
        if not clashes:
            return names
        plain = {folded(table.name) for table in able if table.id in clashes}
        doubtful = [table for table in able if folded(table.name) in plain]
        taken = [table for table in able if folded(table.name) not in plain]
        for table in sorted(doubtful, key=self._age):
            tried = [*taken, table]
            why_not = _clashes(tried, _names(tried))
            if why_not:
                by_id = {one.id: one.full for one in tried}
                other, why = next(iter(why_not.items()))
                own = why_not.get(table.id) or f"has the name of {by_id[other]}, which then {why}"
                table.why_not = f"{own}; rename it"
            else:
                taken = tried
        return _names(taken)

    def _age(self, table: FoundTable) -> tuple[int, int, int]:
        """Sorts what takes part under its name before what has another one now, then what did so elsewhere,
        then what does not."""
        former = self._recorded.get(table.id)
        if former is not None:
            return int(former != table.full), 0, table.id
        return 2 + (table.full not in self._recorded.values()), table.rank or _FAR, table.id


def _chosen_key(table: FoundTable, columns: Sequence[str]) -> str | None:
    """Take the unique index on these columns for the key; why not, or None."""
    found = [names for names in (table.key, *table.uniques) if names and set(names) == set(columns)]
    named = ", ".join(columns)
    if not found:
        return f"has no unique index on exactly ({named}), whole and at once, that could be its key"
    loose = [column.name for column in table.columns.values() if column.name in columns and column.nullable]
    if loose:
        return f"has NULL in its key ({named}): ALTER TABLE ... ALTER COLUMN {loose[0]} SET NOT NULL"
    table.key = found[0]
    return None


def _obstacle(table: FoundTable) -> str | None:
    """Why a table cannot take part, or None."""
    if not table.key:
        return f"has no primary key; ALTER TABLE ... ADD PRIMARY KEY (...), or {OTHER_KEY}"
    counts = Counter(folded(column.name) for column in table.columns.values())
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        return f"has columns that differ in case alone ({', '.join(twice)}), which SQLite cannot tell apart"
    if table.generated.intersection(table.key):
        return "has a generated column in its primary key; a device cannot know its value"
    return refused_by_devices(_portable(table, table.name, (), ()), len(table.columns), MOST_COLUMNS)


def refused_by_devices(table: TableSchema, width: int, most: int) -> str | None:
    """What no device would take of a table, and what to do about it; or None. `width`: how many columns it
    has, those included that devices do not have; `most`: how many there may be."""
    if width > most:
        return f"has {width:,} columns; a table with more than {most:,} cannot take part: split it"
    why_not = why_no_name(table.name)
    if why_not is not None:
        return f"has a name that {why_not}; rename it"
    for column in table.columns:
        why_not = why_no_name(column.name)
        if why_not is not None:
            return f"has a column, {column.name[:80]!r}, whose name {why_not}; rename it"
    try:
        check_table(table)
    except NoDefinition as error:
        return f"no device would take its definition: {error}"
    return None


def _names(tables: Sequence[FoundTable]) -> dict[int, str]:
    """The plain name where it is the only one (SQLite ignores case), else schema_name."""
    counts = Counter(folded(table.name) for table in tables)
    return {
        table.id: table.name if counts[folded(table.name)] == 1 else f"{table.schema}_{table.name}"
        for table in tables
    }


def _clashes(tables: Sequence[FoundTable], names: Mapping[int, str]) -> dict[int, str]:
    """Why a table cannot have its name on a device, by the ids of tables."""
    found, by_name = dict[int, str](), dict[str, list[FoundTable]]()
    for table in tables:
        by_name.setdefault(folded(names[table.id]), []).append(table)
        why_not = why_no_name(names[table.id])
        if why_not is not None:
            found[table.id] = f"would be called {names[table.id]} on devices, which {why_not}"
    for same in by_name.values():
        for table in same if len(same) > 1 else ():
            other = next(one.full for one in same if one is not table)
            found[table.id] = f"would have one name on devices with {other}: {names[table.id]}"
    return found


def _foreign_key(
    found: FoundKey, chosen: dict[int, FoundTable], names: dict[int, str], is_exact: IsExact
) -> tuple[ForeignKey | None, ForeignKey | None, list[str]]:
    if found.parent not in chosen:
        words = foreign.words(found, chosen[found.child].columns)
        return None, None, [f"{words} points at {found.target}, which takes no part; devices do not check it"]
    child, parent = chosen[found.child].columns, chosen[found.parent].columns
    return foreign.portable(found, names[found.parent], child, parent, is_exact)


def _portable(
    table: FoundTable, name: str, foreign_keys: Sequence[ForeignKey], unchecked: Sequence[ForeignKey]
) -> TableSchema:
    columns = []
    for column in table.columns.values():
        if column.name in table.key and column.computed:  # an identity: the device's number is kept
            column = replace(column, computed=False)
        columns.append(column)
    return TableSchema(
        name=name,
        columns=tuple(columns),
        key=table.key,
        foreign_keys=tuple(foreign_keys),
        unchecked=tuple(unchecked),
        uniques=tuple(dict.fromkeys(table.uniques)),
        central_schema=table.schema,
        central_name=table.name,
        exact=False,  # triggers come and go: the writer knows what is stored otherwise
    )
