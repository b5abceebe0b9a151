"""Step 0, preparing: what has to be done to a database that keeps a log and triggers for each table.

Everything is compared with what was prepared before; what is missing or outdated becomes a statement. The
decisions are the same in every such database; the statements are the adapter's.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic

from syncline.databases.base.before import Numbers, to_keep
from syncline.databases.base.lines import Line
from syncline.databases.base.shape import BaseShape, S
from syncline.databases.base.wider import UNNAMED, NamedTypes
from syncline.errors import SchemaError
from syncline.hub.contract import Outdated
from syncline.model.schema import ColumnSchema, Schema, TableSchema


@dataclass(frozen=True, slots=True)
class Ground:
    """A table as it is now: what the database knows it, its columns and their types by, the labels of its
    enums, how it can be captured.

    `by_row`: statement triggers do not see every change. `partitions`: (schema, name) of its parts;
    `attached` names each of them by what the database knows it by and since when it is one: one that was away
    meanwhile has another name."""

    relid: int
    columns: Mapping[str, Sequence[int]]
    labels: Mapping[str, str]
    by_row: bool
    partitions: Sequence[Sequence[str]]
    attached: Sequence[str]

    def check(self, table: TableSchema) -> None:
        """Raise Outdated if a column is not there any more: others have altered the table since it was looked
        at."""
        gone = [column.name for column in table.columns if column.name not in self.columns]
        if gone:
            place = f"{table.central_schema}.{table.central_name}"
            raise Outdated(f"{place}: others alter it at this moment (column {gone[0]})")

    def numbers(self, table: TableSchema) -> str:
        """The columns' numbers by what the database knows them by, as a `Line` keeps them."""
        return json.dumps(
            {str(self.columns[column.name][0]): column.number for column in table.columns}, sort_keys=True
        )


@dataclass(frozen=True, slots=True)
class Capture:
    """What a table's capture is made of. `key` changes when the log cannot be kept; `digest` when the
    functions must be made anew, its second half (`code_in`) when the triggers must."""

    key: str
    log: tuple[str, ...]
    functions: tuple[str, ...]
    code: tuple[str, ...]
    triggers: Mapping[str, frozenset[str]]
    """Names of the triggers that must exist, by quoted table."""

    @property
    def digest(self) -> str:
        return _digest(self.functions) + _digest(self.code)


def _digest(statements: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]


def code_in(digest: str) -> str:
    """What a capture's digest says of its triggers alone."""
    return digest[16:]


@dataclass(slots=True)
class Plan:
    """What has to be done: statements, the lines to record, the numbers to forget, sentences, and which of
    these say that changes may not have been captured. `starts` says where the statements of a table begin, by
    its number; `long` are the numbers of tables of which all rows are read, or all of the log is written."""

    statements: list[str] = field(default_factory=list)
    records: list[Line] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)
    before: str = ""
    starts: dict[int, int] = field(default_factory=dict)
    long: set[int] = field(default_factory=set)

    def of(self, n: int, statements: Sequence[str], *, long: bool = False) -> None:
        """Statements that one table needs."""
        if statements:
            self.starts.setdefault(n, len(self.statements))
            self.statements += statements
            self.long |= {n} if long else set()

    def first(self, statements: Sequence[str]) -> None:
        """Statements that come before those of the tables, and after what is made in any case."""
        place = min(self.starts.values(), default=len(self.statements))
        self.statements[place:place] = statements
        self.starts = {n: start + len(statements) for n, start in self.starts.items()}

    def note_amiss(self, note: str) -> None:
        """A sentence on what may not have been captured."""
        self.notes.append(note)
        self.amiss.append(note)


@dataclass(frozen=True, slots=True)
class Former:
    """What was prepared before. `is_here`: in this very database, so that what it knows tables by means the
    same; `astray`: numbers of tables with changes that could not be put into their log; `types`: what types
    were called, and are."""

    is_prepared: bool = False
    schema: Schema | None = None
    lines: tuple[Line, ...] = ()
    before: str = ""
    is_here: bool = False
    astray: frozenset[int] = frozenset()
    types: NamedTypes = UNNAMED


