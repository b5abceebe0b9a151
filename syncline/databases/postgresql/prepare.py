"""Making a central database ready: Syncline's own schema, a log and triggers for each table. Idempotent.

Everything is compared with what is there; what is missing or outdated becomes a statement, and the
statements run in one transaction (DDL is transactional in PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.databases.base import TABLES
from syncline.databases.base.lines import Line
from syncline.databases.base.planning import BasePlanner, Former, Ground, Plan
from syncline.databases.base.preparing import Preparation
from syncline.databases.base.removal import removal
from syncline.databases.base.tables import LINES
from syncline.databases.base.wider import UNNAMED, NamedTypes
from syncline.databases.postgresql import strays
from syncline.databases.postgresql.capture import capture_of
from syncline.databases.postgresql.dialect import DIALECT, ledger_of
from syncline.databases.postgresql.examine import missing_rights
from syncline.databases.postgresql.layout import Layout, Shape, as_they_are
from syncline.databases.postgresql.position import same_place
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote, spelled
from syncline.databases.postgresql.types import is_wider
from syncline.hub.contract import Prepared
from syncline.model.masks import split_mask
from syncline.model.numbering import Renamed
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import EVERYTHING


class PostgresPreparation(Preparation):
    """What is prepared, and preparing it, in the transaction of a session."""

    def __init__(self, session: Session, types: NamedTypes = UNNAMED) -> None:
        super().__init__(ledger_of(session))
        self._session, self.types = session, types

    def is_ours(self) -> bool | None:
        found: bool | None = self._session.value(queries("prepare.sql")["prepared"])
        return found

    def is_here(self) -> bool:
        recorded: str = self._session.value(queries("retention.sql")["cluster"])
        return bool(recorded) and same_place(recorded, self._session.value(queries("read.sql")["cluster"]))

    def astray(self) -> list[int]:
        return [n for (n,) in self._session.run(queries("prepare.sql")["astray"])]

    def layout(self) -> Layout:
        """The layout as last prepared. Raises NotPrepared."""
        hub, schema, before = self.last()
        revision = self._session.value(queries("prepare.sql")["revision"])
        now = as_they_are(self._session, schema.by_number, schema.by_number)
        return Layout(schema, now, before, hub, revision)

    def known_again(self, lines: Iterable[Line]) -> Renamed:
        """PostgreSQL knows a table by its oid, a column by its attnum, whatever they are called."""
        present = as_they_are(self._session, [line.n for line in lines], ())
        tables = {table.place: n for n, table in present.items()}
        return Renamed(tables, {n: table.numbered() for n, table in present.items()})

    def own_tables(self) -> list[str]:
        here = self._session.value(queries("read.sql")["cluster"])
        known = spelled(queries("retention.sql")["record cluster"], here)
        files = "layout.sql", "marks.sql", "strays.sql"
        made = [statement for file in files for statement in queries(file).values()]
        return [*made, *DIALECT.create((LINES, *TABLES)), known]

    def planner(self, former: Former, plan: Plan) -> Planner:
        return Planner(self._session, former, plan)

    spelled = staticmethod(spelled)

    def run(self, statements: Sequence[str]) -> None:
        self._session.scripts(statements)

    def lacking(self, schema: Schema) -> list[str]:
        return missing_rights(self._session, schema)

    def removal(self) -> Prepared:
        """The schema `syncline` goes, and with its functions the triggers. What else depends on it was looked
        for before."""
        sql, run = queries("remove.sql"), self._session.run
        if self.is_ours() is None:
            return Prepared()
        dependents = [name for (name,) in run(sql["dependents"])]
        tables = [qualified(*place) for place in run(sql["tables"])]
        return removal(["DROP SCHEMA syncline CASCADE"], dependents, self.ledger_here(), tables)


class Planner(BasePlanner[Shape]):
    """The statements of a plan in PostgreSQL's words."""

    def __init__(self, session: Session, former: Former, plan: Plan) -> None:
        found = session.run(queries("prepare.sql")["triggers"])
        super().__init__(former, plan, [(qualified(*place), name, fires) for *place, name, fires in found])
        self._session = session

    ahead = ("SET LOCAL check_function_bodies = off",)  # they say what their log has, which comes later
    shape = Shape
    place = staticmethod(qualified)
    capture = staticmethod(capture_of)
    fits = staticmethod(is_wider)
    settle = staticmethod(strays.move)
    touch = staticmethod(strays.touch)
    touch_since = staticmethod(strays.touch_since)

    def ground(self, table: TableSchema) -> Ground | None:
        """The table under its present name."""
        place = table.central_schema, table.central_name
        rows = self._session.run(queries("prepare.sql")["placement"], *place)
        if not rows:
            return None
        relid, columns, labels, by_row, parts, attached = rows[0]
        return Ground(relid, columns, labels, by_row, [part.split("\n") for part in parts], attached)

    def drop_trigger(self, trigger: str, table: str) -> str:
        return f"DROP TRIGGER IF EXISTS {quote(trigger)} ON {table}"

    def wait_for_writers(self, table: str) -> str:
        return f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"

    def forget(self, line: Line) -> list[str]:
        """The triggers go with their functions."""
        events = ("insert", "update", "delete", "truncate")
        made = [f"DROP FUNCTION IF EXISTS syncline.{event}_{line.n}() CASCADE" for event in events]
        return [*made, *self.end_log(line.n)]

    def end_log(self, n: int) -> list[str]:
        return [f"DROP TABLE syncline.log_{n}", f"DELETE FROM syncline.strays WHERE n = {n}"]

    def add_word(self, shape: Shape, word: str) -> str:
        (full,) = split_mask(EVERYTHING, 1)
        return f"ALTER TABLE {shape.log} ADD COLUMN {word} bigint NOT NULL DEFAULT {full}"

    def widen_key(self, shape: Shape, position: int, central: str) -> str:
        using = f" USING k{position}::text::{central}" if shape.keys[position].kind == "enum" else ""
        return f"ALTER TABLE {shape.log} ALTER COLUMN k{position} TYPE {central}{using}"

    def lose(self) -> list[str]:
        """Positions that are given out from now on end behind this transaction."""
        stamp = "syncline.direct_hlc()"
        return [
            f"UPDATE syncline.state SET lost = pg_current_xact_id(), floor_hlc = greatest(floor_hlc, {stamp})"
        ]

    def part(self, table: str) -> str:
        return f"ONLY {table}"
