"""The merge rules as a small program of its own, for the simulation to compare the engine with.

One table, rows held one at a time, the hub's log scanned from end to end: slow and obvious. It covers the
policies of whole columns and of deletes. For `lww`, `sum` and `newer_wins` it says the same as the
project's model of the rules; `tests/simulation` runs both on the same histories.

Law L6: the hub decides, a replica overlays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from syncline.merge.policies import COLUMN_POLICIES

Key = int
Values = dict[str, Any]
Stamp = tuple[int, str]


@dataclass(frozen=True)
class Rules:
    """`policies[column]` is a column policy; `deletes` settles an update against a delete."""

    policies: dict[str, Any]
    deletes: str = "newer_wins"
    defaults: dict[str, Any] = field(default_factory=dict)
    """What the centre gives a new row in columns that take no NULL, and devices cannot make."""

    def adds_up(self, column: str) -> bool:
        """Whether a column travels as the difference. How it settles is said again here, on purpose."""
        policy = self.policies[column]
        return not callable(policy) and COLUMN_POLICIES[policy].travels == "difference"


@dataclass(frozen=True)
class Entry:
    """One entry of the hub's log. Its place is its index."""

    key: Key
    op: str
    columns: frozenset[str]
    hlc: int
    origin: str


@dataclass
class Edit:
    """One captured edit. `old` is the row before it, None for an insert."""

    op: str
    key: Key
    columns: frozenset[str]
    old: Values | None
    hlc: int
    base: int


@dataclass(frozen=True)
class Change:
    """The edits of one row as one change. `columns[name]` is (value or increment, HLC, base, before)."""

    key: Key
    kind: str
    base: int
    hlc: int
    columns: dict[str, tuple[Any, int, int, Any]]
    image: Values | None


