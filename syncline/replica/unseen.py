"""Finds what was done to a table while it was not captured, and logs it as the triggers would have.

What `replica.join` has compared is judged here: most rows as sets; those that others have changed since the
watermark, that have edits which were captured, or that are held back, one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from syncline.merge.policies import COMPARED
from syncline.model.masks import WORD_BITS, split_mask
from syncline.model.values import Value, identical, indices_of, mask_of
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica import join
from syncline.replica.anew import give_up, is_made_anew, vanished
from syncline.replica.apply import learn_group
from syncline.replica.conflicts import keep_own
from syncline.replica.drained import Drained, find_drained, forget_fillers, give_up_values
from syncline.replica.edge import same_value
from syncline.replica.keyset import Keyset
from syncline.replica.lost import retaken
from syncline.replica.overlay import Key, Pending
from syncline.replica.parents import last_values
from syncline.replica.reports import Regained
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work
from syncline.sqlitekit.sql import chained

SETS = ("odd", "back", "computed", "drained", "alone", "past", "absent", "shown", "told")
"""The sets of keys that a comparison keeps."""

SOME = 200
"""Keys that one statement asks for."""

GONE = "-"
"""In place of a mask: others have deleted the row."""


class EntryLog:
    """What a batch of rows comes to: entries for the log, conflicts, and old values of counters."""

    def __init__(self, t: Statements) -> None:
        self._t = t
        self._entries: list[tuple[Value, ...]] = []
        self.notes: list[ConflictNote] = []
        self.moved: list[tuple[int, int, Value]] = []

    def log(self, op: str, key: Key, olds: Mapping[int, Value] | None = None) -> None:
        """An entry as the triggers would have made it."""
        t, known = self._t, olds or {}
        masks = split_mask(mask_of(known), len(t.masks)) if op == "U" else [None] * len(t.masks)
        self._entries.append((op, *masks, *key, *(known.get(i) for i in t.values)))

    def write(self, work: Work) -> None:
        t = self._t
        marks = ", ".join("?" * (len(t.masks) + t.arity + len(t.values)))
        work.store.executemany(
            f"INSERT INTO {t.log} (op, at, checkpoint, {_logged(t)})"
            f" SELECT ?, julianday('now'), s.checkpoint, {marks} FROM _sync_state s",
            self._entries,
        )
        keep_own(work.store, self.notes)
        work.overlay.move(t, self.moved)


def _logged(t: Statements) -> str:
    return ", ".join([*t.masks, t.key_columns, *(f"o{i}" for i in t.values)])


@dataclass(slots=True)
class Finder:
    """The work on one table. `mark`: the end of its log when the loss was noticed. `is_past_lost`: the file
    has seen changes of others that the centre has lost. They may be offered again, so that no increment is
    told by comparing: what a counter holds here is kept as a conflict. `passed_over`: what others have
    changed is in no page that follows.

    begin -> note_news of every pulled group      takes no lock on the file
    find, then show for all tables -> end         inside the transaction
    """

    t: Statements
    mark: int
    is_past_lost: bool = False
    waited: bool = False
    passed_over: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _anew: bool = False
    _drained: Drained = field(default_factory=Drained)
    _retaken: frozenset[int] = frozenset()
    _sets: dict[str, Keyset] = field(default_factory=dict)

    def report(self) -> Regained:
        return Regained(
            self.t.table.name,
            inserted=self.counts["inserted"],
            updated=self.counts["updated"],
            deleted=self.counts["deleted"],
            returned=self.counts["returned"],
            kept=self.counts["kept"],
            waited=self.waited,
        )

    # What others have changed ---------------------------------------------------------------------------

    @property
    def _news(self) -> str:
        return f"temp._sync_news_{self.t.n}"

    def begin(self, store: Store) -> None:
        """Make room for what others have changed since the watermark: masks of columns, as text."""
        t = self.t
        store.execute(f"DROP TABLE IF EXISTS {self._news}")
        store.execute(
            f"CREATE TEMP TABLE _sync_news_{t.n} ({t.key_columns}, mask,"
            f" PRIMARY KEY ({t.key_columns}, mask)) WITHOUT ROWID"
        )

    def note_news(self, store: Store, group: Group) -> None:
        """Take in a group of a pull, if it is of this table."""
        t = self.t
        if group.table == t.n:
            mask = GONE if group.op == "D" else str(mask_of(group.columns))
            store.executemany(
                f"INSERT OR IGNORE INTO {self._news} VALUES ({t.key_marks}, ?)",
                ([*row[: t.arity], mask] for row in group.rows),
            )

    def _news_of(self, store: Store, keys: Sequence[Key]) -> dict[Key, int]:
        """The columns that others have changed, by key, for those rows that they did."""
        t, found = self.t, dict[Key, int]()
        for start in range(0, len(keys), SOME):
            some = keys[start : start + SOME]
            values = ", ".join([f"({t.key_marks})"] * len(some))
            sql = f"SELECT {t.key_columns}, mask FROM {self._news} WHERE ({t.key_columns}) IN"
            for *parts, text in store.rows(f"{sql} (VALUES {values})", list(chain(*some))):
                mask = t.table.all_mask if text == GONE else int(text)
                found[tuple(parts)] = found.get(tuple(parts), 0) | mask
        return found

    def end(self, store: Store) -> None:
        """Forget all of it."""
        store.execute(f"DROP TABLE IF EXISTS {self._news}")
        forget_fillers(store, self.t)
        for kept in self._sets.values():
            kept.drop()

    # All of it ------------------------------------------------------------------------------------------

    def find(self, work: Work) -> None:
        """Log what was done and keep what nobody can tell. Inside the transaction, before the pages."""
        t, store = self.t, work.store
        self.counts.clear()  # of a transaction that was rolled back
        self._sets = {name: Keyset(store, t, name) for name in SETS}
        join.add_edited(work, t)
        self._retaken = frozenset(retaken(store, t.n) & t.values.keys())
        self._drained = find_drained(work, t, self._changed("u"))
        self.counts["updated"] += sum(log_shown(work, t, self._drained).values())
        self.counts["kept"] += give_up_values(work, t, self._drained)
        self._set_apart(work)
        self._anew = is_made_anew(work, t, self._sets["absent"])
        self._log_missing(store)
        self._log_differing(store)
        for rows in self._sets["odd"].rows(self._hub, list(t.values)):
            self._judge(work, [tuple(row[: t.arity]) for row in rows], rows)
        self._find_own(work)
        self._find_vanished(work)

    def show(self, work: Work) -> None:
        """Write the rows that come back, and what only the centre computes."""
        t = self.t
        computed = [i for i, column in t.table.values.items() if column.computed]
        drained = sorted({*self._drained.fillers, *self._retaken})
        for name, columns in (("back", list(t.values)), ("computed", computed), ("drained", drained)):
            for rows in self._sets[name].rows(self._hub, columns):
                learn_group(work, Group(t.n, "U", columns, rows))
        if self.passed_over:
            self._show_news(work)

    def _show_news(self, work: Work) -> None:
        """What others have changed, as the centre has it now, under what was logged."""
        t, told = self.t, self._sets["told"]
        told.add(f"SELECT DISTINCT {t.key_columns} FROM {self._news}")
        for rows in told.rows(self._hub, list(t.values)):
            learn_group(work, Group(t.n, "U", list(t.values), rows))
        told.remove(f"SELECT {t.key_columns} FROM {self._hub}")
        for keys in told.in_batches():
            learn_group(work, Group(t.n, "D", [], [list(key) for key in keys]))

    @property
    def _hub(self) -> str:
        return f"temp._sync_hub_{self.t.n}"

    @property
    def _unlike(self) -> str:
        return f"temp._sync_unlike_{self.t.n}"

    def _special(self, work: Work, row: str) -> str:
        """A condition: others have changed the row, or it has edits that were captured."""
        t = self.t
        tests = [self._changed(row)]
        if work.overlay.any(t):
            same = t.same_key("p", row)
            tests.append(f"EXISTS (SELECT 1 FROM temp._sync_pending_{t.n} p WHERE {same})")
        return f"({' OR '.join(tests)})"

    def _changed(self, row: str) -> str:
        """A condition: others have changed the row."""
        return f"EXISTS (SELECT 1 FROM {self._news} n WHERE {self.t.same_key('n', row)})"

    def _set_apart(self, work: Work) -> None:
        """The rows that are judged one by one."""
        t, odd = self.t, self._sets["odd"]
        odd.add(f"SELECT {t.key_columns} FROM {self._unlike} u WHERE {self._special(work, 'u')}")
        odd.put(work.held.get(t.n, ()))
        counted = [f"({join.differs(t, i)})" for i in indices_of(self._unsure)]
        if counted:
            odd.add(
                f"SELECT {', '.join(f'u.k{i}' for i in range(t.arity))} FROM {self._unlike} u"
                f" CROSS JOIN {self._hub} h CROSS JOIN main.{t.name} t WHERE {t.same_key('h', 'u')}"
                f" AND {t.row_key('t', 'u')} AND ({chained('OR', counted)})"
            )

    @property
    def _unsure(self) -> int:
        """The mask of columns of which nobody can tell who has changed them."""
        return mask_of(self._retaken) | (self.t.increments if self.is_past_lost else 0)

    # Rows that the centre has, as sets ------------------------------------------------------------------

    def _plain(self, *, here: bool) -> str:
        """FROM and WHERE of the rows that nothing is special about and that are here, or missing: `u` is the
        key, `h` the centre's row, `t` the one here, `s` the state."""
        t = self.t
        plain = f"{t.same_key('h', 'u')} AND NOT {self._sets['odd'].has('u')}"
        rows = f"FROM {self._unlike} u CROSS JOIN {self._hub} h"
        if here:
            same = t.row_key("t", "u")
            return f"{rows} CROSS JOIN main.{t.name} t CROSS JOIN _sync_state s WHERE {plain} AND {same}"
        missing = f"NOT EXISTS (SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'u')})"
        return f"{rows} CROSS JOIN _sync_state s WHERE {plain} AND {missing}"

    def _log_missing(self, store: Store) -> None:
        t = self.t
        keys = ", ".join(f"u.k{i}" for i in range(t.arity))
        if self._anew:
            self.counts["returned"] += self._sets["back"].add(f"SELECT {keys} {self._plain(here=False)}")
            return
        values = [*("NULL" for _ in t.masks), keys, *(f"h.v{i}" for i in t.values)]
        self.counts["deleted"] += store.execute(
            f"INSERT INTO {t.log} (op, at, checkpoint, {_logged(t)}) SELECT 'D', julianday('now'),"
            f" s.checkpoint, {', '.join(values)} {self._plain(here=False)}"
        )

    def _log_differing(self, store: Store) -> None:
        t = self.t
        keys = ", ".join(f"u.k{i}" for i in range(t.arity))
        unlike = {i: f"({join.differs(t, i)})" for i in t.values}
        computed = [test for i, test in unlike.items() if t.table.values[i].computed]
        if computed:
            rows = f"{self._plain(here=True)} AND ({chained('OR', computed)})"
            self._sets["computed"].add(f"SELECT {keys} {rows}")
        own = {i: test for i, test in unlike.items() if not t.table.values[i].computed}
        filled = {i: f"({own[i]} AND {self._drained.test(t, i)})" for i in self._drained.fillers}
        if filled:
            rows = f"{self._plain(here=True)} AND ({chained('OR', list(filled.values()))})"
            self.counts["returned"] += self._sets["drained"].add(f"SELECT {keys} {rows}")
            own |= {i: f"({own[i]} AND NOT {self._drained.test(t, i)})" for i in filled}
        if not own:
            return
        masks = [_mask(own, part) for part in range(len(t.masks))]
        olds = (f"CASE WHEN {own[i]} THEN h.v{i} END" if i in own else "NULL" for i in t.values)
        self.counts["updated"] += store.execute(
            f"INSERT INTO {t.log} (op, at, checkpoint, {_logged(t)}) SELECT 'U', julianday('now'),"
            f" s.checkpoint, {', '.join([*masks, keys, *olds])} {self._plain(here=True)}"
            f" AND ({chained('OR', list(own.values()))})"
        )

    # Rows that the centre has, one by one ---------------------------------------------------------------

    def _judge(self, work: Work, keys: list[Key], rows: Sequence[Sequence[Value]]) -> None:
        t, found, news = self.t, EntryLog(self.t), self._news_of(work.store, keys)
        blank, held = join.own_note(work, t, COMPARED), work.held.get(t.n, {})
        for own, row in zip(work.overlay.pending(t, keys), rows, strict=True):
            if own.image is not None or (is_shown(work, t, own) and own.entries[-1].op == "D"):
                continue  # hidden, or shown for a child's sake as it was deleted: the verdict decides
            if own.present is None and own.key in held:
                continue  # it never was here: it waits
            theirs = dict(zip(t.values, row[t.arity :], strict=True))
            if own.present is None:
                self._judge_missing(work, found, own, theirs, own.key in news)
            elif any(entry.op in "ID" for entry in own.entries):
                self._judge_whole(found, own)
            else:
                kept = held.get(own.key) or {}
                if self._judge_columns(found, own, theirs, news.get(own.key, 0) | self._unsure, kept):
                    self._keep(found, blank, own, list(theirs.values()))
        found.write(work)

    def _judge_whole(self, found: EntryLog, own: Pending) -> None:
        """It was made or deleted here, and competes as a whole."""
        if own.entries[-1].op == "D":
            self.counts["inserted"] += 1
            found.log("I", own.key)

    def _judge_columns(
        self, found: EntryLog, own: Pending, theirs: dict[int, Value], news: int, held: Mapping[int, Value]
    ) -> bool:
        """Log the columns that differ. Whether there are some that others have changed, too: since the
        watermark, or before, in a way that could not be shown (`held`)."""
        assert own.present is not None, "it is here"
        t, done, clashes = self.t, dict[int, Value](), False
        for i, here in zip(t.values, own.present, strict=True):
            if own.touched >> i & 1:
                clashes |= self._is_uncertain(found, own, i, theirs[i], news)
            elif same_value(t, i, here, theirs[i]):
                continue
            elif i in held:
                clashes |= not (t.table.values[i].computed or self._drained.fills(i, here))
            elif self._drained.fills(i, here):
                self._sets["drained"].put([own.key])
            elif t.table.values[i].computed:
                self._sets["computed"].put([own.key])
            elif news >> i & 1:
                clashes = True
                if i in self._retaken:
                    self._sets["drained"].put([own.key])
            else:
                done[i] = theirs[i]
        if done:
            self.counts["updated"] += 1
            found.log("U", own.key, done)
        return clashes

    def _is_uncertain(self, found: EntryLog, own: Pending, column: int, theirs: Value, news: int) -> bool:
        """A counter that was changed unseen and then seen counts from what the centre has. Whether it cannot
        be told what was done unseen, since others have changed it, too."""
        drained = column in self._drained.fillers
        if not (self.t.increments >> column & 1 or drained):
            return False
        first = next(entry for entry in own.entries if entry.mask >> column & 1)
        if first.seq <= self.mark:
            return False
        if drained:  # it was captured from the beginning, on top of no value
            self._build_on(found, own, column, first.seq, theirs)
            return False
        if not news >> column & 1 and not identical(first.old[column], theirs):
            found.moved.append((column, first.seq, theirs))
        return bool(news >> column & 1)

    def _build_on(self, found: EntryLog, own: Pending, column: int, first: int, theirs: Value) -> None:
        """An edit of a drained column counts from the centre's value: a counter's increment moves onto it, as
        the centre's row is learned."""
        if self.t.increments >> column & 1:
            self._sets["drained"].put([own.key])
        else:
            found.moved.append((column, first, theirs))

    def _judge_missing(
        self, work: Work, found: EntryLog, own: Pending, theirs: dict[int, Value], changed: bool
    ) -> None:
        """`changed`: by others."""
        if own.entries and own.entries[-1].op == "D":
            return
        if changed or self._anew:
            self.counts["kept"] += give_up(work, self.t, own)
            self.counts["returned"] += 1
            self._sets["back"].put([own.key])
        else:
            self.counts["deleted"] += 1
            found.log("D", own.key, theirs)

    def _keep(self, found: EntryLog, blank: ConflictNote, own: Pending, theirs: list[Value] | None) -> None:
        self.counts["kept"] += 1
        found.notes.append(msgspec.structs.replace(blank, key=list(own.key), sent=own.present, hub=theirs))

    # Rows that it does not have -------------------------------------------------------------------------

    def _find_own(self, work: Work) -> None:
        """Rows that only the file has."""
        t, alone, own = self.t, self._sets["alone"], f"temp._sync_own_{self.t.n}"
        self._sets["shown"].put(gone_but_shown(work, t))
        tests = f"{self._special(work, 'o')} OR {self._sets['shown'].has('o')}"
        alone.add(f"SELECT {t.key_columns} FROM {own} o WHERE {tests}")
        work.store.execute(f"DELETE FROM {own} AS o WHERE {alone.has('o')} OR {self._sets['odd'].has('o')}")
        self.counts["inserted"] += join.log_own(work, t)
        for pending in self._pending(work, alone):
            found, blank = EntryLog(t), join.own_note(work, t, COMPARED)
            for row in pending:
                if row.present is None:
                    continue
                if not any(entry.op in "ID" for entry in row.entries):  # what was captured is sent alone
                    self._keep(found, blank, row, None)
                elif row.entries[-1].op == "D" and not is_shown(work, t, row):
                    self._judge_whole(found, row)
            found.write(work)

    def _find_vanished(self, work: Work) -> None:
        """Edited rows that neither side has."""
        t, past = self.t, self._sets["past"]
        if not work.overlay.any(t):
            return
        past.add(vanished(t))
        for pending in self._pending(work, past):
            found = EntryLog(t)
            for own in pending:
                if own.image is not None or not own.entries or own.entries[-1].op == "D":
                    continue
                if self._anew:
                    self.counts["kept"] += give_up(work, t, own)
                else:
                    found.log("D", own.key)
            found.write(work)

    def _pending(self, work: Work, keys: Keyset) -> Iterator[list[Pending]]:
        for some in keys.in_batches():
            yield work.overlay.pending(self.t, some)


