"""Pending edits are respelled: whatever spelling the application used, the file has its form before they go.

A uuid in upper case, `2024-02-29 10:00` or the text `2` in a float column is what its type reads it as. That
includes keys: the row keeps one key, here, on the wire and in the centre. Where an edit did nothing but spell
a value otherwise it is none, and leaves the change log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from syncline.errors import SchemaError, StoreConstraint
from syncline.model.forms import Spelling
from syncline.model.masks import join_mask, split_mask
from syncline.model.naming import folded
from syncline.model.order import is_sound
from syncline.model.schema import ForeignKey
from syncline.model.values import Value, identical
from syncline.replica.chains import Refused
from syncline.replica.device import Device
from syncline.replica.edge import Key
from syncline.replica.local import references
from syncline.replica.overlay import Overlay
from syncline.replica.quiet import quiet_triggers
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote

RANGE = 20_000
"""Rows looked at at once (law L11)."""

BATCH = 1_000
"""Rows of a table that are in the file's form together, nearly always."""


def respell(device: Device, t: Statements) -> list[Refused]:
    """Respell the pending edits of one table; return those rows that cannot be.

    Inside a write transaction, after `pending.settle`. Capture is suppressed meanwhile, and the application's
    own triggers are quiet as in an apply.
    """
    device.store.set_state(suppressed=1)
    device.store.defer_foreign_keys()
    with quiet_triggers(device):
        refused = respell_now(device.store, t)
    device.store.set_state(suppressed=0)
    return refused


def respell_as(device: Device, noted: Sequence[Respelling]) -> list[tuple[Statements, list[Refused]]]:
    """Give rows the keys that the centre has them under; return those rows that cannot have them.

    As `respell`, but that what points at the rows follows them: only the centre could tell that it is the
    same."""
    device.store.set_state(suppressed=1)
    device.store.defer_foreign_keys()
    with quiet_triggers(device):
        refused = [(one.t, one.run()) for one in noted]
    device.store.set_state(suppressed=0)
    return refused


def respell_now(store: Store, t: Statements) -> list[Refused]:
    """`respell`, inside an apply."""
    respelling = Respelling(store, t)
    respelling.note_keys(f"SELECT DISTINCT {t.key_columns} FROM {t.log}")
    return respelling.run()


def respell_all(device: Device, tables: Sequence[Statements]) -> None:
    """Respell every row of tables that begin to take part. What cannot be respelled stays as it is.

    They are looked through without a lock on the file, and those to change are changed at once: keys and what
    points at them. SchemaError `forms_misfit` if that would part rows from those of a table that takes no
    part: they point at such keys, or are what such values point at.
    """
    store = device.store
    with store.aside():
        found = [Respelling(store, t) for t in tables if any(t.key_spellings) or t.spellings]
        waiting = [one for one in found if one.note_strange()]
    if waiting:
        try:
            with store.transaction():
                device.check()
                _run_all(device, waiting)
        except StoreConstraint as error:
            if error.kind != "foreign_key":
                raise
            raise SchemaError(
                f"keys in {store.path} are spelled otherwise than in the form asked for, and rows of a table"
                " that takes no part point at them, or are what they point at",
                code="forms_misfit",
                remedy="Track that table with them; or ask for the forms that the file has: syncline track"
                " FILE TABLE --forms uuids=hex.",
            ) from error


def _run_all(device: Device, waiting: Sequence[Respelling]) -> None:
    device.store.set_state(suppressed=1)
    device.store.defer_foreign_keys()
    with quiet_triggers(device):
        for one in waiting:
            one.run()
    device.store.set_state(suppressed=0)


def has_strange_keys(store: Store, t: Statements) -> bool:
    """Whether a row was inserted under a key that is not in the file's form. Reads the log."""
    if not any(t.key_spellings):
        return False
    rows = store.rows(f"SELECT {t.key_columns} FROM {t.log} WHERE op = 'I'")
    return not t.fit((), rows)


def _of_another(key: Key, right: Key) -> Refused:
    return Refused(
        key, f"this is the key {list(right)!r}, spelled otherwise, of a row that is in the table already"
    )


