"""How far the log was seen: a `pg_snapshot`, exact for any interleaving of transactions (law L4).

An entry is new if its transaction is not visible in the snapshot of the last pull and visible in that of
this one; no order of commits and no open transaction can make it slip through. While a pull takes several
pages, the position also holds the snapshot it leads to and the last entry read.

The snapshot ends behind the newest entry that can be read. The server may have given out higher numbers, and
after a crash it gives those again that left no trace on disk; an entry that can be read is on disk.

What proves that a position is of this past and no other is a random number in the database itself (law L4).
A centre that is put back from a backup goes on from there, and may give out the same numbers of transactions
and, where a clock was wrong, the same stamps again. So a position carries a *mark*: a random number that was
committed after everything that the position has seen. Where the mark is, all of that is, in whatever order
transactions were begun and committed: a backup, a dump or a standby that has the mark has what was committed
before it. Where it is not, the centre has gone back to before it.

A push leaves one in its own transaction. A pull finds the newest one, and leaves another in its own
transaction only if that had not seen all of what the pull has: other programs have written since.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from syncline.databases.base.page import Place
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Position

_SNAPSHOT = r"[0-9]{1,20}:[0-9]{1,20}:(?:[0-9]{1,20}(?:,[0-9]{1,20})*)?"
_CLUSTER = r"[0-9]{1,20}/[0-9A-F]{8}/[0-9]{1,10}"
_PROVED = rf"({_SNAPSHOT});([0-9]{{1,20}})\.([0-9]{{1,19}})"
_PLACE = "([0-9]{1,9}),([0-9]{1,20}),([0-9]{1,20})"
_TOKEN = re.compile(f"({_CLUSTER});{_PROVED}(?:;{_PROVED};{_PLACE})?")

Mark = tuple[int, int]
"""The number of a transaction, and the random one that it has left."""

NO_MARK: Mark = (0, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A `pg_snapshot`: transactions below `xmax` that are not among `running` are visible."""

    text: str
    xmax: int = field(init=False, compare=False)
    running: frozenset[int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(_SNAPSHOT, self.text):
            raise ValueError(f"{self.text[:50]!r} is not a snapshot")
        _, xmax, running = self.text.split(":")
        object.__setattr__(self, "xmax", int(xmax))
        object.__setattr__(self, "running", frozenset(map(int, running.split(",") if running else ())))

    def up_to(self, xmax: int) -> Snapshot:
        """The same, but nothing from `xmax` on is visible."""
        if xmax >= self.xmax:
            return self
        running = sorted(xid for xid in self.running if xid < xmax)
        return Snapshot(f"{running[0] if running else xmax}:{xmax}:{','.join(map(str, running))}")

    def sees(self, xid: int) -> bool:
        """Whether that transaction is visible."""
        return xid < self.xmax and xid not in self.running

    @property
    def first_unseen(self) -> int:
        """The lowest transaction that is not visible."""
        return min((xid for xid in self.running if xid < self.xmax), default=self.xmax)


@dataclass(frozen=True, slots=True)
class Proof:
    """A mark, and what was committed when it was: all that `seen` sees, and the mark's own transaction."""

    mark: Mark
    seen: Snapshot

    def covers(self, position: Snapshot) -> bool:
        """Whether all that a position has seen was there before the mark."""
        own, known = self.mark[0], self.seen
        if any(xid != own and position.sees(xid) for xid in known.running):
            return False
        # of the numbers that the mark's snapshot had not come to, the position has seen none but the mark's
        beyond = max(0, position.xmax - known.xmax)
        unseen = sum(1 for xid in position.running if known.xmax <= xid < position.xmax)
        return beyond - unseen == (known.xmax <= own < position.xmax and own not in position.running)


@dataclass(frozen=True, slots=True)
class SnapshotPosition:
    """`cluster` names the server's data, its timeline and the database: numbers of transactions mean
    nothing anywhere else. With `target` a pull is under way: of what `target` sees and `seen` does not,
    the entries up to `last` have been read.

    `mark` was committed after all that `seen` sees, `target_mark` after what `target` sees. Any number of
    marks may prove one position, and two positions are equal whatever proves them."""

    cluster: str
    seen: Snapshot
    target: Snapshot | None = None
    last: Place = (0, 0, 0)
    mark: Mark = field(default=NO_MARK, compare=False)
    target_mark: Mark = field(default=NO_MARK, compare=False)

    @property
    def marks(self) -> list[Mark]:
        """What the database must have."""
        return [self.mark] if self.target is None else [self.mark, self.target_mark]

    @property
    def end(self) -> int:
        """The number below which are all transactions that have been seen."""
        return self.seen.xmax if self.target is None else max(self.seen.xmax, self.target.xmax)

    def sees(self, place: Place) -> bool:
        """Whether the log entry at `place` had been seen."""
        if self.seen.sees(place[1]):
            return True
        return self.target is not None and self.target.sees(place[1]) and place <= self.last

    def token(self) -> str:
        """ASCII text without '|'; `parse` makes an equal position of it."""
        whole = f"{self.cluster};{self.seen.text};{'{}.{}'.format(*self.mark)}"
        if self.target is None:
            return whole
        return f"{whole};{self.target.text};{'{}.{};{},{},{}'.format(*self.target_mark, *self.last)}"


def parse(token: str) -> SnapshotPosition:
    """The position of a token, of whatever cluster. Raises ValueError for any other text."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError("not a position of PostgreSQL")
    seen, mark = Snapshot(found[2]), (int(found[3]), int(found[4]))
    if found[5] is None:
        return SnapshotPosition(found[1], seen, mark=mark)
    xid, number, table, *entry = map(int, found.groups()[5:])
    last = (table, entry[0], entry[1])
    return SnapshotPosition(found[1], seen, Snapshot(found[5]), last, mark, (xid, number))


def snapshot_position(position: Position) -> SnapshotPosition:
    """A position that is one of this kind of database."""
    if not isinstance(position, SnapshotPosition):
        raise WatermarkRefused("the watermark is not one of a PostgreSQL database")
    return position


def same_place(one: str, other: str) -> bool:
    """Whether two clusters are one database with the same data, whatever their timelines."""
    return one.split("/")[::2] == other.split("/")[::2]
