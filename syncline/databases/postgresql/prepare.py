"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from syncline.databases.postgresql import grants
from syncline.databases.postgresql.capture import Capture, capture_of
from syncline.databases.postgresql.layout import Facts, Layout, Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries
from syncline.errors import NotPrepared, SchemaError
from syncline.hub.database import Prepared
from syncline.model.schema import Schema, from_plain, to_plain

LAYOUT = 3


@dataclass(frozen=True, slots=True)
class Tracked:
    """A line of `syncline.tables`."""

    n: int
    schema: str
    name: str
    columns: str
    capture: str


@dataclass(slots=True)
class Plan:
    """What has to be done: statements, the table lines to write, the numbers to forget, sentences."""

    statements: list[str] = field(default_factory=list)
    records: list[tuple[int, str, str, str, str]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(session: Session, schema: Schema, *, dry_run: bool) -> Prepared:
    """Do, or with `dry_run` only say, what is missing. Runs in a transaction of its own."""
    sql = queries("prepare.sql")
    session.script(sql["lock"])
    grants.require(session, schema)
    fresh = not session.value(sql["prepared"])
    tracked = [] if fresh else _tracked(session)
    plan = Plan()
    if fresh:
        plan.statements += queries("layout.sql").values()
        plan.notes.append("created schema syncline")
    else:
        _migrate(session, plan)
    _plan_tables(session, schema, tracked, plan)
    if not dry_run:
        _carry_out(session, schema, plan)
    return Prepared(plan.statements, plan.notes)


def plan(session: Session, schema: Schema) -> Prepared:
    """What another `prepare` would do to a prepared database. Needs no rights to do it."""
    todo = Plan()
    _plan_tables(session, schema, _tracked(session), todo)
    return Prepared(todo.statements, todo.notes)


def _migrate(session: Session, plan: Plan) -> None:
    """Bring older tables up to the present layout, step by step; each step sets the number itself."""
    layout = session.run(queries("prepare.sql")["state"])[0][0]
    if layout > LAYOUT:
        raise _other_layout(layout)
    for step in range(layout + 1, LAYOUT + 1):
        plan.statements += queries(f"migrate_{step}.sql").values()
        plan.notes.append(f"brought the schema syncline from layout {step - 1} to {step}")


def _other_layout(found: int) -> NotPrepared:
    detail = f"the schema syncline has layout {found}; this version works with {LAYOUT}"
    if found > LAYOUT:
        return NotPrepared(detail, remedy="Use the version of Syncline that prepared it, or a newer one.")
    return NotPrepared(detail)


def load(session: Session) -> tuple[str, Layout]:
    """The hub's id and the layout as last prepared. Raises NotPrepared."""
    sql = queries("prepare.sql")
    if not session.value(sql["prepared"]):
        raise NotPrepared("the central database has no schema syncline")
    layout, hub, definition = session.run(sql["state"])[0]
    if layout != LAYOUT:
        raise _other_layout(layout)
    if not definition:
        raise NotPrepared("the central database was never prepared to the end")
    numbers = {(line.schema, line.name): line.n for line in _tracked(session)}
    return hub, Layout(from_plain(json.loads(definition)), numbers, facts_of(session, numbers.values()))


def facts_of(session: Session, numbers: Iterable[int]) -> dict[int, Facts]:
    """What these tables are like now, by number; not in it: those that are gone."""
    found = session.run(queries("prepare.sql")["facts"], list(numbers))
    return {n: Facts(*facts) for n, *facts in found}


def _tracked(session: Session) -> list[Tracked]:
    return [Tracked(*row) for row in session.run(queries("prepare.sql")["tables"])]


def _plan_tables(session: Session, schema: Schema, tracked: list[Tracked], plan: Plan) -> None:
    known = {(line.schema, line.name): line for line in tracked}
    wanted = {(table.central_schema, table.central_name) for table in schema.tables}
    existing = _existing_triggers(session)
    for line in tracked:
        if (line.schema, line.name) not in wanted:
            _forget(line, existing, plan)
    highest = max((line.n for line in tracked), default=0)
    numbers = {place: line.n for place, line in known.items()}
    for table in sorted(schema.tables, key=lambda table: (table.central_schema, table.central_name)):
        place = (table.central_schema, table.central_name)
        if place not in numbers:
            highest += 1
            numbers[place] = highest
    for shape in Layout(schema, numbers).by_number:
        place = (shape.table.central_schema, shape.table.central_name)
        _plan_table(session, shape, known.get(place), existing, plan)


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
    new_log = line is None or line.columns != capture.columns
    intact = all(names <= existing.get(on, set()) for on, names in capture.triggers.items())
    if not new_log and intact and line is not None and line.capture == capture.digest:
        return
    if new_log and line is not None:
        plan.statements += [_mark_ends(shape.n), f"DROP TABLE {shape.log}"]
        plan.notes.append(f"{shape.name} has other columns than before: its log begins anew")
    if new_log:
        plan.statements += capture.log
    plan.statements += capture.code
    plan.notes.append(_sentence(shape, line, capture))
    plan.records.append((shape.n, table.central_schema, table.central_name, capture.columns, capture.digest))


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
    if session.count(sql["save definition"], definition) and not plan.notes:
        plan.notes.append("recorded the changed schema")
