"""Whether a table that was not captured for a while lost its rows with it, or had rows deleted.

`DROP TABLE` and `CREATE TABLE` without the rows looks like deleting all of them, and would delete them in the
centre. It is told by counting. Works on what `replica.join` has compared, inside the transaction.
"""

from __future__ import annotations

from syncline.model.values import indices_of
from syncline.replica.keyset import Keyset
from syncline.replica.lost import replaced
from syncline.replica.overlay import Key, Pending, kind_of
from syncline.replica.rejected import ONCE_MORE, Reason, keep_rejected
from syncline.replica.statements import Statements
from syncline.replica.store import unpack
from syncline.replica.work import Work

_LOST = Reason(
    "row_lost",
    "the row went with its table, which a program made anew, before this edit was sent",
    ONCE_MORE,
    None,
)


def is_made_anew(work: Work, t: Statements, absent: Keyset) -> bool:
    """Whether more than half of the rows are missing that the table should have: those of the centre, and
    those made here that are pending. It is the same whether they have other pending edits.

    Rows whose deletion was captured, or that wait hidden, should not be here. A row that others have changed
    counts as missing though the device may never have had it: so nothing is deleted by mistake. `absent` is
    an empty set to work with.
    """
    if t.n in replaced(work.store):
        return False
    here = f"SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'u')}"
    absent.add(f"SELECT {t.key_columns} FROM temp._sync_unlike_{t.n} u WHERE NOT EXISTS ({here})")
    there: int = work.store.value(f"SELECT count(*) FROM temp._sync_hub_{t.n}") - absent.count()
    if work.overlay.any(t):
        absent.add(vanished(t))
        absent.remove(_deleted(t))
    absent.take_out(_waiting(work, t))
    return absent.count() > there


def vanished(t: Statements) -> str:
    """The keys of edited rows that neither side has, as a query."""
    return (
        f"SELECT DISTINCT {t.key_columns} FROM temp._sync_pending_{t.n} p"
        f" WHERE NOT EXISTS (SELECT 1 FROM temp._sync_hub_{t.n} h WHERE {t.same_key('h', 'p')})"
        f" AND NOT EXISTS (SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'p')})"
    )


def _deleted(t: Statements) -> str:
    """The keys of rows whose last captured edit is a delete, as a query."""
    last = f"SELECT max(q.seq) FROM temp._sync_pending_{t.n} q WHERE {t.same_key('q', 'p')}"
    keys = ", ".join(f"p.k{i}" for i in range(t.arity))
    return (
        f"SELECT {keys} FROM temp._sync_pending_{t.n} p CROSS JOIN {t.log} l"
        f" WHERE l.seq = p.seq AND l.op = 'D' AND p.seq = ({last})"
    )


def _waiting(work: Work, t: Statements) -> list[Key]:
    """The rows that are hidden, or that never came: their absence says nothing."""
    parked = work.store.rows("SELECT key FROM _sync_parked WHERE n = ?", (t.n,))
    return [*work.held.get(t.n, ()), *(tuple(unpack(key)) for (key,) in parked)]


def give_up(work: Work, t: Statements, own: Pending) -> int:
    """Captured edits of a row that went with its table: their values are gone, that they were is kept, as a
    rejected edit. Returns how many of these there are, 1 or 0."""
    if not own.entries:
        return 0
    store = work.store
    base = work.overlay.first_values(t, [own.key], own.entries[-1].seq)[0]
    op = kind_of([entry.op for entry in own.entries], absent=False) or "D"  # what a REPLACE hit
    columns = indices_of(own.touched) if op == "U" else list(t.values)
    before = [] if op == "I" else [base.get(i) for i in columns]
    for table in (t.log, f"temp._sync_pending_{t.n}"):
        store.executemany(f"DELETE FROM {table} WHERE seq = ?", [(entry.seq,) for entry in own.entries])
    if op == "-":
        return 0
    keep_rejected(work.device, t.n, own.key, op, (columns, [], before), _LOST)
    return 1


def give_up_missing(work: Work, t: Statements) -> None:
    """`give_up` for all rows that are not here though no delete of them was captured: where nothing says what
    others have changed, what is missing comes back."""
    if not work.overlay.any(t):
        return
    absent = Keyset(work.store, t, "absent")
    here = f"SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'p')}"
    absent.add(f"SELECT DISTINCT {t.key_columns} FROM temp._sync_pending_{t.n} p WHERE NOT EXISTS ({here})")
    absent.remove(_deleted(t))
    absent.take_out(_waiting(work, t))
    for keys in absent.in_batches():
        for own in work.overlay.pending(t, keys):
            give_up(work, t, own)
    absent.drop()