@dataclass
class ReferenceHub:
    """The centre."""

    rules: Rules
    rows: dict[Key, Values] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    pushes: dict[str, tuple[int, list[Key]]] = field(default_factory=dict)

    def direct(self, op: str, key: Key, values: Values, hlc: int) -> None:
        """Another program's write; `values` is the whole row for an insert."""
        if op == "D":
            del self.rows[key]
            self._record(key, "D", self.rules.policies, hlc, "hub")
        elif op == "I":
            self.rows[key] = dict(values)
            self._record(key, "I", self.rules.policies, hlc, "hub")
        else:
            self.rows[key].update(values)
            self._record(key, "U", values, hlc, "hub")

    def _record(self, key: Key, op: str, columns: Any, hlc: int, origin: str) -> None:
        self.log.append(Entry(key, op, frozenset(columns), hlc, origin))

    def _others(self, replica: str, key: Key, base: int, column: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self.log[base:]
            if entry.key == key and entry.origin != replica and (column is None or column in entry.columns)
        ]

    def push(self, replica: str, number: int, changes: Sequence[Change]) -> dict[Key, Values | None]:
        """Decide a push; the rows that are not simply what was sent, as they are now."""
        last, overridden = self.pushes.get(replica, (0, []))
        if number == last:
            late = [c.key for c in changes if self._others(replica, c.key, c.base)]
            return self._now([*overridden, *late])
        assert number == last + 1
        overridden = [change.key for change in changes if self._decide(replica, change)]
        self.pushes[replica] = (number, overridden)
        return self._now(overridden)

    def _now(self, keys: Sequence[Key]) -> dict[Key, Values | None]:
        return {key: dict(self.rows[key]) if key in self.rows else None for key in keys}

    def _decide(self, replica: str, change: Change) -> bool:
        """Apply what wins; whether the replica must hear the row."""
        present = self.rows.get(change.key)
        others = self._others(replica, change.key, change.base)
        if change.kind == "-":
            return bool(others) or present is not None
        if change.kind in ("D", "R"):
            others = self._real(change, present, others)
        newest: Stamp = max(((e.hlc, e.origin) for e in others), default=(-1, ""))
        if change.kind == "D":
            return self._delete(replica, change, others, newest)
        if change.kind in ("I", "R"):
            if newest > (change.hlc, replica):
                return True
            return self._put(replica, change, change.hlc)
        if present is None:
            last = max(stamp for _, stamp, _, _ in change.columns.values())
            loses = newest > (last, replica)
            if self.rules.deletes != "newer_wins":
                loses = self.rules.deletes == "delete_wins"
            if not loses:
                self._put(replica, change, last)
            return True
        return self._update(replica, change, present) or bool(others)

    def _is_vague(self, entry: Entry) -> bool:
        """Whether the entry says that something of the row was written in the centre, and not what."""
        every = frozenset(self.rules.policies)
        return entry.op == "U" and entry.origin == "hub" and entry.columns == every and len(every) > 1

    def _real(self, change: Change, present: Values | None, others: list[Entry]) -> list[Entry]:
        """Without the vague entries where the row is what the change, as a whole row, started from."""
        before = change.image
        if present is None or before is None or present != before:
            return others
        return [entry for entry in others if not self._is_vague(entry)]

    def _of_column(self, replica: str, change: Change, column: str, present: Any) -> list[Stamp]:
        """The rivals of the edit of a column. A vague entry is none where the value is what the edit started
        from, nor where a later one says what became of the column."""
        _, _, base, before = change.columns[column]
        found: list[Stamp] = []
        named = False
        for entry in reversed(self._others(replica, change.key, base, column)):
            if not self._is_vague(entry):
                named = True
            elif named or present == before:
                continue
            found.append((entry.hlc, entry.origin))
        return found

    def _put(self, replica: str, change: Change, hlc: int) -> bool:
        """Write the whole row; whether it got or kept what the device could not make."""
        assert change.image is not None
        op = "R" if change.key in self.rows else "I"
        missing = {column for column in self.rules.defaults if change.image[column] is None}
        held = {**self.rules.defaults, **self.rows.get(change.key, {})}
        self.rows[change.key] = change.image | {column: held[column] for column in missing}
        self._record(change.key, op, self.rules.policies, hlc, replica)
        return bool(missing)

    def _delete(self, replica: str, change: Change, others: list[Entry], newest: Stamp) -> bool:
        if change.key not in self.rows:
            return True
        loses = newest > (change.hlc, replica)
        if self.rules.deletes == "delete_wins":
            loses = False
        elif self.rules.deletes == "update_wins":
            loses = any(entry.op != "D" for entry in others)
        if not loses:
            del self.rows[change.key]
            self._record(change.key, "D", self.rules.policies, change.hlc, replica)
        return loses

    def _update(self, replica: str, change: Change, present: Values) -> bool:
        """Settle the columns; whether any result differs from what was sent."""
        kept: dict[int, list[str]] = {}
        differs = False
        for column, (value, hlc, _, before) in change.columns.items():
            rivals = self._of_column(replica, change, column, present[column])
            result = self._settle(column, value, before, present[column], (hlc, replica), rivals)
            if result is None:
                differs = True
                continue
            differs = differs or (not self.rules.adds_up(column) and result[0] != value)
            present[column] = result[0]
            kept.setdefault(hlc, []).append(column)
        for hlc in sorted(kept):
            self._record(change.key, "U", kept[hlc], hlc, replica)
        return differs

    def _settle(
        self, column: str, value: Any, before: Any, present: Any, stamp: Stamp, rivals: list[Stamp]
    ) -> tuple[Any] | None:
        """(new value,), or None where the present value stays."""
        policy = self.rules.policies[column]
        if self.rules.adds_up(column):
            return (present + value,)
        if policy in ("max", "min"):
            known = [v for v in (present, value) if v is not None]
            best = (max if policy == "max" else min)(known) if known else None
            return None if best == present else (best,)
        if not rivals:
            return (value,)
        if callable(policy):
            return (policy(before, present, value),)
        wins = {
            "lww": max(rivals) <= stamp,
            "replica_wins": True,
            "hub_wins": False,
            "review": False,
        }[policy]
        return (value,) if wins else None

    def pull(
        self, replica: str, after: int
    ) -> tuple[dict[Key, Values | None], dict[Key, set[str]], int, int]:
        """(rows as they are now, touched columns, watermark, newest HLC) of what others changed."""
        touched: dict[Key, set[str]] = {}
        newest = 0
        for entry in self.log[after:]:
            if entry.origin != replica:
                touched.setdefault(entry.key, set()).update(entry.columns)
                newest = max(newest, entry.hlc)
        return self._now(list(touched)), touched, len(self.log), newest


