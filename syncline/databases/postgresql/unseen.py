"""Which transactions a push has to look through for rivals: those that its base has not seen, and of these
those that are not known to be of the replica alone.

A device that pushes and does not pull keeps its base, and its own entries since then grow without end. What
was looked through once, on this connection, is not looked through again. A connection does not outlive the
server's past: one that goes back in time has closed it.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.position import Snapshot
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array_of
from syncline.databases.postgresql.statements import others

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
    template = shape.statement(("others",), lambda: others(shape))
    ((text, own, found),) = session.run(template, replica, str(since.xmax), running, MANY + 1)
    known = since.others | set(found)
    if len(known) > MANY:
        return since
    now = Snapshot(text)
    left = memory[asked] = Unseen(now.xmax, now.running | {own}, known)
    return left
