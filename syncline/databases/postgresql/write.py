"""What the hub does with rows in one write transaction.

A push looks through the transactions that its base has not seen for rivals, but for those that are known to
be of the replica alone. A device that pushes and does not pull keeps its base, and its own entries since then
grow without end: what was looked through once, on this connection, is not looked through again. A connection
does not outlive the server's past: one that goes back in time has closed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.errors import LockNotAvailable

from syncline.databases.base.bases import Bases
from syncline.databases.base.placed import PlacingWriter
from syncline.databases.base.shape import BaseShape
from syncline.databases.base.staged import Tries
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.apply import Application
from syncline.databases.postgresql.holders import Holders
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import Snapshot, snapshot_position
from syncline.databases.postgresql.read import RowReader
from syncline.databases.postgresql.session import BRIEF, FIRST_PATIENCE, Session
from syncline.databases.postgresql.sql import array_of, queries
from syncline.databases.postgresql.stage import Loaded, drop
from syncline.hub.contract import Refusal, Rival, Stage

MANY = 1000
"""Transactions of others that are remembered of one base, and bases that are remembered of one connection."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Every transaction from `xmax` on, those of `running`, and those of `others`, who are known to have
    changed the table."""

    xmax: int
    running: frozenset[int]
    others: frozenset[int] = frozenset()

    def bound(self) -> tuple[str, str]:
        """As a statement takes it: from where on, and which besides."""
        return str(self.xmax), array_of(sorted(self.running | self.others))


Memory = dict[tuple[int, str, Unseen], Unseen]
"""By the number of the table, the replica, and what its base has not seen."""


def is_known(memory: Memory, shape: Shape, replica: str, base: Unseen) -> bool:
    """Whether this was asked before; from now on it was."""
    asked = shape.n, replica, base
    if asked in memory:
        return True
    if len(memory) >= MANY:
        memory.clear()
    memory[asked] = base
    return False


def look(session: Session, memory: Memory, shape: Shape, replica: str, base: Unseen) -> Unseen:
    """What is left to look through. It is the transactions of others alone, if there are none too many of
    them, and what is not visible now; this very transaction is among that."""
    asked = shape.n, replica, base
    since = memory.get(asked, base)
    running = array_of(sorted(since.running))
    template = shape.statement(("others",), lambda: sql.others(shape))
    ((text, own, found),) = session.run(template, replica, str(since.xmax), running, MANY + 1)
    known = since.others | set(found)
    if len(known) > MANY:
        return since
    now = Snapshot(text)
    below = {own} if own < now.xmax else set()  # what was begun later is looked through anyway
    left = memory[asked] = Unseen(now.xmax, now.running | below, known)
    return left


class RowWriter(RowReader, PlacingWriter[Loaded]):
    """The contract's `Rows`, READ COMMITTED."""

    patience_over = LockNotAvailable

    def __init__(self, session: Session, layout: Layout, lock_timeout: float) -> None:
        RowReader.__init__(self, session, layout)
        PlacingWriter.__init__(self, session, Holders(session))
        self._looked: Memory = {}
        self._lock_timeout = lock_timeout

    def handle(self, stage: Stage) -> Loaded:
        return Loaded(stage, self.shape(stage.table))

    def drop(self, loaded: Sequence[Loaded]) -> None:
        drop(self._session, [item.table for item in loaded if item.table])

    def for_update(self, *, deletes: bool) -> str:
        return f" FOR {'' if deletes else 'NO KEY '}UPDATE OF t{'' if self.tries.waits else ' SKIP LOCKED'}"

    def reach(self, shape: BaseShape) -> None:
        self._session.script(f"LOCK TABLE {shape.name} IN ROW EXCLUSIVE MODE")

    def renumbered(self, piece: str, number: int) -> str:
        return piece.replace("$1", f"${number}")

    def rivals_of(self, loaded: Loaded, bases: Bases, *, again: bool) -> list[Rival]:
        """SQL narrows it down by what the oldest base has not seen. Unless it is asked `again`, triggers that
        have fired in this transaction are among the others."""
        shape, triggers = loaded.shape, self._layout.triggered and not again
        seen = [snapshot_position(position).seen for position in bases.used]
        running = frozenset[int]().union(*(one.running for one in seen))
        base = Unseen(min(one.xmax for one in seen), running)
        left = self._unseen(loaded, bases.replica, base)
        if not left.others and left != base and not triggers:
            return []
        name = ("rivals", triggers)
        template = shape.statement(name, lambda: sql.rivals(shape, triggers=triggers))
        loaded.place(self._session)
        rows = self._session.run(*loaded.over(template), bases.replica, *left.bound())
        return bases.rivals(shape, ([n, (shape.n, xid, seq), *rest] for n, xid, seq, *rest in rows))

    def _unseen(self, loaded: Loaded, replica: str, base: Unseen) -> Unseen:
        """What is looked through. The first time a small stage asks, that is all: nearly every push has
        another base than the one before."""
        memory = self._looked if self._session.connection.is_shared else self._session.connection.memory
        if not is_known(memory, loaded.shape, replica, base) and loaded.texts is not None:
            return base
        return look(self._session, memory, loaded.shape, replica, base)

    def write(self, loaded: Sequence[Loaded], origin: str) -> list[Refusal]:
        self._written.update(item.stage.table for item in loaded if item.stage.form != "delete")
        return Application(self._session, self._layout, loaded, origin, self.tries).run()

    def last_number(self, counter: int) -> int | None:
        found: int | None = self._session.value(queries("counters.sql")["last"], counter)
        return found

    def take_numbers(self, counter: int, count: int) -> None:
        self._session.value(queries("counters.sql")["take"], counter, count)

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Wait for each row as long as at first, which is not long enough to be a deadlock or to keep others
        waiting, until the patience is over. From the second time on not beside others that try again: a storm
        of them would keep failing on each other."""
        self.tries = Tries(attempt, waits=patience > 0)
        if attempt > 1:
            self._session.wait_for_locks(self._lock_timeout)
            self._session.value(queries("write.sql")["queue"])
        self._session.wait_for_locks(min(FIRST_PATIENCE, patience) if patience > 0 else BRIEF)
