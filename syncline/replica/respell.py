"""Pending edits are respelled: whatever spelling the application used, the file has its form before they go.

A uuid in upper case, `2024-02-29 10:00` or the text `2` in a float column is what its type reads it as. That
includes keys: the row keeps one key, here, on the wire and in the centre. Where an edit did nothing but spell
a value otherwise it is none, and leaves the change log.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from syncline.errors import StoreConstraint
from syncline.model.forms import Spelling
from syncline.model.masks import join_mask, split_mask
from syncline.model.values import Value, identical
from syncline.replica.chains import Refused
from syncline.replica.compare import is_sound
from syncline.replica.device import Device
from syncline.replica.quiet import quiet_triggers
from syncline.replica.statements import Statements
from syncline.replica.store import Store

RANGE = 20_000
"""Rows looked at at once (law L11)."""


def respell(device: Device, t: Statements) -> list[Refused]:
    """Respell the pending edits of one table; return those rows that cannot be.

    Inside a write transaction, after `pending.settle`. Capture is suppressed meanwhile, and the application's
    own triggers are quiet as in an apply.
    """
    device.store.set_state(suppressed=1)
    device.store.execute("PRAGMA defer_foreign_keys = ON")
    with quiet_triggers(device):
        refused = respell_now(device.store, t)
    device.store.set_state(suppressed=0)
    return refused


def respell_now(store: Store, t: Statements) -> list[Refused]:
    """`respell`, inside an apply."""
    respelling = _Respelling(store, t)
    respelling.note_keys(f"SELECT DISTINCT {t.key_columns} FROM {t.log}")
    return respelling.run()


def respell_all(store: Store, t: Statements) -> list[Refused]:
    """Respell every row of the table, and its log, inside an apply: the table is about to take part."""
    respelling = _Respelling(store, t)
    respelling.note_keys(f"SELECT {', '.join(t.keys)} FROM {t.name}")
    return respelling.run()


def has_strange_keys(store: Store, t: Statements) -> bool:
    """Whether a row was inserted under a key that is not in the file's form. Reads the log."""
    if not any(t.key_spellings):
        return False
    rows = store.rows(f"SELECT {t.key_columns} FROM {t.log} WHERE op = 'I'")
    return not t.fit((), rows)


