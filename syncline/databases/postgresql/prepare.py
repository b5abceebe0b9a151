"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

from syncline.databases.base import LAYOUT, Ledger, numbers_of, other_layout, present, to_keep
from syncline.databases.postgresql import grants, strays
from syncline.databases.postgresql.capture import Capture, capture_of
from syncline.databases.postgresql.dialect import DIALECT, PostgresLedgerSession
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import same_place
from syncline.databases.postgresql.sameness import Ground, Tracked, as_they_are, ground_of, known_again
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote
from syncline.databases.postgresql.wider import is_wider
from syncline.errors import NotPrepared, SchemaError
from syncline.hub.contract import Declared, Prepared
from syncline.model.masks import split_mask
from syncline.model.numbering import renumbered
from syncline.model.schema import Schema
from syncline.model.values import EVERYTHING


@dataclass(slots=True)
class Plan:
    """What has to be done: statements, the table lines to write, the numbers to forget, sentences."""

    statements: list[str] = field(default_factory=list)
    records: list[Tracked] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before: str = ""


def prepare(session: Session, schema: Schema, before: Declared | None, *, dry_run: bool) -> Prepared:
    """Do, or with `dry_run` only say, what is missing; `before` as the contract says. Runs in a transaction
    of its own."""
    sql = queries("prepare.sql")
    session.script(sql["lock"])
    grants.require(session, schema)
    todo = Plan()
    former = Former.of(session)
    if not former.is_prepared:
        todo.statements += [*queries("layout.sql").values(), *DIALECT.create()]
        todo.notes.append("created schema syncline")
    schema = former.renumber(session, schema)
    Planner(session, former, todo).tables(schema, before)
    if not dry_run:
        _carry_out(session, schema, todo)
    return Prepared(todo.statements, todo.notes, schema, former.schema)


def plan(session: Session, schema: Schema) -> Prepared:
    """What another `prepare` would do to a prepared database. Needs no rights to do it."""
    todo, former = Plan(), Former.of(session)
    schema = former.renumber(session, schema)
    Planner(session, former, todo).tables(schema, None)
    return Prepared(todo.statements, todo.notes, schema, former.schema)


@dataclass(frozen=True, slots=True)
class Former:
    """What was prepared before. `is_here`: in this very database, so that its oids mean the same."""

    is_prepared: bool = False
    schema: Schema | None = None
    lines: tuple[Tracked, ...] = ()
    before: str = ""
    is_here: bool = False

    @classmethod
    def of(cls, session: Session) -> Former:
        sql = queries("prepare.sql")
        if not session.value(sql["prepared"]):
            return cls()
        _hub(session)
        lines = tuple(Tracked(*row) for row in session.run(sql["tables"]))
        recorded: str = session.value(queries("retention.sql")["cluster"])
        is_here = bool(recorded) and same_place(recorded, session.value(queries("read.sql")["cluster"]))
        return cls(True, _ledger(session).in_force(), lines, session.value(sql["before"]), is_here)

    def renumber(self, session: Session, found: Schema) -> Schema:
        """What was found, with the numbers it had before."""
        same = known_again(session, self.lines) if self.is_here else None
        return renumbered(found, self.schema, same)


def _ledger(session: Session) -> Ledger:
    return Ledger(PostgresLedgerSession(session))


def _hub(session: Session) -> str:
    """The hub's id. NotPrepared for another layout."""
    sql = queries("prepare.sql")
    if not session.value(sql["versioned"]):
        raise other_layout(None)
    layout, hub = session.run(sql["state"])[0]
    if layout != LAYOUT:
        raise other_layout(layout)
    return str(hub)


def require(session: Session) -> str:
    """The hub's id. Raises NotPrepared."""
    if not session.value(queries("prepare.sql")["prepared"]):
        raise NotPrepared("the central database has no schema syncline")
    return _hub(session)


def load(session: Session) -> tuple[str, Layout]:
    """The hub's id and the layout as last prepared. Raises NotPrepared."""
    hub = require(session)
    schema = _ledger(session).in_force()
    if schema is None:
        raise NotPrepared("the central database was never prepared to the end")
    before = present(schema, session.value(queries("prepare.sql")["before"]))
    now = as_they_are(session, schema.by_number, schema.by_number)
    facts = {n: found.facts for n, found in now.items() if found.facts is not None}
    return hub, Layout(schema, facts, before)


