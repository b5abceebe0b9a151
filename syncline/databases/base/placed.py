"""Staged rows of typed columns on their way into the database, as the rows `s` of the statements that lock,
compare and apply.

Up to `SMALL` rows are one parameter, sent with each statement; more are brought into a temporary table.
Values the server would choke on are found here, column by column: a row whose key cannot be is left out, a
row with a value that cannot be is loaded without it; both are refused when the stage is applied.

Text of which it is certain how the server reads it is read once, when it is brought there; other text is text
until a statement reads it, so that what cannot be read is some row's fault and not the whole stage's.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from syncline.databases.base.loading import LoadedRows
from syncline.databases.base.respelling import differing, guarded, misspelled
from syncline.databases.base.statements import SOURCE, over
from syncline.databases.base.typed import T, TypedRows, TypedShape
from syncline.databases.base.writing import LockingWriter
from syncline.hub.contract import Stage
from syncline.model.values import Value

SMALL = 500
"""Rows up to which a parameter is quicker than a temporary table (about 2 ms to make)."""

FEW = 10
"""Rows up to which a statement is planned for a few."""


@dataclass(slots=True, eq=False, repr=False)
class PlacedRows(TypedRows[T], Generic[T]):
    """A stage in the database, or on its way there. `session`: the adapter's own, in the transaction."""

    unreadable: ClassVar[type[Exception]]
    """The error of a query that finds a text which is none of its column's type."""
    database: ClassVar[str]
    """What the database is called in sentences."""

    codecs: list[Any] = field(init=False)
    """Of the key, then of the staged columns."""
    texts: list[list[Any]] | None = None
    """For each row what is bound as n, hlc, key, values; None if they are in a temporary table."""
    spelled: Any = None
    """The rows as they are brought into the temporary table, from when they are made ready until they are."""
    read: frozenset[int] = frozenset()
    """The staged columns that the temporary table has in their central type; the key's are below 0."""
    table: str = ""
    """The temporary table, if there is one."""
    whole: Any = None
    """The parameter of all rows, once it was made."""

    def __post_init__(self) -> None:
        LoadedRows.__post_init__(self)
        self.codecs = [*self.shape.keys, *(self.shape.values[i] for i in self.stage.columns)]

    # What an adapter says

    @abstractmethod
    def given_rows(self, most: int) -> str:
        """An item of FROM: the rows of a parameter, of which there are so many at most."""

    def bound_rows(self, rows: Sequence[Sequence[Any]]) -> Any:
        """That parameter: a JSON array of arrays, unless the adapter binds something else."""
        return json.dumps(rows, ensure_ascii=False)

    @abstractmethod
    def all_rows(self) -> tuple[str, Any]:
        """An item of FROM: the rows of the temporary table; and what it is given."""

    @abstractmethod
    def rows_from(self, first: int, last: int) -> tuple[str, Any]:
        """The same of the rows with these numbers and those between."""

    @abstractmethod
    def spell(self, columns: Sequence[Sequence[Value]]) -> Any:
        """The rows, given by columns, as `fill` takes them."""

    @abstractmethod
    def fill(self, session: Any, spelled: Any) -> None:
        """Make the temporary table, and bring the rows into it. What is in `read` may be taken out of it."""

    @abstractmethod
    def remove(self, session: Any, rows: Sequence[int]) -> None:
        """Delete rows, one or more, from the temporary table."""

    def index(self, session: Any) -> None:
        """Make ranges of rows quick to find in the temporary table; nothing, where it is made so."""

    def keep_aside(self, columns: Sequence[Sequence[Value]]) -> bool:
        """Whether these many rows need no temporary table unless they are placed: the adapter has another
        way."""
        return False

    @property
    def is_aside(self) -> bool:
        """Whether they were kept aside, and are so still."""
        return False

    # What follows from that

    def over(self, template: str, rows: Sequence[int] | None = None) -> tuple[str, Any]:
        """A statement over all of these rows, or over some that follow each other; and its parameter."""
        is_whole = rows is None or len(rows) == len(self.live)
        source, parameter = self.source() if is_whole or rows is None else self._some(rows)
        return over(template, source), parameter

    def source(self) -> tuple[str, Any]:
        """All rows as an item of FROM, and its parameter."""
        if self.texts is None:
            assert self.table, "the rows are not in the database"
            return self.all_rows()
        if self.whole is None:
            self.whole = self._bound(self.live)
        return self._given(self.live), self.whole

    def _some(self, rows: Sequence[int]) -> tuple[str, Any]:
        if self.texts is None:
            return self.rows_from(rows[0], rows[-1])
        return self._given(rows), self._bound(rows)

    def _given(self, rows: Sequence[int]) -> str:
        return self.given_rows(FEW if len(rows) <= FEW else SMALL)

    def _bound(self, rows: Sequence[int]) -> Any:
        assert self.texts is not None
        return self.bound_rows([self.texts[row] for row in rows])

    def ready(self) -> None:
        """All of `load` that needs no database."""
        columns = self._screened()
        if len(self.stage.rows) <= SMALL:
            spelled = [codec.spell(column) for codec, column in zip(self.codecs, columns, strict=True)]
            numbers = map(str, range(len(self.stage.rows)))
            rows = zip(numbers, map(str, self.stage.hlc), *spelled, strict=True)
            self.texts = [list(row) for row in rows]
        elif not self.keep_aside(columns):
            self.spelled = self.spell(columns)

    def load(self, session: Any) -> None:
        """Load a stage that is ready. Those rows that were kept aside wait for what comes."""
        if self.is_aside:
            return
        self.place(session)
        if self.keyless:
            self._take_out(session, self.keyless)
        if self.shape.asked_keys:
            self._refuse_foreign_keys(session)

    def place(self, session: Any) -> None:
        """Bring the rows where statements find them, if they are not there."""
        if self.texts is None and not self.table:
            if self.spelled is None:
                self.spelled = self.spell(self._screened())
            self.fill(session, self.spelled)
            self.spelled = None

    def settle_down(self, session: Any) -> None:
        """Bring the rows into a temporary table with an index on their numbers, however few they are."""
        if self.texts is not None:
            self.texts, self.whole, refused = None, None, self.refused
            self.place(session)
            self.refused = refused
            self._take_out(session, set(range(len(self.stage.rows))).difference(self.live))
        self.place(session)
        self.index(session)

    def discard(self, session: Any, rows: Collection[int]) -> None:
        """Take rows out; the others keep their numbers."""
        if rows:
            self.place(session)
        self.forget(rows)
        self._take_out(session, rows)

    def _take_out(self, session: Any, gone: Collection[int]) -> None:
        self.leave_out(gone)
        self.whole = None
        if self.table and gone:
            self.remove(session, sorted(gone))

    def _screened(self) -> list[Sequence[Value]]:
        """The rows by columns, without what cannot be loaded."""
        screen, arity = self.screened(), self.shape.arity
        read = {i for i in screen.certain if self.codecs[i].is_spelled_once}
        read |= {i for i, codec in enumerate(self.shape.keys) if codec.is_always_read}
        self.read = frozenset(i - arity for i in read)
        return screen.columns

    def _refuse_foreign_keys(self, session: Any) -> None:
        """Refuse keys that the database would not write, or would write in another spelling."""

        def build(guarded: bool) -> str:
            return self.over(misspelled(self.shape, guarded=guarded))[0]

        wrong = {n for (n,) in guarded(session, self.unreadable, build, self.source()[1])}
        self.refuse_keys(wrong, self.database)
        self._take_out(session, wrong)


