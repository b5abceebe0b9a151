"""A table that could not take part for a while, and can again: it is compared with the centre, as by `track`.
So is one that was not captured for a while, where the file's place is lost as well (`replica.refill`).

News of it were passed over meanwhile, so that nothing says what others have done and what was done here. What
was captured stays what it is. A column that was emptied meanwhile has no values of its own: what else
stands in it was written since. Of a table that was captured all the time, and only waited for one that it
refers to, the rest is the hub's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from syncline.merge.policies import COMPARED
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica import join
from syncline.replica.anew import give_up_missing
from syncline.replica.apply import learn_group
from syncline.replica.conflicts import keep_own
from syncline.replica.drained import (
    Drained,
    drained_rows,
    find_drained,
    forget_fillers,
    give_up_values,
)
from syncline.replica.edge import same_value
from syncline.replica.keyset import Keyset
from syncline.replica.lost import replaced
from syncline.replica.reports import Regained
from syncline.replica.statements import Statements
from syncline.replica.unseen import EntryLog, gone_but_shown, log_shown
from syncline.replica.work import Work
from syncline.sqlitekit.sql import chained

BATCH = 5_000
"""Rows that are learned at a time (law L11)."""


@dataclass(slots=True)
class Comer:
    """The work on one table, inside the transaction: find, then show. What `join.compare` found is there.

    `fills_again`: nothing is shown, for the whole file is filled again after that."""

    t: Statements
    fills_again: bool = False
    waited: bool = True
    _drained: Drained = field(default_factory=Drained)
    counts: Counter[str] = field(default_factory=Counter)

    def report(self) -> Regained:
        return Regained(
            self.t.table.name,
            inserted=self.counts["inserted"],
            updated=self.counts["updated"],
            returned=self.counts["returned"],
            kept=self.counts["kept"],
            waited=self.waited,
        )

    def find(self, work: Work) -> None:
        """Log rows that only the file has, and keep what is about to be overwritten."""
        t = self.t
        self.counts.clear()  # of a transaction that was rolled back
        join.add_edited(work, t)
        if t.n in replaced(work.store):
            if not self.fills_again:
                self._take_out(work)
            return
        give_up_missing(work, t)
        self._drained = find_drained(work, t)
        lost_edits = give_up_values(work, t, self._drained)
        if not self.fills_again:
            self._log_written(work)
        before = self._notes(work)
        self._settle_shown(work)
        join.log_own_rows(work, t)
        self.counts["inserted"] = work.store.value(f"SELECT count(*) FROM temp._sync_own_{t.n}")
        join.keep_differing(work, t, COMPARED, self._drained.fills)
        self.counts["kept"] = lost_edits + self._notes(work) - before
        if self.fills_again:
            self._count_returned(work)

    def _settle_shown(self, work: Work) -> None:
        """A row that is gone and stays for the sake of what refers to it is none that only the file has,
        unless something was written into it. Of one that was not deleted here nobody can tell that: it is
        kept as it is."""
        t, done = self.t, log_shown(work, self.t, self._drained)
        self.counts["updated"] += sum(done.values())
        others = [key for key in gone_but_shown(work, t) if key not in done]
        blank, sql = join.own_note(work, t, COMPARED), f"temp._sync_own_{t.n} WHERE {t.key_given}"
        for start in range(0, len(others), BATCH):
            notes = list[ConflictNote]()
            for own in work.overlay.pending(t, others[start : start + BATCH]):
                if not own.entries and work.store.row(f"SELECT 1 FROM {sql}", own.key) is not None:
                    notes.append(msgspec.structs.replace(blank, key=list(own.key), sent=own.present))
                    done[own.key] = False
            keep_own(work.store, notes)
        same = [key for key, is_changed in done.items() if not is_changed]
        work.store.executemany(f"DELETE FROM {sql}", same)

    def _log_written(self, work: Work) -> None:
        """What stands in a column that was emptied, and is not what ADD COLUMN gives, was written since: an
        edit, of what the centre has now."""
        t, columns = self.t, self._drained.emptied
        if not columns:
            return
        for start in range(1, join.count_unlike(work.store, t) + 1, BATCH):
            rows = join.unlike(work.store, t, start, start + BATCH - 1)
            log = EntryLog(t)
            mine = work.overlay.pending(t, [tuple(row[: t.arity]) for row in rows])
            for own, row in zip(mine, rows, strict=True):
                if own.present is None or any(entry.op != "U" for entry in own.entries):
                    continue
                theirs = dict(zip(t.values, row[t.arity :], strict=True))
                here = t.state_of(own.present)
                done = {
                    i: theirs[i]
                    for i in columns
                    if not own.touched >> i & 1
                    and not self._drained.fills(i, here[i])
                    and not same_value(t, i, here[i], theirs[i])
                }
                if done:
                    self.counts["updated"] += 1
                    log.log("U", own.key, done)
            log.write(work)
        work.overlay.forget()

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
        self._count_returned(work)
        for start in range(1, join.count_unlike(work.store, t) + 1, BATCH):
            rows = join.unlike(work.store, t, start, start + BATCH - 1)
            learn_group(work, Group(t.n, "U", list(t.values), rows))

    def _count_returned(self, work: Work) -> None:
        """How many rows come back, or values of a column. What was made to tell these goes."""
        t = self.t
        here = f"SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'u')}"
        self.counts["returned"] = work.store.value(
            f"SELECT count(*) FROM temp._sync_unlike_{t.n} u WHERE NOT EXISTS ({here})"
        )
        if self._drained.fillers:
            filled = (f"({join.differs(t, i)} AND {self._drained.test(t, i)})" for i in self._drained.fillers)
            self.counts["returned"] += work.store.value(
                f"SELECT count(*) {drained_rows(t)} AND ({chained('OR', list(filled))})"
            )
        forget_fillers(work.store, t)
