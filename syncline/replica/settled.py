"""What became of rejected edits, and what the hub is told of them when a file takes a new id.

That an edit was rejected is known where it was, and to the hub. A centre that goes back in time has lost it,
and a copy of the file in which the edit is pending would bring it as if nothing had been: a retry of it would
count twice, what a person has discarded would come after all. So the file keeps what it knows to be rejected,
also when that was retried or discarded, as long as what was pushed, and the hub remembers it anew. Of what a
copy has brought before, the file hears: it is not retried any more, and a retry of it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncline.protocol.messages import NAME_LENGTH, STAMP_BYTES, WORDS_LENGTH, Refusal
from syncline.replica.clocks import milliseconds
from syncline.replica.device import Device
from syncline.replica.edge import outward_key
from syncline.replica.overlay import Key
from syncline.replica.retried import MOST_PARTS, of_row
from syncline.replica.store import Store, unpack

UNTOLD = "edit_untold"
"""The code of an edit that may count twice, or not at all."""

BROUGHT = "edit_brought"
"""The code of an edit that was rejected here, and that the centre has taken from a copy of the file."""

COLUMNS, PUSH = "columns", "push"
"""Why stamps of a rejected edit are not its own alone: more columns of the row were edited, or other rows."""

MOST = MOST_PARTS * STAMP_BYTES
"""Bytes of stamps of an edit that is kept here at most."""
TOLD = f"length(stamps) BETWEEN {STAMP_BYTES} AND {MOST} AND length(stamps) % {STAMP_BYTES} = 0"
"""Of which edits it is kept and told, as SQL: those with stamps, whole ones."""
_KEPT = "n, coalesce(first, key), code, detail, remedy, at, stamps, part"
EDIT = f"CASE part WHEN '{COLUMNS}' THEN edit END"
"""What tells of which columns an edit is, where that matters, as SQL."""

MADE = milliseconds("julianday(at)")
"""When an edit was rejected, as SQL, in milliseconds since 1970 UTC."""


def what_of(n: int, key: Sequence[object], part: str | None, columns: Sequence[int]) -> list[object]:
    """What tells the retry of a rejected edit from others of the same stamps; see `Retry.mark`."""
    return [n, list(key), *([list(columns)] if part == COLUMNS else [])]


def retry_of(n: int, key: Sequence[object], part: str | None, edit: bytes | None, stamps: bytes) -> bytes:
    """The stamps that a retry of a rejected edit has, in whichever copy of the file. `edit`: what `EDIT` has
    read."""
    columns = [] if edit is None else unpack(edit)["columns"]
    return of_row(stamps, what_of(n, key, part, columns))


def keep_settled(store: Store, number: int, again: bytes = b"") -> None:
    """A rejected edit is about to be no more, or less. `again`: the stamps of its retry. Inside a
    transaction."""
    store.execute(
        "INSERT INTO _sync_settled (n, key, code, detail, remedy, at, stamps, part, again)"
        f" SELECT {_KEPT}, ? FROM _sync_rejected WHERE id = ? AND {TOLD}",
        (again, number),
    )


def sweep_settled(store: Store, seconds: int) -> None:
    """Forget what was rejected longer ago: no copy brings it any more."""
    store.execute(
        "DELETE FROM _sync_settled WHERE at < strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') - ? / 86400.0)",
        (seconds,),
    )


def rejected_at(store: Store, number: int) -> int | None:
    """When a rejected edit was, in milliseconds since 1970 UTC; None if a person has to look whether the
    centre has it, and has looked."""
    at: int | None = store.value(
        f"SELECT CASE WHEN code = ? THEN NULL ELSE {MADE} END FROM _sync_rejected WHERE id = ?",
        (UNTOLD, number),
    )
    return at


@dataclass(frozen=True, slots=True)
class Known:
    """An edit that the file knows to be rejected: its row as the file has it, what is asked for, and what the
    hub is told, if it is."""

    n: int
    key: Key
    asked: bytes
    refusal: Refusal | None


def known_refused(device: Device) -> Iterator[Known]:
    """Those that were retried or discarded, and those that a person has not decided about. Asked for are the
    stamps of the edit, and of the retry that a copy may have made."""
    store = device.store
    among = f"SELECT {_KEPT}, 0, {EDIT} FROM _sync_rejected WHERE {TOLD}"
    settled = "SELECT n, key, code, detail, remedy, at, stamps, part, 1, NULL FROM _sync_settled"
    settled = f"{settled} WHERE {TOLD}"
    for row in store.rows(f"{settled} UNION ALL {among}"):
        n, packed, code, detail, remedy, _, stamps, part, is_settled, edit = row
        t, key = device.tables.get(n), unpack(packed)
        if t is None or len(key) != t.arity:
            continue
        asked = stamps
        if not is_settled:
            asked += retry_of(n, key, part, edit, stamps)
        told = None
        if part is None and code not in (UNTOLD, BROUGHT):
            outward = list(outward_key(t, key))
            words = detail[:WORDS_LENGTH], remedy[:WORDS_LENGTH]
            told = Refusal(stamps, n, outward, _as_name(code), *words)
        yield Known(n, tuple(key), asked, told)


def _as_name(code: str) -> str:
    """A code as it can be told, whatever a rule or a hub has called it."""
    return "".join(character for character in code if character >= " " and character != "\x7f")[:NAME_LENGTH]