class _Respelling:
    def __init__(self, store: Store, t: Statements) -> None:
        self._store, self._t = store, t
        names = [*t.keys, *(t.values[number] for number in t.spellings)]
        self._spellings: list[Spelling | None] = [*t.key_spellings, *t.spellings.values()]
        sets = ", ".join(f"{name} = ?{place}" for place, name in enumerate(names, t.arity + 1))
        self._update = f"UPDATE OR ABORT {t.name} SET {sets} WHERE {t.by_key}"
        self._refused: list[Refused] = []

    def note_keys(self, keys: str) -> None:
        """Which rows to look at: a query for k0, k1, ..."""
        store, t = self._store, self._t
        store.execute("DROP TABLE IF EXISTS temp._sync_respell")
        store.execute(
            f"CREATE TEMP TABLE _sync_respell (i INTEGER PRIMARY KEY, moved INTEGER NOT NULL DEFAULT 0,"
            f" {t.key_columns}, {self._new_columns})"
        )
        store.execute(f"INSERT INTO temp._sync_respell ({t.key_columns}) {keys}")

    @property
    def _new_columns(self) -> str:
        return ", ".join(f"n{i}" for i in range(self._t.arity))

    def run(self) -> list[Refused]:
        last = self._store.value("SELECT max(i) FROM temp._sync_respell") or 0
        moved = 0
        for first in range(1, last + 1, RANGE):
            moved += self._range(first, first + RANGE - 1)
        if moved:
            self._follow()
        self._store.execute("DROP TABLE temp._sync_respell")
        return self._refused

    def _range(self, first: int, last: int) -> int:
        t = self._t
        names = [f"k.k{i}" for i in range(t.arity)] + [f"t.{t.values[number]}" for number in t.spellings]
        with self._store.undecoded():
            rows = self._store.rows(
                f"SELECT k.i, t.{t.keys[0]} IS NULL, {', '.join(names)} FROM temp._sync_respell k"
                f" LEFT JOIN {t.name} t ON {t.row_key('t', 'k')} WHERE k.i BETWEEN ? AND ?",
                (first, last),
            )
        changed: list[tuple[int, bool, tuple[Value, ...], list[Value]]] = []
        for number, absent, *values in rows:
            settled = [
                value if one is None else one.settle(value)
                for one, value in zip(self._spellings, values, strict=True)
            ]
            if not all(map(identical, values, settled)) and all(map(is_sound, values)):
                changed.append((number, bool(absent), tuple(values[: t.arity]), settled))
        present = [(*key, *settled) for _, absent, key, settled in changed if not absent]
        try:
            self._store.executemany(self._update, present)
        except StoreConstraint:  # what was written before the one that failed is written again
            stay = {key for _, absent, key, settled in changed if not absent and self._stays(key, settled)}
            changed = [one for one in changed if one[2] not in stay]
        self._store.executemany(
            f"UPDATE temp._sync_respell SET moved = 1, ({self._new_columns}) = ({t.key_marks}) WHERE i = ?",
            ((*settled[: t.arity], number) for number, _, _, settled in changed),
        )
        return len(changed)

    def _stays(self, key: tuple[Value, ...], settled: Sequence[Value]) -> bool:
        """Whether the row must stay as it is spelled: another one has its key, or something else refuses."""
        t = self._t
        try:
            self._store.execute(self._update, (*key, *settled))
            return False
        except StoreConstraint:
            pass
        right = tuple(settled[: t.arity])
        if right != key and self._store.row(t.select, right) is not None:
            detail = (
                f"this is the key {list(right)!r}, spelled otherwise, of a row that is in the table already"
            )
            self._refused.append(Refused(key, detail))
        return True

    # The change log -----------------------------------------------------------------------------------

    def _follow(self) -> None:
        """The log has the keys that the rows have now, and no edit that did nothing but respell."""
        store, t = self._store, self._t
        store.execute("DELETE FROM temp._sync_respell WHERE NOT moved")
        store.execute(f"CREATE INDEX temp._sync_respell_key ON _sync_respell ({t.key_columns})")
        same = " AND ".join(f"m.k{i} = {t.log}.k{i}" for i in range(t.arity))
        if any(t.key_spellings):
            keys = f"SELECT {self._new_columns} FROM temp._sync_respell m WHERE {same}"
            store.execute(
                f"UPDATE {t.log} SET ({t.key_columns}) = ({keys})"
                f" WHERE EXISTS (SELECT 1 FROM temp._sync_respell m WHERE {same})"
            )
        store.execute("DROP INDEX temp._sync_respell_key")
        store.execute(f"CREATE INDEX temp._sync_respell_key ON _sync_respell ({self._new_columns})")
        if t.spellings:
            self._forget_respelled()
        store.execute("DROP INDEX temp._sync_respell_key")

    def _forget_respelled(self) -> None:
        t = self._t
        masks: list[tuple[int, ...]] = []
        for _, entries in groupby(self._entries(), itemgetter(0)):
            chain = list(entries)
            if all(entry[2] == "U" for entry in chain):
                masks += self._without_respelled(chain)
        sets = ", ".join(f"{name} = ?" for name in t.masks)
        self._store.executemany(f"UPDATE {t.log} SET {sets} WHERE seq = ?", masks)
        empty = " AND ".join(f"{name} = 0" for name in t.masks)
        self._store.executemany(
            f"DELETE FROM {t.log} WHERE seq = ? AND {empty}", ((entry[-1],) for entry in masks)
        )

    def _entries(self) -> list[tuple[Value, ...]]:
        """Number of the row, seq, op, masks, old and present values of the columns with spellings."""
        t = self._t
        columns = [f"l.{name}" for name in t.masks]
        columns += [f"l.o{number}" for number in t.spellings]
        columns += [f"t.{t.values[number]}" for number in t.spellings]
        new = " AND ".join(f"m.n{i} = l.k{i}" for i in range(t.arity))
        return self._store.rows(
            f"SELECT m.i, l.seq, l.op, {', '.join(columns)} FROM {t.log} l"
            f" CROSS JOIN temp._sync_respell m ON {new} CROSS JOIN {t.name} t ON {t.row_key('t', 'l')}"
            f" ORDER BY m.i, l.seq"
        )

    def _without_respelled(self, chain: Sequence[Sequence[Value]]) -> list[tuple[int, ...]]:
        """The masks, and the number, of those entries that lose a column: it is as before the first."""
        t = self._t
        width, count = len(t.masks), len(t.spellings)
        masks = [join_mask(entry[3 : 3 + width]) for entry in chain]  # type: ignore[arg-type]
        drop = 0
        for place, (number, spelling) in enumerate(t.spellings.items()):
            touching = [entry for entry, mask in zip(chain, masks, strict=True) if mask >> number & 1]
            if touching:
                old, now = touching[0][3 + width + place], touching[0][3 + width + count + place]
                drop |= identical(spelling.settle(old), spelling.settle(now)) << number
        return [
            (*split_mask(mask & ~drop, width), int(entry[1]))  # type: ignore[arg-type]
            for entry, mask in zip(chain, masks, strict=True)
            if mask & drop
        ]
