"""Which log entries say nothing that a later one does not say: they may go before everybody has seen them.

An update e1 is covered by a later entry e2 of the same row if e2 names every column of e1, was made by the
same origin or directly in the centre, and does not carry a lower stamp. Then

- a pull that would give e1 gives e2 too: whoever has not seen e1 has not seen e2, e2 is left out for no
  replica for which e1 is not, and the columns of e1 are among those of e2;
- e1 keeps no old values: whoever has not seen it is told by them what the row was like (`ReadLog.former`);
- a push that meets e1 as a rival meets e2 as well, for the same columns and with a stamp as high.

See docs/adr/0011-retention.md.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from syncline.model.operations import PARTIAL

LATER = 8
"""Of one row so many later entries are compared; more distinct origins or masks than that are rare."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: `place` is the adapter's, `row` names table and key."""

    place: Any
    row: Hashable
    op: str
    mask: int
    hlc: int
    origin: str
    keeps: bool = False
    """Whether it keeps old values, which no later entry tells."""


def covered(entries: Iterable[LogEntry]) -> list[Any]:
    """The places of the covered entries among `entries`, which are the log's in its order, without gaps.

    A row with an entry M (perhaps removed) is left alone: what an M means depends on what follows it."""
    newest_first = list(entries)[::-1]
    doubtful = {entry.row for entry in newest_first if entry.op == "M"}
    later: dict[Hashable, list[LogEntry]] = {}
    gone = []
    for entry in newest_first:
        if entry.row in doubtful:
            continue
        known = later.setdefault(entry.row, [])
        if entry.op == "U" and not entry.keeps and any(_covers(other, entry) for other in known):
            gone.append(entry.place)
        else:
            known.insert(0, entry)
            del known[LATER:]
    return gone


def _covers(later: LogEntry, entry: LogEntry) -> bool:
    return (
        later.origin in (entry.origin, "hub")
        and (later.hlc, later.origin) >= (entry.hlc, entry.origin)
        and (later.op not in PARTIAL or later.mask & entry.mask == entry.mask)
    )
