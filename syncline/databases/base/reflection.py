"""From what a catalogue says to the portable schema, for databases with types and names of their own.

An adapter fills in `FoundTable`s by its queries; here they are chosen, named as devices call them, and looked
through for what keeps a table from taking part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from syncline.databases.base import foreign
from syncline.databases.base.foreign import FoundKey, IsExact
from syncline.errors import SchemaError
from syncline.hub.contract import NO_KEYS, Keys
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange

_OWN_NAMES = ("sqlite_", "_sync_")
"""How no table on a device may be called."""

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
        names = tuple(self.columns[number].name for number in numbers)
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


class Selection:
    """The tables that are wanted, by `name` or `schema.name`; with None all that can take part."""

    def __init__(
        self,
        everything: Sequence[FoundTable],
        wanted: Sequence[str] | None,
        keys: Keys = NO_KEYS,
        kept: Keys = NO_KEYS,
    ) -> None:
        """`keys` are chosen by the configuration; those `kept`, by full names, are what tables without a
        primary key were prepared with."""
        self._wanted, self._keys, self._kept = wanted is not None, keys, kept
        self._trouble: list[tuple[str, str]] = []
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
        out = [table for table in self.tables.values() if table.why_not]
        if self._wanted and (self._trouble or out):
            reasons = ((self._asked[table.id], f"{table.full}: {table.why_not}") for table in out)
            raise SchemaError.of((*self._trouble, *reasons))
        chosen = {table.id: table for table in self.tables.values() if not table.why_not}
        refuse_wide({table.full: len(table.columns) for table in chosen.values()}, MOST_COLUMNS)
        names = _device_names(list(chosen.values()))
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
        return Reflection(schema, tuple(notes))


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


def refuse_wide(widths: Mapping[str, int], most: int) -> None:
    """SchemaError for tables, by name, with more columns than this: no push of theirs could be staged."""
    wide = [f"{name} has {width:,} columns" for name, width in widths.items() if width > most]
    if wide:
        raise SchemaError(
            "; ".join(wide),
            remedy=f"A table with more than {most:,} columns cannot take part: name the tables that shall,"
            " without it.",
        )


def _obstacle(table: FoundTable) -> str | None:
    """Why a table cannot take part, or None."""
    if not table.key:
        return f"has no primary key; ALTER TABLE ... ADD PRIMARY KEY (...), or {OTHER_KEY}"
    folded = [column.name.lower() for column in table.columns.values()]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        return f"has columns that differ in case alone ({', '.join(twice)}), which SQLite cannot tell apart"
    if table.name.lower().startswith(_OWN_NAMES):
        return "has a name that is reserved on the device (sqlite_..., _sync_...); rename it"
    if table.generated.intersection(table.key):
        return "has a generated column in its primary key; a device cannot know its value"
    return None


def _device_names(tables: Sequence[FoundTable]) -> dict[int, str]:
    """The plain name where it is the only one (SQLite ignores case), else schema_name."""
    folded = [table.name.lower() for table in tables]
    names = {
        table.id: table.name if folded.count(table.name.lower()) == 1 else f"{table.schema}_{table.name}"
        for table in tables
    }
    seen: dict[str, str] = {}
    for table in tables:
        name = names[table.id].lower()
        if name in seen:
            raise SchemaError(f"{table.full} and {seen[name]} would have one name on a device; leave one out")
        seen[name] = table.full
    return names


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
