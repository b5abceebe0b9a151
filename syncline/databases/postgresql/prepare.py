"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

from syncline.databases.base import Ledger, other_layout, present
from syncline.databases.base.planning import BasePlanner, Former, Ground, Line, Plan
from syncline.databases.base.preparing import Preparation
from syncline.databases.postgresql import strays
from syncline.databases.postgresql.capture import capture_of
from syncline.databases.postgresql.dialect import DIALECT, PostgresLedgerSession
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import same_place
from syncline.databases.postgresql.sameness import as_they_are, ground_of, known_again
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote, spelled
from syncline.databases.postgresql.types import is_wider
from syncline.errors import NotPrepared
from syncline.model.masks import split_mask
from syncline.model.numbering import Renamed
from syncline.model.schema import TableSchema
from syncline.model.values import EVERYTHING


class PostgresPreparation(Preparation):
    """What is prepared, and preparing it, in the transaction of a session."""

    def __init__(self, session: Session) -> None:
        super().__init__(_ledger(session))
        self._session = session

    def former(self) -> Former:
        sql, session = queries("prepare.sql"), self._session
        if not session.value(sql["prepared"]):
            return Former()
        _hub(session)
        recorded: str = session.value(queries("retention.sql")["cluster"])
        return Former(
            is_prepared=True,
            schema=self.ledger.in_force(),
            lines=tuple(Line(*row) for row in session.run(sql["tables"])),
            before=session.value(sql["before"]),
            is_here=bool(recorded) and same_place(recorded, session.value(queries("read.sql")["cluster"])),
            astray=frozenset(n for (n,) in session.run(sql["astray"])),
        )

    def known_again(self, lines: Iterable[Line]) -> Renamed:
        return known_again(self._session, lines)

    def own_tables(self) -> list[str]:
        return [*queries("layout.sql").values(), *DIALECT.create()]

    def planner(self, former: Former, plan: Plan) -> Planner:
        return Planner(self._session, former, plan)

    def forget(self, number: int) -> str:
        return spelled(queries("prepare.sql")["forget table"], number)

    def record(self, line: Line) -> str:
        return spelled(queries("prepare.sql")["record table"], *astuple(line))

    def keep_before(self, before: str) -> str:
        return spelled(queries("prepare.sql")["keep before"], before)

    def keep_version(self, fingerprint: str, body: str) -> list[str]:
        sql = queries("prepare.sql")
        return [spelled(sql["keep version"], fingerprint, body), spelled(sql["use version"], fingerprint)]

    def run(self, statement: str) -> None:
        self._session.script(statement)


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
        return [
            f"DROP TABLE syncline.log_{n}",
            f"DELETE FROM syncline.strays WHERE n = {n}",
        ]

    def add_word(self, shape: Shape, word: str) -> str:
        (full,) = split_mask(EVERYTHING, 1)
        return f"ALTER TABLE {shape.log} ADD COLUMN {word} bigint NOT NULL DEFAULT {full}"

    def widen_key(self, shape: Shape, position: int, central: str) -> str:
        return f"ALTER TABLE {shape.log} ALTER COLUMN k{position} TYPE {central}"

    def lose(self) -> list[str]:
        """Positions that are given out from now on end behind this transaction."""
        stamp = "syncline.direct_hlc()"
        return [
            "UPDATE syncline.state SET lost = pg_current_xact_id(),"
            f" floor_hlc = greatest(floor_hlc, {stamp})",
        ]

    def part(self, table: str) -> str:
        return f"ONLY {table}"
