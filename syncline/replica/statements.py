"""The SQL of one tracked table, as the steps of an apply need it. Text only; built once a table.

Rows are bound as they travel: key values in key order, then the values of the columns named. Parameters
are numbered, so that a row goes to every statement without being taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter

from syncline.model.forms import Spelling, certain_of, spelling_of
from syncline.model.masks import words_for
from syncline.model.schema import TableSchema
from syncline.model.values import Row, Value, indices_of, mask_of
from syncline.replica.store import log_name, quote

NOTHING: Mapping[str, str] = {}

STEP = 1_000
"""Rows whose columns are looked at one after the other: they stay in the processor's cache meanwhile."""


class Statements:
    """Names and statements of a table: `n` is its number, `rank` its place in the foreign-key order."""

    def __init__(self, table: TableSchema, rank: int, constants: Mapping[str, str] = NOTHING) -> None:
        """`constants`: columns that take no part and must have a value, and that value as SQL."""
        self.table, self.n, self.rank = table, table.number, rank
        self.name = quote(table.name)
        self.keys = [quote(column.name) for column in table.keys]
        self.values = {number: quote(column.name) for number, column in table.values.items()}
        """The value columns by number, in the order of a whole row."""
        self.value_names = list(self.values.values())
        self.folds = "collate" in (table.ddl or "").lower()
        """Whether keys may be equal in the file's eyes (NOCASE, RTRIM) and not be the same key."""
        self.constants = {quote(name): literal for name, literal in constants.items()}
        self._made: dict[tuple[str, tuple[int, ...]], str] = {}
        self._fits: dict[tuple[int, ...], list[tuple[int, Callable[[Sequence[Value]], bool]]]] = {}

    @cached_property
    def key_spellings(self) -> tuple[Spelling | None, ...]:
        """How the key's values are spelled in the file, see `model.forms`."""
        return tuple(map(spelling_of, self.table.keys))

    @cached_property
    def spellings(self) -> Mapping[int, Spelling]:
        """The same of those value columns whose values have several spellings, by number."""
        found = ((number, spelling_of(column)) for number, column in self.table.values.items())
        return {number: spelling for number, spelling in found if spelling is not None}

    @cached_property
    def converts(self) -> bool:
        """Whether any column has another form in the file than on the wire."""
        return any(one.converts for one in self._all_spellings)

    @cached_property
    def is_lossy(self) -> bool:
        """Whether the file cannot hold every value of the centre exactly, as somebody has chosen."""
        return any(one.is_lossy for one in self._all_spellings)

    @cached_property
    def asked(self) -> Sequence[tuple[int, Callable[[Sequence[Value]], bool]]]:
        """The places in the key whose spelling the centre alone can tell, and what is certain anyway."""
        return [(i, certain_of(column)) for i, column in enumerate(self.table.keys) if column.spelled]

    @property
    def _all_spellings(self) -> list[Spelling]:
        return [one for one in (*self.key_spellings, *self.spellings.values()) if one is not None]

    def fit(self, columns: Sequence[int], rows: Sequence[Row]) -> bool:
        """Whether the values of these rows, the key and these columns, certainly are in the file's form.
        What else the rows have is not looked at."""
        place = tuple(columns)
        if place not in self._fits:
            found = [*self.key_spellings, *(self.spellings.get(column) for column in columns)]
            self._fits[place] = [(i, one.fits) for i, one in enumerate(found) if one is not None]
        some = (rows[start : start + STEP] for start in range(0, len(rows), STEP))
        return all(fits(list(map(itemgetter(i), part))) for part in some for i, fits in self._fits[place])

    @property
    def arity(self) -> int:
        return len(self.keys)

    @cached_property
    def log(self) -> str:
        return log_name(self.n)

    @cached_property
    def increments(self) -> int:
        """The mask of the columns merged by `sum`."""
        return mask_of(number for number, column in self.table.values.items() if column.increment)

    def is_whole(self, columns: Sequence[int]) -> bool:
        """Whether these are all value columns: a row that can be inserted."""
        return len(columns) == len(self.values)

    def state_of(self, image: Sequence[Value]) -> dict[int, Value]:
        """The values of a whole row by column. What follows them (the lone 1 of `select`) is left out."""
        return dict(zip(self.values, image, strict=False))

    # Rows ---------------------------------------------------------------------------------------------

    def insert(self, columns: Sequence[int], beside: Sequence[str] = ()) -> str:
        """A new row. OR ABORT: a table's own ON CONFLICT clause must not decide. `beside`: the names of
        columns of the file whose values follow."""
        names = [*self.keys, *(self.values[i] for i in columns), *map(quote, beside)]
        marks = [f"?{i}" for i in range(1, len(names) + 1)]
        constants = {name: literal for name, literal in self.constants.items() if name not in names}
        listed, given = ", ".join([*names, *constants]), ", ".join([*marks, *constants.values()])
        return f"INSERT OR ABORT INTO {self.name} ({listed}) VALUES ({given})"

    def upsert(self, columns: Sequence[int]) -> str:
        """A whole row, whether it is there or not; never a REPLACE, which would delete children."""

        def text() -> str:
            names = [*(self.keys if self.folds else ()), *(self.values[i] for i in columns)]
            action = "NOTHING"
            if names:
                action = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in names)
            return f"{self.insert(columns)} ON CONFLICT ({', '.join(self.keys)}) DO {action}"

        return self._once("upsert", columns, text)

    def update(self, columns: Sequence[int]) -> str:
        """Some columns of a row that is there."""

        def text() -> str:
            changes = ", ".join(f"{self.values[i]} = ?{self.arity + j}" for j, i in enumerate(columns, 1))
            return f"UPDATE OR ABORT {self.name} SET {changes} WHERE {self.by_key}"

        return self._once("update", columns, text)

    @cached_property
    def by_key(self) -> str:
        return " AND ".join(self._same(name, f"?{i}") for i, name in enumerate(self.keys, 1))

    @cached_property
    def delete(self) -> str:
        return f"DELETE FROM {self.name} WHERE {self.by_key}"

    @cached_property
    def select(self) -> str:
        """All value columns of one row (a lone 1 for a table that has none)."""
        return f"SELECT {', '.join(self.value_names) or '1'} FROM {self.name} WHERE {self.by_key}"

    # Keys in temporary tables -------------------------------------------------------------------------

    @cached_property
    def key_columns(self) -> str:
        return ", ".join(f"k{i}" for i in range(self.arity))

    @cached_property
    def key_marks(self) -> str:
        return ", ".join("?" * self.arity)

    @cached_property
    def key_given(self) -> str:
        """A condition: columns k0, k1, ... are the key that is bound."""
        return " AND ".join(f"k{i} = ?{i + 1}" for i in range(self.arity))

    def same_key(self, left: str, right: str) -> str:
        """A condition between two tables with columns k0, k1, ..."""
        return " AND ".join(f"{left}.k{i} = {right}.k{i}" for i in range(self.arity))

    def row_key(self, row: str, keys: str) -> str:
        """A condition between this table, named `row`, and one with columns k0, k1, ..."""
        return " AND ".join(self._same(f"{row}.{name}", f"{keys}.k{i}") for i, name in enumerate(self.keys))

    def found_by(self, row: str, keys: str) -> str:
        """`row_key` where the keys are looked up for a row. The plus takes the affinity of a column away: for
        its sake SQLite would convert each of the keys, and so read all of them for every row."""
        return self.row_key(f"+{row}", keys)

    def like_key(self, row: str, keys: str) -> str:
        """`row_key` for keys that the file takes for the same: they cannot both be in the table."""
        return " AND ".join(f"{row}.{name} = {keys}.k{i}" for i, name in enumerate(self.keys))

    def _same(self, name: str, value: str) -> str:
        exact = f" AND {name} = {value} COLLATE BINARY" if self.folds else ""
        return f"{name} = {value}{exact}"

    def keys_of(self, row: str) -> str:
        """The key columns of this table, named `row`."""
        return ", ".join(f"{row}.{name}" for name in self.keys)

    # The change log -----------------------------------------------------------------------------------

    @cached_property
    def masks(self) -> list[str]:
        """The log's mask columns, one for 62 value columns: mask1, mask2, ..."""
        return [f"mask{i + 1}" for i in range(words_for(self.table.bits))]

    @cached_property
    def forget(self) -> str:
        """All entries of a row leave the log."""
        return f"DELETE FROM {self.log} WHERE {self.key_given}"

    def old_columns(self, mask: int) -> list[str]:
        """The log's columns with the former values of these value columns."""
        return [f"o{i}" for i in indices_of(mask)]

    def _once(self, kind: str, columns: Sequence[int], text: object) -> str:
        place = kind, tuple(columns)
        if place not in self._made:
            assert callable(text)
            self._made[place] = text()
        return self._made[place]