class Respelling:
    """The rows of one table that are to be respelled, noted in a temporary table, and the doing of it.

    With `tables`, what points at the rows from those follows them.
    """

    def __init__(self, store: Store, t: Statements, tables: Collection[Statements] = ()) -> None:
        self._store, self.t, self._tables = store, t, tables
        self._leads = False
        names = [*t.keys, *(t.values[number] for number in t.spellings)]
        self._spellings: list[Spelling | None] = [*t.key_spellings, *t.spellings.values()]
        sets = ", ".join(f"{name} = ?{place}" for place, name in enumerate(names, t.arity + 1))
        self._update = f"UPDATE OR ABORT {t.name} SET {sets} WHERE {t.by_key}"
        self._refused: list[Refused] = []
        self._gone: list[Key] = []

    def note_keys(self, keys: str) -> None:
        """Which rows to look at: a query for k0, k1, ..."""
        self._begin()
        self._store.execute(f"INSERT INTO {self._noted} ({self.t.key_columns}) {keys}")

    def note_known(self, keys: Mapping[Key, Key]) -> None:
        """The same, given, with the keys that they are to have."""
        with self._store.aside():
            if not self._leads:
                self._begin()
            self._leads = True
            self._store.executemany(
                f"INSERT INTO {self._noted} ({self.t.key_columns}, {self._new_columns})"
                f" VALUES ({self.t.key_marks}, {self.t.key_marks})",
                ((*key, *spelled) for key, spelled in keys.items()),
            )

    def forget(self) -> None:
        """What was noted is of no use any more."""
        self._store.execute(f"DROP TABLE IF EXISTS {self._noted}")

    def note_strange(self) -> bool:
        """Note every row of the table that is not in the file's form; whether there is any."""
        t, count = self.t, 0
        self._begin()
        columns = list(t.spellings)
        names = [*t.keys, *(t.values[number] for number in columns)]
        with self._store.undecoded():
            for rows in self._store.batches(f"SELECT {', '.join(names)} FROM {t.name}", size=BATCH):
                if not t.fit(columns, rows):
                    strange = [row[: t.arity] for row in rows if not t.fit(columns, [row])]
                    strange = [key for key in strange if all(map(is_sound, key))]
                    count += len(strange)
                    self._store.executemany(
                        f"INSERT INTO {self._noted} ({t.key_columns}) VALUES ({t.key_marks})", strange
                    )
        return count > 0

    def _begin(self) -> None:
        self._store.execute(f"DROP TABLE IF EXISTS {self._noted}")
        self._store.execute(
            f"CREATE TABLE {self._noted} (i INTEGER PRIMARY KEY, moved INTEGER NOT NULL DEFAULT 0,"
            f" {self.t.key_columns}, {self._new_columns})"
        )

    @property
    def _noted(self) -> str:
        """The temporary table with the keys of the rows to look at, and their new ones."""
        return f"temp._sync_respell_{self.t.n}"

    @property
    def _new_columns(self) -> str:
        return ", ".join(f"n{i}" for i in range(self.t.arity))

    def run(self) -> list[Refused]:
        """Do all, and have the change log follow. Returns the rows that must stay as they are."""
        last = self._store.value(f"SELECT max(i) FROM {self._noted}") or 0
        moved = sum([self._respell(first) for first in range(1, last + 1, RANGE)])
        Overlay(self._store).clear(self.t, self._gone)
        if moved and self._leads:
            self._lead()
        if moved and self._store.row(f"SELECT 1 FROM {self.t.log} LIMIT 1") is not None:
            self._follow()
        self._store.execute(f"DROP TABLE {self._noted}")
        return self._refused

    def _respell(self, first: int) -> int:
        """Respell the rows of one part; returns how many there were to respell."""
        t = self.t
        names = [f"k.k{i}" for i in range(t.arity)] + [f"t.{t.values[number]}" for number in t.spellings]
        known = [f"k.n{i}" for i in range(t.arity)]
        with self._store.undecoded():
            rows = self._store.rows(
                f"SELECT k.i, t.{t.keys[0]} IS NULL, {', '.join([*names, *known])} FROM {self._noted} k"
                f" LEFT JOIN {t.name} t ON {t.row_key('t', 'k')} WHERE k.i BETWEEN ? AND ?",
                (first, first + RANGE - 1),
            )
        changed: list[tuple[int, bool, tuple[Value, ...], list[Value]]] = []
        for number, absent, *found in rows:
            values, spelled = found[: -t.arity], found[-t.arity :]
            settled = [
                value if one is None else one.settle(value)
                for one, value in zip(self._spellings, values, strict=True)
            ]
            if spelled[0] is not None:
                settled[: t.arity] = spelled
            if not all(map(identical, values, settled)) and all(map(is_sound, values)):
                changed.append((number, bool(absent), tuple(values[: t.arity]), settled))
        if changed and self._store.row("SELECT 1 FROM _sync_parked WHERE n = ? LIMIT 1", (t.n,)) is not None:
            changed = [one for one in changed if one[1] or not self._meets_hidden(one[2], one[3])]
        present = [(*key, *settled) for _, absent, key, settled in changed if not absent]
        try:
            all_written = self._store.executemany(self._update, present) == len(present)
        except StoreConstraint:  # what was written before the one that failed is written again
            all_written = False
        if not all_written:
            stay = {key for _, absent, key, settled in changed if not absent and self._stays(key, settled)}
            changed = [one for one in changed if one[2] not in stay]
        changed = [one for one in changed if not (one[1] and self._stays_hidden(one[2], one[3]))]
        self._store.executemany(
            f"UPDATE {self._noted} SET moved = 1, ({self._new_columns}) = ({t.key_marks}) WHERE i = ?",
            ((*settled[: t.arity], number) for number, _, _, settled in changed),
        )
        return len(changed)

    def _stays(self, key: tuple[Value, ...], settled: Sequence[Value]) -> bool:
        """Whether the row must stay as it is spelled: another one has its key, or something else refuses."""
        t = self.t
        right = tuple(settled[: t.arity])
        is_there = right != key and self._store.row(t.select, right) is not None
        if is_there and self._store.row(t.select, key) is None:
            return False  # it was written before
        try:
            if self._store.execute(self._update, (*key, *settled)):
                return False
        except StoreConstraint:
            pass
        if is_there:
            self._refused.append(_of_another(key, right))
        return True

    def _meets_hidden(self, key: tuple[Value, ...], settled: Sequence[Value]) -> bool:
        """The same where the row that has its key is hidden."""
        right = tuple(settled[: self.t.arity])
        if right == key or Overlay(self._store).parked(self.t, right) is None:
            return False
        self._refused.append(_of_another(key, right))
        return True

    def _stays_hidden(self, key: tuple[Value, ...], settled: Sequence[Value]) -> bool:
        """The same of a row that is not in the table. The image of a hidden one gets its key. What was
        written into one that is gone amounts to nothing where another row has its key."""
        t, right, overlay = self.t, tuple(settled[: self.t.arity]), Overlay(self._store)
        if right == key:
            return False
        is_hidden = overlay.parked(t, key) is not None
        is_there = self._store.row(t.select, right) is not None or overlay.parked(t, right) is not None
        if is_there and is_hidden:
            self._refused.append(_of_another(key, right))
        elif is_there:
            self._gone.append(key)
        elif is_hidden:
            overlay.move_parked(t, key, right)
        return is_there

    def _lead(self) -> None:
        """What points at rows that have another key now follows them, in any table. Where a row of a tracked
        one does so by its own key, that was asked for by itself."""
        t = self.t
        places = {folded(name): place for place, name in enumerate(t.table.key)}
        self._store.execute(f"CREATE INDEX temp._sync_respell_key ON _sync_respell_{t.n} ({t.key_columns})")
        for child, fk, own in self._pointing():
            targets = [folded(name) for name in fk.parent_columns or t.table.key]
            if not places.keys() >= set(targets):
                continue
            pairs = [(name, places[target]) for name, target in zip(fk.columns, targets, strict=True)]
            led = [(name, place) for name, place in pairs if name not in own]
            same = " AND ".join(f"m.k{place} = {child}.{quote(name)}" for name, place in pairs)
            found = f"FROM {self._noted} m WHERE m.moved AND {same}"
            if led:
                self._store.execute(
                    f"UPDATE {child} SET ({', '.join(quote(name) for name, _ in led)})"
                    f" = (SELECT {', '.join(f'm.n{place}' for _, place in led)} {found})"
                    f" WHERE EXISTS (SELECT 1 {found})"
                )
        self._store.execute("DROP INDEX temp._sync_respell_key")

    def _pointing(self) -> Iterator[tuple[str, ForeignKey, Collection[str]]]:
        """The foreign keys that point here, with their table and its own key, if it is tracked."""
        for child in self._tables:
            for fk in child.table.foreign_keys:
                if fk.parent == self.t.table.name:
                    yield child.name, fk, child.table.key
        for one in references(self._store, [child.table.name for child in self._tables]):
            if folded(one.foreign.parent) == folded(self.t.table.name):
                yield quote(one.child), one.foreign, ()

    # The change log -----------------------------------------------------------------------------------

    def _follow(self) -> None:
        """The log has the keys that the rows have now, and no edit that did nothing but respell."""
        store, t = self._store, self.t
        store.execute(f"DELETE FROM {self._noted} WHERE NOT moved")
        store.execute(f"CREATE INDEX temp._sync_respell_key ON _sync_respell_{t.n} ({t.key_columns})")
        same = " AND ".join(f"m.k{i} = {t.log}.k{i}" for i in range(t.arity))
        if any(t.key_spellings) or self._leads:
            keys = f"SELECT {self._new_columns} FROM {self._noted} m WHERE {same}"
            store.execute(
                f"UPDATE {t.log} SET ({t.key_columns}) = ({keys})"
                f" WHERE EXISTS (SELECT 1 FROM {self._noted} m WHERE {same})"
            )
        store.execute("DROP INDEX temp._sync_respell_key")
        store.execute(f"CREATE INDEX temp._sync_respell_key ON _sync_respell_{t.n} ({self._new_columns})")
        if t.spellings:
            self._forget_respelled()
        store.execute("DROP INDEX temp._sync_respell_key")

    def _forget_respelled(self) -> None:
        t = self.t
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
        t = self.t
        columns = [f"l.{name}" for name in t.masks]
        columns += [f"l.o{number}" for number in t.spellings]
        columns += [f"t.{t.values[number]}" for number in t.spellings]
        new = " AND ".join(f"m.n{i} = l.k{i}" for i in range(t.arity))
        return self._store.rows(
            f"SELECT m.i, l.seq, l.op, {', '.join(columns)} FROM {t.log} l"
            f" CROSS JOIN {self._noted} m ON {new} CROSS JOIN {t.name} t ON {t.row_key('t', 'l')}"
            f" ORDER BY m.i, l.seq"
        )

    def _without_respelled(self, chain: Sequence[Sequence[Value]]) -> list[tuple[int, ...]]:
        """The masks, and the number, of those entries that lose a column: it is as before the first."""
        t = self.t
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
