"""Edits of this file that the centre has by another one's push are kept as a push of their own.

A copy of the file has brought them, or the file itself in a future that it has forgotten. They leave the
change log, so nothing here would know of them any more when the centre is put back to before that: kept with
a position that has seen them, they are offered again like anything else that was sent (`replica.sent`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from syncline.model.values import Value, add, subtract
from syncline.protocol.messages import PushOp
from syncline.replica.chains import Batch
from syncline.replica.clocks import make_clock
from syncline.replica.device import Device
from syncline.replica.draft import Draft
from syncline.replica.entries import Entry, entries_of, first_value, touched
from syncline.replica.freeze import clear_outbox
from syncline.replica.overlay import Key, Overlay, kind_of
from syncline.replica.refusal import are_sound
from syncline.replica.respell import respell
from syncline.replica.retried import told_by
from syncline.replica.sent import Marked, keep_pushed
from syncline.replica.statements import Statements
from syncline.replica.whose import marks_of_log, needs_marks


class Brought:
    """The edits that fulfil a condition on their entries in the change logs. Inside a transaction, after
    `pending.settle`, and while no push is in flight."""

    def __init__(self, device: Device, condition: str) -> None:
        self._device, self._store, self._condition = device, device.store, condition

    def keep(self, horizon: str, made: int) -> None:
        """Keep them as a push that the position `horizon` has seen, and of which the first edits were decided
        at `made`, by the hub's clock. They stay in the logs."""
        store, tables = self._store, [t for t in self._device.tables.values() if self._has_any(t)]
        if not tables:
            return
        push, draft = store.state().push, Draft(store, self._device.limits())
        for t in sorted(tables, key=lambda t: t.rank):
            for batch in self._batches(t):
                draft.add(t, batch)
        meant = f"op <> 'M' AND {self._condition}"
        stamps: list[bytes] = []
        for t in sorted(tables, key=lambda t: t.n):
            found = store.rows(f"SELECT stamp FROM {t.log} WHERE {meant} ORDER BY seq")
            stamps.append(told_by(store, (stamp for (stamp,) in found)))
        told, marks = b"".join(stamps), None
        if needs_marks(told, draft.rows):
            by_n = sorted(tables, key=lambda t: t.n)
            marks = b"".join(mark for t in by_n for mark in marks_of_log(store, t, meant))
        if draft.keep():
            keep_pushed(store, Marked(told, marks), horizon, made)
        clear_outbox(store)
        store.set_state(push=push)

    def _has_any(self, t: Statements) -> bool:
        return self._store.row(f"SELECT 1 FROM {t.log} WHERE {self._condition} LIMIT 1") is not None

    def _batches(self, t: Statements) -> Iterator[Batch]:
        found, fits = list(self._of_table(t)), True
        for batch in found:
            fits = fits and t.fit(batch.columns, batch.rows)
        if not fits:
            respell(self._device, t)
            found = list(self._of_table(t))
        return iter(found)

    def _of_table(self, t: Statements) -> Iterator[Batch]:
        store = self._store
        make_clock(store, t, store.value(f"SELECT max(seq) FROM {t.log}"))
        keys = store.rows(
            f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE op <> 'M' AND {self._condition}"
        )
        groups: dict[tuple[PushOp, tuple[int, ...]], Batch] = {}
        overlay = Overlay(store)
        for key, entries in entries_of(overlay, t, keys, self._condition, clocked=True):
            row = _Row.read(overlay, t, key, entries)
            if row is not None and row.is_sound():
                group = groups.setdefault((row.op, tuple(row.columns)), Batch(row.op, list(row.columns)))
                row.add_to(group)
        yield from groups.values()


@dataclass(frozen=True, slots=True)
class _Row:
    """What the meant edits of one row amount to, among the others."""

    t: Statements
    key: Key
    op: PushOp
    columns: Sequence[int]
    entries: Sequence[Entry]
    now: Mapping[int, Value]

    @classmethod
    def read(cls, overlay: Overlay, t: Statements, key: Key, entries: Sequence[Entry]) -> _Row | None:
        """None: they amount to nothing, or what they were is known no longer, as the row is gone."""
        mine = [entry for entry in entries if entry.is_meant]
        op = kind_of([entry.op for entry in mine], absent=False)
        if op in (None, "-"):
            return None
        image = overlay.store.row(t.select, key) or overlay.parked(t, key)
        last = max(place for place, entry in enumerate(entries) if entry.is_meant)
        is_known = image is not None or any(entry.op == "D" for entry in entries[last + 1 :])
        if op != "D" and not is_known:
            return None
        columns = {"D": [], "U": touched(t, mine)}.get(op, list(t.table.pushed))
        return cls(t, key, cast(PushOp, op), columns, entries, {} if image is None else t.state_of(image))

    def is_sound(self) -> bool:
        """Whether it can travel. What came to the centre could; a value that nobody captured need not."""
        return are_sound([*self.key, *map(self._value, self.columns)])

    def add_to(self, batch: Batch) -> None:
        mine = [entry for entry in self.entries if entry.is_meant]
        batch.rows.append((*self.key, *map(self._value, self.columns)))
        batch.hlc.append(mine[-1].hlc)
        batch.checkpoint.append(mine[0].checkpoint)
        if self.op == "U":
            those = [[entry for entry in mine if entry.mask >> column & 1] for column in self.columns]
            batch.column_hlc.append([some[-1].hlc for some in those])
            batch.column_checkpoint.append([some[0].checkpoint for some in those])

    def _value(self, column: int) -> Value:
        """What travels of a column: of a counter that is updated, all that they added."""
        places = [
            place
            for place, entry in enumerate(self.entries)
            if entry.is_meant and (self.op != "U" or entry.mask >> column & 1)
        ]
        if self.op != "U" or not self.t.increments >> column & 1:
            return self._after(places[-1], column)
        total: Value = None
        for place in places:
            before = self.entries[place].old[self.t.table.places[column]]
            added = subtract(self._after(place, column), before)
            total = added if total is None else add(total, added)
        return total

    def _after(self, place: int, column: int) -> Value:
        return first_value(self.t, self.entries[place + 1 :], column, self.now.get(column))