def is_shown(work: Work, t: Statements, own: Pending) -> bool:
    """Whether a row with edits stands in its table though it is gone, for the sake of what refers to it."""
    return own.present is not None and bool(own.entries) and work.held.get(t.n, {}).get(own.key, ()) is None


def gone_but_shown(work: Work, t: Statements) -> list[Key]:
    """The rows that are gone and stay for the sake of what refers to them."""
    return [key for key, state in work.held.get(t.n, {}).items() if state is None]


def log_shown(work: Work, t: Statements, drained: Drained) -> dict[Key, bool]:
    """Log what was done unseen to rows that were deleted here and are shown again for a child's sake, as
    their delete found them. Returns their keys, and whether they were changed."""
    done: dict[Key, bool] = {}
    keys = gone_but_shown(work, t)
    for start in range(0, len(keys), SOME):
        found = EntryLog(t)
        for own in work.overlay.pending(t, keys[start : start + SOME]):
            if not is_shown(work, t, own) or own.entries[-1].op != "D":
                continue
            assert own.present is not None, "it is shown"
            was = last_values(work, t, own.entries[-1].seq)
            changed = {
                i: was[i]
                for i, here in zip(t.values, own.present, strict=True)
                if not (
                    t.table.values[i].computed or drained.fills(i, here) or same_value(t, i, here, was[i])
                )
            }
            done[own.key] = bool(changed)
            if changed:
                found.log("U", own.key, changed)
        found.write(work)
    if any(done.values()):
        work.overlay.forget()
    return done


def _mask(tests: Mapping[int, str], part: int) -> str:
    first = part * WORD_BITS
    bits = (f"(({test}) << {i - first})" for i, test in tests.items() if first <= i < first + WORD_BITS)
    return " | ".join(bits) or "0"
