"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import astuple

from syncline.databases.base import Ledger, other_layout, present
from syncline.databases.base.planning import BasePlanner, Former, Ground, Line, Plan
from syncline.databases.postgresql import grants, strays
from syncline.databases.postgresql.capture import capture_of
from syncline.databases.postgresql.dialect import DIALECT, PostgresLedgerSession
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import same_place
from syncline.databases.postgresql.sameness import as_they_are, ground_of, known_again
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote, spelled
from syncline.databases.postgresql.wider import is_wider
from syncline.errors import NotPrepared
from syncline.hub.contract import Declared, Locked, Prepared, Renaming
from syncline.model.masks import split_mask
from syncline.model.numbering import Renamed, named_now, renumbered
from syncline.model.schema import Schema, TableSchema, to_plain
from syncline.model.values import EVERYTHING

HOLD_SECONDS = 0.6
"""For so long new tables are held in one transaction, in which nobody can write to any of them."""


def prepare(session: Session, schema: Schema, before: Declared | None, cluster: str) -> Prepared:
    """Do what is missing; `before` as the contract says. Runs in a transaction of its own that holds the lock
    of the hubs, in this `cluster`."""
    grants.require(session, schema)
    former = former_of(session)
    todo, prepared = _planned(session, schema, before, former)
    beginners = {line.n for line in todo.records} - {line.n for line in former.lines}
    _carry_out(session, prepared.statements, several=len(beginners) > 1)
    session.count(queries("retention.sql")["first cluster"], cluster)
    if _is_another_version(former, prepared.schema) and not prepared.notes:
        prepared.notes.append("recorded the changed schema")
    return prepared


def plan(session: Session, schema: Schema, before: Declared | None = None) -> Prepared:
    """What `prepare` would do. Writes nothing and needs no rights to do it."""
    return _planned(session, schema, before, former_of(session))[1]


def _planned(
    session: Session, schema: Schema, before: Declared | None, former: Former
) -> tuple[Plan, Prepared]:
    todo = Plan()
    if not former.is_prepared:
        todo.statements += [*queries("layout.sql").values(), *DIALECT.create()]
        todo.notes.append("created schema syncline")
    same = known_again(session, former.lines) if former.is_here else None
    schema = renumbered(schema, former.schema, same)
    Planner(session, former, todo).tables(schema, before)
    statements = [*todo.statements, *_records(former, todo, schema)]
    return todo, Prepared(statements, todo.notes, schema, former.schema)


def renamed(session: Session) -> Renaming | None:
    """As the contract says. What was restored elsewhere is known by its names alone."""
    former = former_of(session)
    if former.schema is None:
        return None
    same = known_again(session, former.lines) if former.is_here else Renamed()
    return Renaming(former.schema, named_now(former.schema, same))


def former_of(session: Session) -> Former:
    """What was prepared before."""
    sql = queries("prepare.sql")
    if not session.value(sql["prepared"]):
        return Former()
    _hub(session)
    recorded: str = session.value(queries("retention.sql")["cluster"])
    return Former(
        is_prepared=True,
        schema=_ledger(session).in_force(),
        lines=tuple(Line(*row) for row in session.run(sql["tables"])),
        before=session.value(sql["before"]),
        is_here=bool(recorded) and same_place(recorded, session.value(queries("read.sql")["cluster"])),
        astray=frozenset(n for (n,) in session.run(sql["astray"])),
    )


def _ledger(session: Session) -> Ledger:
    return Ledger(PostgresLedgerSession(session))


def _hub(session: Session) -> str:
    """The hub's id. NotPrepared for another layout."""
    if not session.value(queries("prepare.sql")["versioned"]):
        raise other_layout(None)
    return _ledger(session).identity()[0]


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


class Planner(BasePlanner[Shape]):
    """The statements of a plan in PostgreSQL's words."""

    def __init__(self, session: Session, former: Former, plan: Plan) -> None:
        found = session.run(queries("prepare.sql")["triggers"])
        super().__init__(former, plan, [(relid, qualified(*place), name) for relid, *place, name in found])
        self._session = session

    shape = Shape
    place = staticmethod(qualified)
    capture = staticmethod(capture_of)
    is_wider = staticmethod(is_wider)
    settle = staticmethod(strays.move)
    touch = staticmethod(strays.touch)
    touch_since = staticmethod(strays.touch_since)

    def ground(self, table: TableSchema) -> Ground | None:
        return ground_of(self._session, table)

    def drop_trigger(self, trigger: str, table: str) -> str:
        return f"DROP TRIGGER IF EXISTS {quote(trigger)} ON {table}"

    def forget(self, line: Line) -> list[str]:
        """The triggers go with their functions."""
        events = ("insert", "update", "delete", "truncate")
        made = [f"DROP FUNCTION IF EXISTS syncline.{event}_{line.n}() CASCADE" for event in events]
        return [*made, *self.end_log(line.n)]

    def end_log(self, n: int) -> list[str]:
        marked = f"SELECT DISTINCT ON (xid) xid, hlc FROM syncline.log_{n} ORDER BY xid, seq DESC"
        return [
            f"INSERT INTO syncline.marks {marked}",
            f"DROP TABLE syncline.log_{n}",
            f"DELETE FROM syncline.strays WHERE n = {n}",
        ]

    def add_word(self, shape: Shape, word: str) -> str:
        (full,) = split_mask(EVERYTHING, 1)
        return f"ALTER TABLE {shape.log} ADD COLUMN {word} bigint NOT NULL DEFAULT {full}"

    def widen_key(self, shape: Shape, position: int, central: str) -> str:
        return f"ALTER TABLE {shape.log} ALTER COLUMN k{position} TYPE {central}"

    def lose(self) -> list[str]:
        """The mark makes positions that are given out from now on end behind this transaction."""
        stamp = "syncline.direct_hlc()"
        return [
            f"INSERT INTO syncline.marks VALUES (pg_current_xact_id(), {stamp})",
            "UPDATE syncline.state SET lost = pg_current_xact_id(),"
            f" floor_hlc = greatest(floor_hlc, {stamp})",
        ]

    def part(self, table: str) -> str:
        return f"ONLY {table}"


def _records(former: Former, plan: Plan, schema: Schema) -> list[str]:
    """What is recorded besides, as a person would write it."""
    sql = queries("prepare.sql")
    made = [spelled(sql["forget table"], number) for number in plan.forgotten]
    made += [spelled(sql["record table"], *astuple(record)) for record in plan.records]
    if former.before != plan.before:
        made.append(spelled(sql["keep before"], plan.before))
    if _is_another_version(former, schema):
        body = json.dumps(to_plain(schema), sort_keys=True)
        made.append(spelled(sql["keep version"], schema.fingerprint, body))
        made.append(spelled(sql["use version"], schema.fingerprint))
    return made


def _is_another_version(former: Former, schema: Schema | None) -> bool:
    return former.schema is None or schema is None or former.schema.fingerprint != schema.fingerprint


def _carry_out(session: Session, statements: Sequence[str], *, several: bool) -> None:
    """Run it. New tables are held no longer than others may wait: of `several`, Locked after that."""
    end = math.inf
    for statement in statements:
        if time.monotonic() > end:
            raise Locked("too many tables would be held for too long at once")
        if several and statement.startswith("CREATE TRIGGER") and end == math.inf:
            end = time.monotonic() + HOLD_SECONDS
        session.script(statement)
