"""Under what name the edits are remembered that a file carries from id to id: its lineage (laws L3 and L10).

It is the first id that the file had, as all its copies know that. An id of which the hub has a record is its
owner's. One of which it has none (the centre was put back to before it was registered, or its record was
removed) is known by the word of the file alone: there the lineage has the name of who says so in it, so that
nobody has anything remembered among the edits of another, and copies of one file still find each other's.
"""

from __future__ import annotations

from syncline.hub.contract import Client, ReadLedger
from syncline.hub.ids import LONGEST

_DIGITS = 3
_END = "\x1f"


def claimed(name: str, owner: str) -> str:
    """The lineage of files of this owner that say that they had an id first which is nobody's. It is longer
    than any id, so that nobody can register under it."""
    return f"{len(name):0{_DIGITS}}{name}{_END}{owner}".ljust(LONGEST + 1, _END)


def lineages_of(ledger: ReadLedger, client: Client) -> list[str]:
    """Where edits may be remembered that a file carries: first where those go that it pushes.

    A copy of it may have found a record of the id when this one did not, or the other way round."""
    found = client.root or client.replica
    if len(found) <= LONGEST:
        return [found, claimed(found, client.actor)]
    name = _name_in(found)
    if name is None:
        return [found]
    record = ledger.client(name)
    return [found, name] if record is None or record.actor == client.actor else [found]


def _name_in(lineage: str) -> str | None:
    """The id of which `claimed` made this lineage; None if it is none of those."""
    digits = lineage[:_DIGITS]
    if not digits.isdecimal():
        return None
    name, end, _ = lineage[_DIGITS:].partition(_END)
    return name if end and len(name) == int(digits) else None
