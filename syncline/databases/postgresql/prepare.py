"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from syncline.databases.base import LAYOUT, other_layout
from syncline.databases.postgresql import grants
from syncline.databases.postgresql.capture import Capture, capture_of
from syncline.databases.postgresql.dialect import DIALECT
from syncline.databases.postgresql.layout import Facts, Layout, Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, split_mask
from syncline.errors import NotPrepared, SchemaError
from syncline.hub.contract import Prepared
from syncline.model.numbering import renumbered
from syncline.model.schema import Schema, from_plain, to_plain
from syncline.model.values import EVERYTHING


@dataclass(frozen=True, slots=True)
class Tracked:
    """A line of `syncline.tables`."""

    n: int
    schema: str
    name: str
    key: str
    words: int
    capture: str


@dataclass(slots=True)
class Plan:
    """What has to be done: statements, the table lines to write, the numbers to forget, sentences."""

    statements: list[str] = field(default_factory=list)
    records: list[tuple[int, str, str, str, int, str]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(session: Session, schema: Schema, *, dry_run: bool) -> Prepared:
    """Do, or with `dry_run` only say, what is missing. Runs in a transaction of its own."""
    sql = queries("prepare.sql")
    session.script(sql["lock"])
    grants.require(session, schema)
    plan = Plan()
    before, tracked = _former(session)
    if before is None and not session.value(sql["prepared"]):
        plan.statements += [*queries("layout.sql").values(), *DIALECT.create()]
        plan.notes.append("created schema syncline")
    schema = renumbered(schema, before)
    _plan_tables(session, schema, tracked, plan)
    if not dry_run:
        _carry_out(session, schema, plan)
    return Prepared(plan.statements, plan.notes)


def plan(session: Session, schema: Schema) -> Prepared:
    """What another `prepare` would do to a prepared database. Needs no rights to do it."""
    todo = Plan()
    before, tracked = _former(session)
    _plan_tables(session, renumbered(schema, before), tracked, todo)
    return Prepared(todo.statements, todo.notes)


def _former(session: Session) -> tuple[Schema | None, list[Tracked]]:
    """What was prepared before; nothing the first time."""
    if not session.value(queries("prepare.sql")["prepared"]):
        return None, []
    _, definition = _state(session)
    return from_plain(json.loads(definition)) if definition else None, _tracked(session)


def _state(session: Session) -> tuple[str, str | None]:
    """The hub's id, and the schema in force as JSON. NotPrepared for another layout."""
    sql = queries("prepare.sql")
    if not session.value(sql["versioned"]):
        raise other_layout(None)
    layout, hub, definition = session.run(sql["state"])[0]
    if layout != LAYOUT:
        raise other_layout(layout)
    return hub, definition


def load(session: Session) -> tuple[str, Layout]:
    """The hub's id and the layout as last prepared. Raises NotPrepared."""
    sql = queries("prepare.sql")
    if not session.value(sql["prepared"]):
        raise NotPrepared("the central database has no schema syncline")
    hub, definition = _state(session)
    if not definition:
        raise NotPrepared("the central database was never prepared to the end")
    schema = from_plain(json.loads(definition))
    return hub, Layout(schema, facts_of(session, schema.by_number))


def facts_of(session: Session, numbers: Iterable[int]) -> dict[int, Facts]:
    """What these tables are like now, by number; not in it: those that are gone."""
    found = session.run(queries("prepare.sql")["facts"], list(numbers))
    return {n: Facts(*facts) for n, *facts in found}


def _tracked(session: Session) -> list[Tracked]:
    return [Tracked(*row) for row in session.run(queries("prepare.sql")["tables"])]


def _plan_tables(session: Session, schema: Schema, tracked: list[Tracked], plan: Plan) -> None:
    known = {line.n: line for line in tracked}
    existing = _existing_triggers(session)
    for line in tracked:
        if line.n not in schema.by_number:
            _forget(line, existing, plan)
    for shape in Layout(schema).by_number:
        _plan_table(session, shape, known.get(shape.n), existing, plan)


def _existing_triggers(session: Session) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, _, schema, table, trigger in session.run(queries("prepare.sql")["triggers"]):
        found.setdefault(qualified(schema, table), set()).add(trigger)
    return found


def _plan_table(
    session: Session, shape: Shape, line: Tracked | None, existing: dict[str, set[str]], plan: Plan
) -> None:
    table = shape.table
    rows = session.run(queries("prepare.sql")["placement"], table.central_schema, table.central_name)
    if not rows:
        raise SchemaError(f"{table.central_schema}.{table.central_name}: there is no such table any more")
    by_row, parts = rows[0]
    partitions = tuple((name.split("\n")[0], name.split("\n")[1]) for name in parts)
    capture = capture_of(shape, partitions, by_row)
    new_log = line is None or line.key != capture.key
    intact = all(names <= existing.get(on, set()) for on, names in capture.triggers.items())
    here = (table.central_schema, table.central_name)
    if not new_log and intact and line is not None and line.capture == capture.digest:
        if (line.schema, line.name) == here:
            return
    if new_log and line is not None:
        plan.statements += [_mark_ends(shape.n), f"DROP TABLE {shape.log}"]
        plan.notes.append(f"{shape.name} has another key than before: its log begins anew")
    if new_log:
        plan.statements += capture.log
    elif line is not None:
        plan.statements += [_widened(shape, word) for word in shape.words[line.words :]]
    plan.statements += capture.code
    plan.notes.append(_sentence(shape, line, capture))
    plan.records.append((shape.n, *here, capture.key, len(shape.words), capture.digest))


def _widened(shape: Shape, word: str) -> str:
    """Add a word to the masks of a log. For entries that are there it says that its columns changed, too."""
    (full,) = split_mask(EVERYTHING, 1)
    return f"ALTER TABLE {shape.log} ADD COLUMN {word} bigint NOT NULL DEFAULT {full}"


def _sentence(shape: Shape, line: Tracked | None, capture: Capture) -> str:
    if line is None:
        return f"tracking {shape.name}"
    return f"renewed the capture of {shape.name}"


def _forget(line: Tracked, existing: dict[str, set[str]], plan: Plan) -> None:
    """Stop tracking a table; it may be gone. Its triggers go with the functions."""
    for event in ("insert", "update", "delete", "truncate"):
        plan.statements.append(f"DROP FUNCTION IF EXISTS syncline.{event}_{line.n}() CASCADE")
    plan.statements += [_mark_ends(line.n), f"DROP TABLE syncline.log_{line.n}"]
    plan.forgotten.append(line.n)
    plan.notes.append(f"stopped tracking {qualified(line.schema, line.name)}")


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
        session.count(sql["record table"], *record)
    definition = json.dumps(to_plain(schema), sort_keys=True)
    session.count(sql["save version"], schema.fingerprint, definition)
    if session.count(sql["use version"], schema.fingerprint) and not plan.notes:
        plan.notes.append("recorded the changed schema")
