"""A centre whose tables another program alters: what it holds by now, and the statements that change it.

Tables and columns have ids of this module's own, independent of the numbers that the hub gives them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from syncline.testing.office import Office, Refused

NAMES = ("crop", "soil", "depth", "colour", "grade", "owner")
"""New names of columns come from so few that a name comes back for another column."""
TABLE_NAMES = ("barn", "field", "herd", "well")
WIDER = {"INTEGER": "BIGINT", "VARCHAR(20)": "TEXT"}
"""Types, and those that hold all of their values."""


@dataclass
class Column:
    """One column. `parent` is the id of the table that it points at. A `counted` one takes differences."""

    id: int
    name: str
    declared: str
    rest: str = ""
    parent: int | None = None
    action: str = ""
    in_key: bool = False
    counted: bool = False

    @property
    def is_text(self) -> bool:
        return "INT" not in self.declared


@dataclass
class CentreTable:
    """One table. A `fixed` one has the same rows for ever and is never dropped."""

    id: int
    name: str
    columns: list[Column]
    options: str = ""
    fixed: bool = False
    indexes: dict[str, Column] = field(default_factory=dict)
    """By name, what each is on."""

    @property
    def key(self) -> list[Column]:
        return [column for column in self.columns if column.in_key]

    @property
    def values(self) -> list[Column]:
        return [column for column in self.columns if not column.in_key]

    @property
    def names(self) -> tuple[str, ...]:
        """Its own, and those of its columns by id."""
        return (self.name, *(column.name for column in sorted(self.columns, key=lambda one: one.id)))


class Altered:
    """The tables of the centre. Every method of `CHANGES` is one change of another program, or none where it
    would not be allowed; it says what was done."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.tables: dict[int, CentreTable] = {}
        self.seen: dict[int, tuple[str, ...]] = {}
        """The names of the tables and columns that the hub has seen last, by the table's id."""
        self.left: set[str] = set()
        """Names that were given up since: nobody could tell whatever takes them from what had them."""
        self._ids = 0
        for table in self._first():
            self._create(table)
        self.office.run("INSERT INTO area VALUES (1, 'north', NULL), (2, 'south', 1)")
        self.office.run("INSERT INTO farm (id, area) VALUES ('home', 1), ('away', 2)")
        self.office.run("INSERT INTO tally (id) VALUES (1), (2), (3)")

    def _first(self) -> Iterator[CentreTable]:
        area = self._table("area", [self._key("id", "INTEGER"), self._column("name", "TEXT")])
        area.columns.append(self._column("above", "INTEGER", parent=area.id, action="ON DELETE SET NULL"))
        yield area
        farm = self._table("farm", [self._key("id", "TEXT"), self._column("note", "TEXT")])
        farm.columns.append(self._column("area", "INTEGER", parent=area.id, action="ON DELETE CASCADE"))
        farm.columns += [
            self._column("size", "INTEGER"),
            self._column("word", "TEXT", "NOT NULL DEFAULT 'x'"),
        ]
        yield farm
        visit = self._table("visit", [self._key("farm", "TEXT"), self._key("day", "INTEGER")])
        visit.columns[0].parent, visit.options = farm.id, self.office.without_rowid()
        visit.columns += [self._column("state", "TEXT"), self._column("remark", self.office.any_type)]
        yield visit
        tally = self._table("tally", [self._key("id", "INTEGER"), self._column("word", "TEXT")])
        for name, rest in (("cows", "NOT NULL DEFAULT 0"), ("hens", "DEFAULT 0")):
            tally.columns.append(self._column(name, "INTEGER", rest))
            tally.columns[-1].counted = True
        tally.fixed = True
        yield tally

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _table(self, name: str, columns: list[Column]) -> CentreTable:
        return CentreTable(self._id(), name, columns)

    def _column(
        self, name: str, declared: str, rest: str = "", parent: int | None = None, action: str = ""
    ) -> Column:
        return Column(self._id(), name, declared, rest, parent, action)

    def _key(self, name: str, declared: str) -> Column:
        return Column(self._id(), name, declared, "NOT NULL", in_key=True)

    # Statements

    def saw(self) -> None:
        """The hub has seen the tables as they are now."""
        self.seen = {table.id: table.names for table in self.tables.values() if self.is_captured(table)}
        self.left.clear()

    def is_settled(self, table: CentreTable) -> bool:
        """Whether the hub has seen the names that table and columns have now; or never saw the table."""
        return table.id not in self.seen or (self.is_captured(table) and self.seen[table.id] == table.names)

    def is_captured(self, table: CentreTable) -> bool:
        """Whether the hub's triggers are on the table."""
        return bool(self.office.triggers(table.name))

    def _create(self, table: CentreTable) -> None:
        self.office.run(self._created(table, table.name))
        self.tables[table.id] = table

    def _created(self, table: CentreTable, name: str) -> str:
        parts = [self._defined(column) for column in table.columns]
        key = ", ".join(column.name for column in table.key)
        body = ", ".join([*parts, f"PRIMARY KEY ({key})"])
        return f"CREATE TABLE {name} ({body}) {table.options}".rstrip()

    def _defined(self, column: Column) -> str:
        return " ".join(filter(None, (column.name, column.declared, column.rest, self._points(column))))

    def _points(self, column: Column) -> str:
        if column.parent is None:
            return ""
        parent = self.tables.get(column.parent)
        name, key = (parent.name, parent.key[0].name) if parent is not None else ("area", "id")
        return f"REFERENCES {name} ({key}) {column.action}".rstrip()

    # Rows

    def write(self, rng: random.Random, serial: int, table: CentreTable) -> str:
        """One statement of another program on a table; what it was. Raises Refused."""
        verb = rng.choice(["insert", "update", "update", "delete"])
        if verb == "insert" and not table.fixed:
            columns = [*table.key, *(c for c in table.values if c.parent is None and not c.counted)]
            values = [self._value(rng, serial, column) for column in columns]
            names = ", ".join(column.name for column in columns)
            sql = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(values))})"
        elif verb == "delete" and not table.fixed and self._all_captured():
            sql, values = (
                f"DELETE FROM {table.name} WHERE length(CAST({table.key[0].name} AS TEXT)) % 2 = ?",
                [rng.randint(0, 1)],
            )
        else:
            columns = [column for column in table.values if not column.counted]
            keys = self.office.rows(f"SELECT {table.key[0].name} FROM {table.name}")
            if not columns or not keys:
                return "nothing"
            column = rng.choice(columns)
            sql, values = f"UPDATE {table.name} SET {column.name} = ?", [self._value(rng, serial, column)]
            if rng.random() < 0.8:
                sql, values = f"{sql} WHERE {table.key[0].name} = ?", [*values, rng.choice(keys)[0]]
        self.office.run(sql, *values)
        return f"{sql} {values}"

    def _all_captured(self) -> bool:
        """Nobody could tell what was deleted where the hub's triggers went with the table."""
        return all(self.is_captured(table) for table in self.tables.values() if table.id in self.seen)

    def _value(self, rng: random.Random, serial: int, column: Column) -> object:
        if column.parent is not None:
            above = self.tables[column.parent]
            rows = self.office.rows(f"SELECT {above.key[0].name} FROM {above.name}")
            return rng.choice(rows)[0] if rows and rng.random() < 0.8 else None
        number = rng.randint(1, 12) if rng.random() < 0.5 else 5000 + serial
        return number if "INT" in column.declared else rng.choice(["x1", "x2", f"c{serial}"])

    # Changes

    def change(self, rng: random.Random) -> str:
        """One change at random; what it was, empty if there was none."""
        return rng.choice(self._changes())(rng)

    def _changes(self) -> list[Callable[[random.Random], str]]:
        return [
            self._add_column, self._add_column, self._add_column, self._new_table, self._new_parent,
            self._rename_column, self._rename_column, self._swap_columns, self._rename_table,
            self._drop_column, self._drop_column, self._drop_table, self._index, self._index, self._rebuild,
            *([self._widen] * 2 if self.office.can_alter else []),
        ]  # fmt: skip

    def _any(self, rng: random.Random) -> CentreTable:
        return rng.choice(list(self.tables.values()))

    def _free(self, rng: random.Random, table: CentreTable) -> str:
        taken = {column.name for column in table.columns} | self.left
        return rng.choice([name for name in (*NAMES, f"c{self._ids}") if name not in taken])

    def _free_table(self, rng: random.Random) -> str:
        taken = {table.name for table in self.tables.values()} | self.left
        return rng.choice([name for name in (*TABLE_NAMES, f"t{self._ids}") if name not in taken])

    def _fresh(self, rng: random.Random, name: str) -> Column:
        declared = rng.choice(self.office.types)
        default = "7" if "INT" in declared else "'new'"
        rest = rng.choice(["", "", f"DEFAULT {default}", f"NOT NULL DEFAULT {default}"])
        return self._column(name, declared, rest)

    def _add(self, table: CentreTable, column: Column) -> str:
        self.office.run(f"ALTER TABLE {table.name} ADD COLUMN {self._defined(column)}")
        table.columns.append(column)
        return f"{table.name}: added {self._defined(column)}"

    def _add_column(self, rng: random.Random) -> str:
        table = self._any(rng)
        column = self._fresh(rng, self._free(rng, table))
        parents = [one for one in self.tables.values() if len(one.key) == 1]
        if rng.random() < 0.25 and not table.fixed:
            parent = rng.choice(parents)
            column.parent, column.rest, column.declared = parent.id, "", parent.key[0].declared
        return self._add(table, column)

    def _new_table(self, rng: random.Random) -> str:
        table = self._table(self._free_table(rng), [self._key("id", rng.choice(["INTEGER", "TEXT"]))])
        for name in rng.sample(NAMES, rng.randint(0, 3)):
            table.columns.append(self._fresh(rng, name))
        if rng.random() < 0.6:
            parent = rng.choice([one for one in self.tables.values() if len(one.key) == 1])
            action = rng.choice(["", "ON DELETE CASCADE", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED"])
            table.columns.append(self._column("belongs", parent.key[0].declared, "", parent.id, action))
        table.options = self.office.without_rowid() if rng.random() < 0.2 else ""
        self._create(table)
        return f"new table {table.name}"

    def _new_parent(self, rng: random.Random) -> str:
        table = self._table(self._free_table(rng), [self._key("id", "TEXT"), self._column("grade", "TEXT")])
        child = self._any(rng)
        self._create(table)
        self.office.run(f"INSERT INTO {table.name} (id) VALUES ('p1'), ('p2')")
        if child.fixed:
            return f"new table {table.name}"
        column = self._column(self._free(rng, child), "TEXT", parent=table.id, action=rng.choice(
            ["", "ON DELETE CASCADE", "ON DELETE SET NULL"]))  # fmt: skip
        said = self._add(child, column)
        if rng.random() < 0.5:
            self.office.run(f"UPDATE {child.name} SET {column.name} = 'p1'")
        return f"new parent {said}"

    def _rename_column(self, rng: random.Random) -> str:
        table = self._any(rng)
        if self._lost(table):
            return ""
        column, name = rng.choice(table.columns), self._free(rng, table)
        self._rename(table, column, name)
        return f"{table.name}: column renamed to {name}"

    def _lost(self, table: CentreTable) -> bool:
        """Whether nobody could tell a rename from a new table or column: the hub's triggers went with the
        table that was there before, and it has not looked since."""
        return not self.is_captured(table) and table.id in self.seen

    def _rename(self, table: CentreTable, column: Column, name: str) -> None:
        self.office.run(f"ALTER TABLE {table.name} RENAME COLUMN {column.name} TO {name}")
        column.name = name

    def _swap_columns(self, rng: random.Random) -> str:
        table = self._any(rng)
        if len(table.values) < 2 or self._lost(table):
            return ""
        if any(column.counted for column in table.values):
            return ""  # the configuration would hold for the other one, and nobody be told
        one, other = rng.sample(table.values, 2)
        names = one.name, other.name
        self._rename(table, one, "aside")
        self._rename(table, other, names[0])
        self._rename(table, one, names[1])
        return f"{table.name}: {names[0]} and {names[1]} traded their names"

    def _rename_table(self, rng: random.Random) -> str:
        table, name = self._any(rng), self._free_table(rng)
        if self._lost(table):
            return ""
        self.office.run(f"ALTER TABLE {table.name} RENAME TO {name}")
        former, table.name = table.name, name
        return f"table {former} renamed to {name}"

    def _drop_column(self, rng: random.Random) -> str:
        table = self._any(rng)
        if not self.is_settled(table):
            return ""
        left = [column for column in table.values if not self._is_cows(table, column)]
        if not left:
            return ""
        column = rng.choice(left)
        for name, indexed in list(table.indexes.items()):
            if indexed is column:
                self._drop_index(table, name)
        table.columns.remove(column)
        self.left.add(column.name)
        if self.office.can_alter:
            self.office.run(f"ALTER TABLE {table.name} DROP COLUMN {column.name}")
        elif column.parent is None and rng.random() < 0.3:
            for name in self.office.triggers(table.name):
                self.office.drop_trigger(name, table.name)
            self.office.run(f"ALTER TABLE {table.name} DROP COLUMN {column.name}")
        else:
            self._replace(table)
        return f"{table.name}: dropped {column.name}"

    @staticmethod
    def _is_cows(table: CentreTable, column: Column) -> bool:
        return table.fixed and column is next(one for one in table.columns if one.counted)

    def _rebuild(self, rng: random.Random) -> str:
        """NOT NULL and foreign keys are loosened; where the table is made anew for it, its columns are
        shuffled."""
        table = self._any(rng)
        if not self.is_settled(table):
            return ""
        loosened, freed = [], []
        for column in table.values:
            if rng.random() < 0.5:
                loosened += [column] if "NOT NULL " in column.rest else []
                column.rest = column.rest.replace("NOT NULL ", "")
            if rng.random() < 0.3:
                freed += [column] if column.parent is not None else []
                column.parent = None
        if self.office.can_alter:
            return self._loosen(table, loosened, freed)
        keys = table.key
        rest = table.values
        rng.shuffle(rest)
        table.columns = [*keys, *rest]
        self._replace(table)
        return f"{table.name}: made anew"

    def _loosen(self, table: CentreTable, loosened: list[Column], freed: list[Column]) -> str:
        for column in loosened:
            self.office.run(f"ALTER TABLE {table.name} ALTER COLUMN {column.name} DROP NOT NULL")
        for column in freed:
            name = self.office.foreign_key(table.name, column.name)
            self.office.run(f"ALTER TABLE {table.name} DROP CONSTRAINT {name}")
        names = ", ".join(column.name for column in [*loosened, *freed])
        return f"{table.name}: loosened {names}" if names else ""

    def _widen(self, rng: random.Random) -> str:
        """A column takes a type that holds all values of the one it had."""
        table = self._any(rng)
        points = {column.parent for one in self.tables.values() for column in one.columns}
        columns = [c for c in table.columns if c.declared in WIDER and c.parent is None]
        columns = [c for c in columns if not (c.in_key and table.id in points)]
        if not self.office.can_alter or not columns:
            return ""
        column = rng.choice(columns)
        column.declared = WIDER[column.declared]
        self.office.run(f"ALTER TABLE {table.name} ALTER COLUMN {column.name} TYPE {column.declared}")
        return f"{table.name}: {column.name} is {column.declared}"

    def _replace(self, table: CentreTable) -> None:
        """A table with the present columns takes the place of the old one: sqlite.org/lang_altertable.html"""
        names = ", ".join(column.name for column in table.columns)
        sql = "SELECT sql FROM sqlite_master WHERE name = ?"
        indexes = [str(self.office.rows(sql, name)[0][0]) for name in table.indexes]
        self.office.together(
            [
                self._created(table, "fresh"),
                f"INSERT INTO fresh ({names}) SELECT {names} FROM {table.name}",
                f"DROP TABLE {table.name}",
                f"ALTER TABLE fresh RENAME TO {table.name}",
                *indexes,
            ]
        )

    def _drop_table(self, rng: random.Random) -> str:
        parents = {column.parent for table in self.tables.values() for column in table.columns}
        left = [table for table in self.tables.values() if not table.fixed and table.id not in parents]
        if not left or len(self.tables) < 4 or rng.random() < 0.5:
            return ""
        table = rng.choice(left)
        self.office.run(f"DROP TABLE {table.name}")
        del self.tables[table.id]
        self.left.add(table.name)
        return f"dropped table {table.name}"

    def _index(self, rng: random.Random) -> str:
        table = self._any(rng)
        if table.indexes and rng.random() < 0.5:
            name = rng.choice(list(table.indexes))
            self._drop_index(table, name)
            return f"dropped index {name}"
        if not table.values or not self.is_settled(table):
            return ""
        name, column = f"i{self._id()}", rng.choice(table.values)
        sql = f"CREATE {rng.choice(['UNIQUE', ''])} INDEX {name} ON {table.name} ({column.name})"
        try:
            self.office.run(sql)
        except Refused:
            return ""
        table.indexes[name] = column
        return sql

    def _drop_index(self, table: CentreTable, name: str) -> None:
        self.office.run(f"DROP INDEX {name}")
        del table.indexes[name]