class BasePlanner(ABC, Generic[S]):
    """Compares what is there with what the tables need, and adds to a plan what is missing."""

    def __init__(self, former: Former, plan: Plan, triggers: Collection[tuple[str, str, bool]]) -> None:
        """`triggers`: those of ours that exist, but for what a partition has from the whole: their table's
        place, their name, whether they always fire."""
        self._former, self._plan = former, plan
        self._lines = {line.n: line for line in former.lines}
        self._made: dict[str, set[str]] = {}
        self._triggers: dict[str, set[str]] = {}
        self._wanted: dict[str, set[str]] = {}
        self._functions: list[str] = []
        for place, trigger, fires in triggers:
            self._made.setdefault(place, set()).add(trigger)
            if fires:
                self._triggers.setdefault(place, set()).add(trigger)

    # What an adapter says

    ahead: ClassVar[Sequence[str]] = ()
    """Statements before those that make functions."""

    @abstractmethod
    def shape(self, table: TableSchema, before: tuple[int, ...]) -> S:
        """The table, with the columns of which the log keeps old values."""

    @abstractmethod
    def place(self, schema: str, name: str) -> str:
        """A table's name as statements use it."""

    @abstractmethod
    def ground(self, table: TableSchema) -> Ground | None:
        """The table as it is now under its name; None if there is none."""

    @abstractmethod
    def capture(self, shape: S, ground: Ground) -> Capture:
        """What its capture is to be made of."""

    @abstractmethod
    def fits(self, before: ColumnSchema, after: ColumnSchema) -> bool:
        """As the contract says of `is_wider`, where types have the names that they had."""

    @abstractmethod
    def drop_trigger(self, trigger: str, table: str) -> str:
        """A statement: a trigger of ours goes, if there is one."""

    @abstractmethod
    def wait_for_writers(self, table: str) -> str:
        """A statement: nobody who wrote to the table, or to a part of it, is under way any more, and nobody
        writes to it until the end. Who reads is not kept waiting."""

    @abstractmethod
    def forget(self, line: Line) -> Sequence[str]:
        """Statements: triggers and log of a table, which may be gone itself, go."""

    @abstractmethod
    def end_log(self, n: int) -> Sequence[str]:
        """Statements: the log of a table goes, and what is kept beside it, but positions may end there."""

    @abstractmethod
    def add_word(self, shape: S, word: str) -> str:
        """A statement: the masks of a log get one more word, which says of entries that are there that its
        columns changed, too."""

    @abstractmethod
    def widen_key(self, shape: S, position: int, central: str) -> str:
        """A statement: a key column of a log takes a wider type."""

    @abstractmethod
    def lose(self) -> Sequence[str]:
        """Statements: what positions until now have not seen is not all in the logs."""

    @abstractmethod
    def settle(self, shape: S) -> Sequence[str]:
        """Statements: changes that could not be put into the log go there."""

    @abstractmethod
    def touch(self, shape: S, source: str) -> str:
        """A statement: every row of the table, or of a `part`, may have changed in every column."""

    @abstractmethod
    def part(self, table: str) -> str:
        """What `touch` takes for one partition alone."""

    @abstractmethod
    def touch_since(self, shape: S, relid: int, columns: Sequence[int]) -> str:
        """A statement: `touch` for rows written since one of these columns was made or renamed."""

    # What is decided

    def tables(self, schema: Schema, declared: Numbers, left: Collection[int] = ()) -> None:
        """Everything that `schema` needs, with these columns declared, but for the tables `left`, which stay
        as they are recorded. Functions come first: making one waits for nobody, and nobody waits for it."""
        self._plan.before = to_keep(declared)
        gone = [line for line in self._former.lines if line.n not in schema.by_number]
        for line in gone:
            self._plan.of(line.n, self.forget(line))
            self._plan.forgotten.append(line.n)
            self._plan.notes.append(f"stopped tracking {self.place(line.schema, line.name)}")
        for number in sorted(schema.by_number.keys() - set(left)):
            shape = self.shape(schema.by_number[number], declared.get(number, ()))
            ground = self.ground(shape.table)
            if ground is None:
                place = f"{shape.table.central_schema}.{shape.table.central_name}"
                raise SchemaError(f"{place}: there is no such table any more")
            ground.check(shape.table)
            self._table(shape, ground)
        for table in sorted(self._triggers):
            self._release(table, {*self._plan.forgotten, *left})
        self._plan.first([*self.ahead, *self._functions] if self._functions else [])

    def _release(self, table: str, but: Collection[int]) -> None:
        """A table that was swapped for another one, or a partition that was detached. Triggers with these
        numbers go with their functions, or stay."""
        wanted = self._wanted.get(table, set())
        others = [name for name in sorted(self._triggers[table] - wanted) if _number_in(name) not in but]
        for trigger in others:
            self._plan.of(_number_in(trigger), [self.drop_trigger(trigger, table)])
        if others and not wanted:
            self._plan.note_amiss(f"removed the capture of {table}, which takes part no longer")
        elif others:
            self._plan.notes.append(f"removed the capture of {table} as a part of another table")

    def _table(self, shape: S, ground: Ground) -> None:
        line = self._lines.get(shape.n)
        capture = self.capture(shape, ground)
        for on, names in capture.triggers.items():
            self._wanted.setdefault(on, set()).update(names)
        missing = [on for on, names in capture.triggers.items() if not names <= self._triggers.get(on, set())]
        here = shape.table.central_schema, shape.table.central_name
        record = Line(
            shape.n,
            ground.relid,
            *here,
            columns=ground.numbers(shape.table),
            labels=json.dumps(ground.labels, sort_keys=True),
            key=capture.key,
            words=len(shape.words),
            capture=capture.digest,
            attached=json.dumps(ground.attached),
        )
        if line != record:
            self._plan.records.append(record)
        if line is None or missing or self._is_outdated(line, record):
            self._log(shape, line, capture)
            self._functions += capture.functions
            self._plan.of(shape.n, self._triggers_of(shape, line, record, capture, missing))
            self._plan.notes.append(_sentence(shape, line))
            if line is not None and (missing or self._is_unaccounted(shape, line, record)):
                self._plan.amiss.append(_sentence(shape, line))
            if line is not None:
                self._make_good(shape, line, ground, missing)
        elif shape.n in self._former.astray:
            self._plan.of(shape.n, self.settle(shape))
            self._plan.note_amiss(f"settled changes of {shape.name} that were without a key")
        if line is not None and self._former.is_here:
            self._send_anew(shape, line, ground)
            if line.relid == ground.relid and set(json.loads(line.attached)) - set(ground.attached):
                self._plan.of(shape.n, self.lose())
                self._plan.note_amiss(
                    f"a partition of {shape.name} is gone, or was for a while: every device compares itself"
                    " with the centre at its next sync"
                )

    def _triggers_of(
        self, shape: S, line: Line | None, record: Line, capture: Capture, missing: Sequence[str]
    ) -> Sequence[str]:
        """Triggers name no column: mostly they stay, and what was written with the former functions is
        waited for."""
        own = self._in_the_way(capture)
        if line is None:
            return [*own, *capture.code]
        stays = self._former.is_here and (line.relid, line.key) == (record.relid, record.key)
        if stays and not missing and code_in(line.capture) == code_in(record.capture):
            return [self.wait_for_writers(shape.name)]
        pairs = ((name, on) for on, names in capture.triggers.items() for name in sorted(names))
        return [*own, *(self.drop_trigger(name, on) for name, on in pairs), *capture.code]

    def _in_the_way(self, capture: Capture) -> list[str]:
        """Statements: partitions lose triggers of their own with the names of those that they get from the
        whole, as a table has them that took part by itself under this number."""
        names, dropped = frozenset[str]().union(*capture.triggers.values()), []
        for on, wanted in capture.triggers.items():
            own = self._made.get(on, set()) & (names - wanted)
            dropped += [self.drop_trigger(name, on) for name in sorted(own)]
            self._triggers.get(on, set()).difference_update(own)
        return dropped

    def _send_anew(self, shape: S, line: Line, ground: Ground) -> None:
        """Rows whose entries do not say what changed in them, because names or labels did."""
        taken = self._names_taken(line, ground)
        if taken:
            self._plan.of(shape.n, [self.touch_since(shape, ground.relid, taken)], long=True)
            self._plan.notes.append(
                f"a name of a column of {shape.name} is another column's now: rows written since are sent"
                " anew, because their changes were told apart by names"
            )
        if _is_relabelled(line, ground):
            self._plan.of(shape.n, [self.touch(shape, shape.name)], long=True)
            self._plan.notes.append(f"labels of enums in {shape.name} were renamed: its rows are sent anew")

    def _names_taken(self, line: Line, ground: Ground) -> Sequence[int]:
        """What the database knows those columns by that have names by which the capture has found others."""
        former = self._former.schema.by_number.get(line.n) if self._former.schema else None
        if former is None or line.relid != ground.relid:
            return ()
        numbers: dict[str, int] = json.loads(line.columns)
        present = ((column.number, ground.columns.get(column.name)) for column in former.columns)
        return [now[0] for number, now in present if now and numbers.get(str(now[0])) != number]

    def _is_unaccounted(self, shape: S, line: Line, record: Line) -> bool:
        """Whether what captures is another one than it was while the table is as it was. Functions alone may
        differ, be it for a column that takes no part: nothing of what they do not know goes uncaptured."""
        is_same = (
            self._former.schema is not None and self._former.schema.by_number.get(shape.n) == shape.table
        )
        return is_same and (
            (line.relid, line.key, code_in(line.capture))
            != (record.relid, record.key, code_in(record.capture))
        )

    def _is_outdated(self, line: Line, record: Line) -> bool:
        """Whether log or triggers were made for something else than what is there."""
        moved = self._former.is_here and line.relid != record.relid
        return moved or (line.capture, line.key) != (record.capture, record.key)

    def _log(self, shape: S, line: Line | None, capture: Capture) -> None:
        """The log goes on, if it can; otherwise one begins."""
        widened = None if line is None else self._widened(shape, line)
        if line is None or widened is None:
            if line is not None:
                self._plan.of(shape.n, self.end_log(shape.n))
                self._plan.notes.append(f"{shape.name} has another key than before: its log begins anew")
            self._plan.of(shape.n, capture.log)
        else:
            self._plan.of(shape.n, widened, long=True)

    def _widened(self, shape: S, line: Line) -> list[str] | None:
        """Statements by which the log takes other key types and more columns; None if it cannot."""
        keys = json.loads(line.key)
        before = self._former.schema.by_number.get(shape.n) if self._former.schema else None
        if before is None or [number for number, _ in keys] != [key.number for key in shape.table.keys]:
            return None
        made = [self.add_word(shape, word) for word in shape.words[line.words :]]
        for i, (former, now) in enumerate(zip(before.keys, shape.table.keys, strict=True)):
            if keys[i][1] == now.central:
                continue
            if not self.fits(self._former.types.followed(former, now), now):
                return None
            made.append(self.widen_key(shape, i, now.central))
        return made

    def _make_good(self, shape: S, line: Line, ground: Ground, missing: list[str]) -> None:
        """What was written while the capture could not tell all of it, or was not there. It comes after the
        triggers, whose making waits for everybody who writes."""
        replaced = self._former.is_here and line.relid != ground.relid
        if shape.name in missing or replaced:
            self._plan.of(shape.n, self.lose())
            self._plan.note_amiss(
                f"the capture of {shape.name} was missing: every device compares itself with the centre at"
                " its next sync"
            )
        else:
            self._plan.of(shape.n, [self.touch(shape, self.part(part)) for part in missing], long=True)
        self._plan.of(shape.n, self.settle(shape))


def _is_relabelled(line: Line, ground: Ground) -> bool:
    before: dict[str, str] = json.loads(line.labels)
    return any(ground.labels.get(known, label) != label for known, label in before.items())


def _number_in(trigger: str) -> int:
    """The number of the table in the name of a trigger of ours."""
    return int(trigger[trigger.rindex("_") + 1 :])


def _sentence(shape: BaseShape, line: Line | None) -> str:
    return f"tracking {shape.name}" if line is None else f"renewed the capture of {shape.name}"