class Planner:
    """Compares what is there with what the tables need, and adds to a plan what is missing."""

    def __init__(self, session: Session, former: Former, plan: Plan) -> None:
        self._session, self._former, self._plan = session, former, plan
        self._lines = {line.n: line for line in former.lines}
        self._triggers: dict[str, set[str]] = {}
        self._places: dict[int, str] = {}
        for relid, schema, table, trigger in session.run(queries("prepare.sql")["triggers"]):
            self._triggers.setdefault(qualified(schema, table), set()).add(trigger)
            self._places[relid] = qualified(schema, table)
        self._astray: set[int] = set()
        if former.is_prepared:
            self._astray = {n for (n,) in session.run(queries("prepare.sql")["astray"])}

    def tables(self, schema: Schema, before: Declared | None) -> None:
        """Everything that `schema` needs, with these columns declared."""
        declared = numbers_of(schema, before, self._former.before)
        self._plan.before = to_keep(declared)
        layout = Layout(schema, before=declared)
        gone = [line for line in self._former.lines if line.n not in schema.by_number]
        for line in gone:
            self._forget(line)
        watched = {self._places[line.relid] for line in gone if line.relid in self._places}
        for shape in layout.by_number:
            ground = ground_of(self._session, shape.table)
            if ground is None:
                place = f"{shape.table.central_schema}.{shape.table.central_name}"
                raise SchemaError(f"{place}: there is no such table any more")
            watched |= {shape.name, *(qualified(*part) for part in ground.partitions)}
            self._table(shape, ground)
        for table in sorted(self._triggers.keys() - watched):
            self._release(table)

    def _release(self, table: str) -> None:
        """A table that was swapped for another one, or a partition that was detached."""
        for trigger in sorted(self._triggers[table]):
            self._plan.statements.append(f"DROP TRIGGER {quote(trigger)} ON {table}")
        self._plan.notes.append(f"removed the capture of {table}, which takes part no longer")

    def _table(self, shape: Shape, ground: Ground) -> None:
        line = self._lines.get(shape.n)
        capture = capture_of(shape, ground)
        missing = [on for on, names in capture.triggers.items() if not names <= self._triggers.get(on, set())]
        here = shape.table.central_schema, shape.table.central_name
        record = Tracked(
            shape.n,
            ground.relid,
            *here,
            columns=ground.numbers(shape.table),
            labels=json.dumps(ground.labels, sort_keys=True),
            key=capture.key,
            words=len(shape.words),
            capture=capture.digest,
        )
        if line != record:
            self._plan.records.append(record)
        if line is None or missing or self._is_outdated(line, record):
            self._log(shape, line, capture)
            self._plan.statements += capture.code
            self._plan.notes.append(_sentence(shape, line))
            if line is not None:
                self._make_good(shape, line, ground, missing)
        elif shape.n in self._astray:
            self._plan.statements += strays.move(shape)
            self._plan.notes.append(f"settled changes of {shape.name} that were without a key")
        if line is not None and self._former.is_here:
            self._send_anew(shape, line, ground)

    def _send_anew(self, shape: Shape, line: Tracked, ground: Ground) -> None:
        """Rows whose entries do not say what changed in them, because names or labels did."""
        taken = self._names_taken(line, ground)
        if taken:
            self._plan.statements.append(strays.touch_since(shape, ground.relid, taken))
            self._plan.notes.append(
                f"a name of a column of {shape.name} is another column's now: rows written since are sent"
                " anew, because their changes were told apart by names"
            )
        if _is_relabelled(line, ground):
            self._plan.statements.append(strays.touch(shape, shape.name))
            self._plan.notes.append(f"labels of enums in {shape.name} were renamed: its rows are sent anew")

    def _names_taken(self, line: Tracked, ground: Ground) -> Sequence[int]:
        """The attnums of columns that have names by which the capture has found others."""
        former = self._former.schema.by_number.get(line.n) if self._former.schema else None
        if former is None or line.relid != ground.relid:
            return ()
        numbers: dict[str, int] = json.loads(line.columns)
        present = ((column.number, ground.columns.get(column.name)) for column in former.columns)
        return [now[0] for number, now in present if now and numbers.get(str(now[0])) != number]

    def _is_outdated(self, line: Tracked, record: Tracked) -> bool:
        """Whether log or triggers were made for something else than what is there."""
        moved = self._former.is_here and line.relid != record.relid
        return moved or (line.capture, line.key) != (record.capture, record.key)

    def _log(self, shape: Shape, line: Tracked | None, capture: Capture) -> None:
        """The log goes on, if it can; otherwise one begins."""
        widened = None if line is None else self._widened(shape, line)
        if line is None or widened is None:
            if line is not None:
                self._plan.statements += [_mark_ends(shape.n), f"DROP TABLE {shape.log}"]
                self._plan.statements.append(f"DELETE FROM syncline.strays WHERE n = {shape.n}")
                self._plan.notes.append(f"{shape.name} has another key than before: its log begins anew")
            self._plan.statements += capture.log
        else:
            self._plan.statements += widened

    def _widened(self, shape: Shape, line: Tracked) -> list[str] | None:
        """Statements by which the log takes other key types and more columns; None if it cannot."""
        keys = json.loads(line.key)
        before = self._former.schema.by_number.get(shape.n) if self._former.schema else None
        if before is None or [number for number, _ in keys] != [key.number for key in shape.table.keys]:
            return None
        made = [_wider_mask(shape, word) for word in shape.words[line.words :]]
        for i, (former, now) in enumerate(zip(before.keys, shape.table.keys, strict=True)):
            if keys[i][1] == now.central:
                continue
            if not is_wider(former, now):
                return None
            made.append(f"ALTER TABLE {shape.log} ALTER COLUMN k{i} TYPE {now.central}")
        return made

    def _make_good(self, shape: Shape, line: Tracked, ground: Ground, missing: list[str]) -> None:
        """What was written while the capture could not tell all of it, or was not there. It comes after the
        triggers, whose making waits for everybody who writes."""
        replaced = self._former.is_here and line.relid != ground.relid
        if shape.name in missing or replaced:
            self._plan.statements.append(strays.touch(shape, shape.name))
            self._plan.notes.append(
                f"the capture of {shape.name} was missing: all its rows are sent anew; rows deleted meanwhile"
                " are found by syncline verify FILE --repair on each device"
            )
        else:
            self._plan.statements += [strays.touch(shape, f"ONLY {part}") for part in missing]
        self._plan.statements += strays.move(shape)

    def _forget(self, line: Tracked) -> None:
        """Stop tracking a table; it may be gone. Its triggers go with the functions."""
        made = self._plan.statements
        for event in ("insert", "update", "delete", "truncate"):
            made.append(f"DROP FUNCTION IF EXISTS syncline.{event}_{line.n}() CASCADE")
        made += [_mark_ends(line.n), f"DROP TABLE syncline.log_{line.n}"]
        made.append(f"DELETE FROM syncline.strays WHERE n = {line.n}")
        self._plan.forgotten.append(line.n)
        self._plan.notes.append(f"stopped tracking {qualified(line.schema, line.name)}")