Q = TypeVar("Q", bound=PlacedRows[Any])


class PlacingWriter(LockingWriter[Q], Generic[Q]):
    """The contract's `Rows`, as far as it is about such rows."""

    @abstractmethod
    def for_update(self, *, deletes: bool) -> str:
        """The end of a query that locks the rows `t`; those that are to be deleted also against new children.
        If `tries` says that nothing is waited for, rows that others hold are left out."""

    def reach(self, shape: TypedShape[Any]) -> None:
        """Find out now whether the table, of which rows will be written, is held; nothing, unless it would be
        waited for otherwise."""

    def renumbered(self, piece: str, number: int) -> str:
        """A statement over one stage, whose parameter is the `number`th of the whole: as it is, where the
        places of values have no numbers."""
        return piece

    def lock_rows(self, loaded: Sequence[Q]) -> list[tuple[int, int]]:
        for item in loaded:
            item.place(self._verbs)
        shape, pieces, parameters = loaded[0].shape, [], []
        if not self.tries.waits:
            self.reach(shape)
        for number, item in enumerate(loaded):
            piece, parameter = item.over(_keys(shape, number))
            pieces.append(self.renumbered(piece, number + 1))
            parameters.append(parameter)
        end = self.for_update(deletes=any(item.stage.form == "delete" for item in loaded))
        return [(i, n) for i, n in self._verbs.run(_locking(shape, pieces, end), *parameters)]

    @abstractmethod
    def handle(self, stage: Stage) -> Q:
        """What a stage will be loaded as."""

    def ready(self, stage: Stage) -> None:
        """Spell the rows as they are loaded."""
        stage.handle = handle = self.handle(stage)
        handle.ready()

    def load(self, stage: Stage) -> None:
        if stage.handle is None:
            self.ready(stage)
        self.loaded(stage).load(self._verbs)

    def discard(self, stage: Stage, rows: Sequence[int]) -> None:
        """Take rows out of a stage."""
        self.loaded(stage).discard(self._verbs, set(rows))

    def unlike(self, loaded: Q) -> list[int]:
        shape, columns = loaded.shape, loaded.stage.columns
        loaded.place(self._verbs)
        read = loaded.read if loaded.table else frozenset[int]()
        name = ("differing", *columns, -1, *sorted(read))
        template = shape.statement(name, lambda: differing(shape, columns, read))
        return [n for (n,) in self._verbs.run(*loaded.over(template))]


def _keys(shape: TypedShape[Any], number: int) -> str:
    """The keys of the rows of one stage: a uuid is text in a small stage, but not in a large one."""
    keys = ", ".join(
        f"({codec.write(f's.k{place}')}) AS k{place}" if codec.kind == "uuid" else f"s.k{place}"
        for place, codec in enumerate(shape.keys)
    )
    return f"SELECT {number} AS i, s.n, {keys} FROM {SOURCE}"


def _locking(shape: TypedShape[Any], pieces: Sequence[str], end: str) -> str:
    """Lock the rows of all stages that exist, in key order: which stage, and their numbers in it.

    One order for every push is what keeps pushes from deadlocking each other."""
    order = ", ".join(f"t.{name}" for name in shape.key_names)
    return (
        f"SELECT s.i, s.n FROM ({' UNION ALL '.join(pieces)}) AS s JOIN {shape.name} AS t"
        f" ON {shape.matches()} ORDER BY {order}{end}"
    )
