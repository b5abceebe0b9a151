"""A table that could not take part for a while, and can again: it is compared with the centre, as by `track`.

News of it were passed over meanwhile, so that nothing says what others have done and what was done here. What
was captured stays what it is. Of a table that was captured all the time, and only waited for one that it
refers to, the rest is the hub's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from syncline.protocol.messages import Group
from syncline.replica import join
from syncline.replica.anew import give_up_missing
from syncline.replica.apply import learn_group
from syncline.replica.keyset import Keyset
from syncline.replica.lost import replaced
from syncline.replica.reports import Regained
from syncline.replica.statements import Statements
from syncline.replica.unseen import POLICY
from syncline.replica.work import Work

BATCH = 5_000
"""Rows that are learned at a time (law L11)."""


@dataclass(slots=True)
class Comer:
    """The work on one table, inside the transaction: find, then show. What `join.compare` found is there."""

    t: Statements
    counts: Counter[str] = field(default_factory=Counter)

    def report(self) -> Regained:
        return Regained(
            self.t.table.name, self.counts["inserted"], 0, 0, self.counts["returned"], self.counts["kept"]
        )

    def find(self, work: Work) -> None:
        """Log rows that only the file has, and keep what is about to be overwritten."""
        t = self.t
        self.counts.clear()  # of a transaction that was rolled back
        join.add_edited(work, t)
        if t.n in replaced(work.store):
            self._take_out(work)
            return
        give_up_missing(work, t)
        before = self._notes(work)
        join.log_own_rows(work, t)
        self.counts["inserted"] = work.store.value(f"SELECT count(*) FROM temp._sync_own_{t.n}")
        join.keep_differing(work, t, POLICY)
        self.counts["kept"] = self._notes(work) - before

    def _take_out(self, work: Work) -> None:
        """Rows that only the file has and that nobody edited went in the centre."""
        t = self.t
        gone = Keyset(work.store, t, "beyond")
        gone.add(f"SELECT {t.key_columns} FROM temp._sync_own_{t.n}")
        for keys in gone.in_batches():
            learn_group(work, Group(t.n, "D", [], [list(key) for key in keys]))
        gone.drop()

    @staticmethod
    def _notes(work: Work) -> int:
        found: int = work.store.value("SELECT count(*) FROM _sync_conflict")
        return found

    def show(self, work: Work) -> None:
        """Write the hub's rows that differ or are not here, under what is pending."""
        t = self.t
        here = f"SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'u')}"
        self.counts["returned"] = work.store.value(
            f"SELECT count(*) FROM temp._sync_unlike_{t.n} u WHERE NOT EXISTS ({here})"
        )
        for start in range(1, join.count_unlike(work.store, t) + 1, BATCH):
            rows = join.unlike(work.store, t, start, start + BATCH - 1)
            learn_group(work, Group(t.n, "U", list(t.values), rows))