def _is_relabelled(line: Tracked, ground: Ground) -> bool:
    before: dict[str, str] = json.loads(line.labels)
    return any(ground.labels.get(oid, label) != label for oid, label in before.items())


def _wider_mask(shape: Shape, word: str) -> str:
    """Add a word to the masks of a log. For entries that are there it says that its columns changed, too."""
    (full,) = split_mask(EVERYTHING, 1)
    return f"ALTER TABLE {shape.log} ADD COLUMN {word} bigint NOT NULL DEFAULT {full}"


def _sentence(shape: Shape, line: Tracked | None) -> str:
    if line is None:
        return f"tracking {shape.name}"
    return f"renewed the capture of {shape.name}"


def _mark_ends(n: int) -> str:
    """Positions may end at entries of a log that goes."""
    return (
        "INSERT INTO syncline.marks SELECT DISTINCT ON (xid) xid, hlc"
        f" FROM syncline.log_{n} ORDER BY xid, seq DESC"
    )


def _carry_out(session: Session, schema: Schema, plan: Plan) -> None:
    sql = queries("prepare.sql")
    for statement in plan.statements:
        session.script(statement)
    for number in plan.forgotten:
        session.count(sql["forget table"], number)
    for record in plan.records:
        session.count(sql["record table"], *astuple(record))
    session.count(sql["keep before"], plan.before)
    if _ledger(session).save_version(schema) and not plan.notes:
        plan.notes.append("recorded the changed schema")