@dataclass
class ReferenceReplica:
    """A device."""

    name: str
    rules: Rules
    rows: dict[Key, Values] = field(default_factory=dict)
    pending: list[Edit] = field(default_factory=list)
    parked: dict[Key, Values] = field(default_factory=dict)
    watermark: int = 0
    number: int = 0
    flight: tuple[int, list[Change], int] | None = None

    def write(self, op: str, key: Key, values: Values, hlc: int) -> None:
        """The application's write: I with the whole row, U with the changed columns, D."""
        old = dict(self.rows[key]) if key in self.rows else None
        if op == "D":
            del self.rows[key]
        elif op == "I":
            self.rows[key] = dict(values)
            self.parked.pop(key, None)
        else:
            self.rows[key].update(values)
        columns = frozenset(values) if op == "U" else frozenset(self.rules.policies)
        self.pending.append(Edit(op, key, columns, old, hlc, self.watermark))

    def edits(self, key: Key) -> list[Edit]:
        return [edit for edit in self.pending if edit.key == key]

    def freeze(self) -> tuple[int, list[Change], int] | None:
        """The push in flight; made from the pending edits if there is none."""
        if self.flight is None and self.pending:
            keys = dict.fromkeys(edit.key for edit in self.pending)
            self.number += 1
            self.flight = (self.number, [self._coalesce(key) for key in keys], len(self.pending))
        return self.flight

    def _coalesce(self, key: Key) -> Change:
        edits = self.edits(key)
        kind = kind_of([edit.op for edit in edits])
        image = dict(self.rows[key] if key in self.rows else self.parked[key]) if kind in "IRU" else None
        columns = {}
        if kind == "U":
            assert image is not None
            for column in self.rules.policies:
                touching = [edit for edit in edits if column in edit.columns]
                if touching:
                    before = (touching[0].old or {})[column]
                    value = image[column]
                    if self.rules.adds_up(column):
                        value -= before
                    columns[column] = (value, touching[-1].hlc, touching[0].base, before)
        return Change(key, kind, edits[0].base, edits[-1].hlc, columns, image)

    def verdict(self, overrides: dict[Key, Values | None]) -> None:
        """Take the answer to the push in flight."""
        assert self.flight is not None
        self.pending = self.pending[self.flight[2] :]
        self.flight = None
        for key, row in overrides.items():
            self._learn(key, row, None)
        self.parked = {key: image for key, image in self.parked.items() if self.edits(key)}

    def apply(self, rows: dict[Key, Values | None], touched: dict[Key, set[str]], watermark: int) -> None:
        """Take the answer to a pull."""
        for key, row in rows.items():
            self._learn(key, row, touched[key])
        self.watermark = watermark

    def _learn(self, key: Key, row: Values | None, columns: set[str] | None) -> None:
        edits = self.edits(key)
        if not edits:
            if row is None:
                self.rows.pop(key, None)
            elif columns is not None and key in self.rows:
                self.rows[key].update({column: row[column] for column in columns})
            else:
                self.rows[key] = dict(row)
            return
        if kind_of([edit.op for edit in edits]) != "U":
            return
        if row is None:
            if key in self.rows:
                self.parked[key] = self.rows.pop(key)
            return
        local = self.rows[key] if key in self.rows else self.parked.pop(key)
        self.rows[key] = self._overlay(edits, local, dict(row))

    def _overlay(self, edits: list[Edit], local: Values, merged: Values) -> Values:
        for column in self.rules.policies:
            touching = [edit for edit in edits if column in edit.columns]
            if not touching:
                continue
            if self.rules.adds_up(column):
                shift = merged[column] - (touching[0].old or {})[column]
                merged[column] = local[column] + shift
                for edit in edits:
                    if edit.old is not None:
                        edit.old = {**edit.old, column: edit.old[column] + shift}
            else:
                merged[column] = local[column]
        return merged


def kind_of(ops: Sequence[str]) -> str:
    """What a chain of edits of one row amounts to: I, U, D, R or '-'."""
    was, is_now = ops[0] != "I", ops[-1] != "D"
    if was and is_now:
        return "R" if any(op != "U" for op in ops) else "U"
    return "D" if was else "I" if is_now else "-"
