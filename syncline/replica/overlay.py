"""Which rows have pending edits, and what becomes of such a row when the hub's state of it arrives.

This is `Replica.learn` of the model (law L6): edited columns stay, the others follow the hub, a counter's
increment moves onto the hub's value, a row that the hub deleted is hidden with its image parked. Rows
created, removed or replaced here compete as a whole: they stay as they are until the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.msgpack import Ext

from syncline.errors import ValueRefused
from syncline.model.masks import join_mask
from syncline.model.order import as_bytes, shown
from syncline.model.values import Row, Value, add, identical, indices_of, subtract
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack

Key = tuple[Value, ...]

TEXT = 1
"""In the image of a row: the bytes of a text, some of which is not UTF-8."""


@dataclass(slots=True)
class Entry:
    """One captured edit. `old` has the former values of the increment columns it changed."""

    seq: int
    op: str
    mask: int
    old: dict[int, Value]


@dataclass(slots=True)
class Pending:
    """A row with pending edits: as it is in its table, or parked, or neither."""

    key: Key
    entries: list[Entry] = field(default_factory=list)
    present: list[Value] | None = None
    image: list[Value] | None = None

    @property
    def kind(self) -> str | None:
        """What the edits amount to: I, U, D, R, '-', or None if they amount to nothing at all."""
        hidden = self.present is None and self.image is None
        return kind_of([entry.op for entry in self.entries], hidden)

    @property
    def touched(self) -> int:
        """The mask of the edited columns."""
        mask = 0
        for entry in self.entries:
            mask |= entry.mask if entry.op == "U" else 0
        return mask


def kind_of(ops: Sequence[str], absent: bool) -> str | None:
    """What a chain of captured operations amounts to.

    M (a REPLACE may have deleted the row) counts if the row was inserted next, or if the row is gone and
    only updates came after: foreign-key actions, while it was being removed.
    """
    if absent:
        end = len(ops)
        while end and ops[end - 1] == "U":
            end -= 1
        ops = ops[:end] if end and ops[end - 1] == "M" else ops
    last = len(ops) - 1
    real = [op for i, op in enumerate(ops) if op != "M" or (ops[i + 1] == "I" if i < last else absent)]
    if not real:
        return None
    was, is_now = real[0] != "I", real[-1] not in "DM"
    if was and is_now:
        return "R" if any(op != "U" for op in real) else "U"
    return "D" if was else "I" if is_now else "-"


def merge(
    t: Statements, pending: Pending, state: Mapping[int, Value]
) -> tuple[dict[int, Value], list[tuple[int, int, Value]]]:
    """Lay the edits of a kind-U row over the hub's values, by column.

    Returns the columns to write, and the (column, log entry, old value) whose bases moved.
    """
    local, touched = pending.present or pending.image, pending.touched
    write: dict[int, Value] = {}
    moved: list[tuple[int, int, Value]] = []
    for column, value in state.items():
        if not touched >> column & 1:
            write[column] = value
        elif t.increments >> column & 1 and local is not None:
            changes = [entry for entry in pending.entries if entry.mask >> column & 1]
            first = changes[0].old[column]
            if identical(first, value):
                continue
            try:
                shift = subtract(value, first)
                write[column] = add(local[t.table.places[column]], shift)
                moved += [(column, entry.seq, add(entry.old[column], shift)) for entry in changes]
            except ValueRefused:  # not numbers: the edit stays as it is and the hub will say
                write.pop(column, None)
    return write, moved


def written_image(t: Statements, image: Sequence[Value]) -> bytes:
    """The blob form of a whole row: [numbers of columns, values]. If a text is not UTF-8, all stand as their
    bytes."""
    try:
        return pack([list(t.values), list(image)])
    except UnicodeEncodeError:
        escaped = [Ext(TEXT, as_bytes(value)) if isinstance(value, str) else value for value in image]
        return pack([list(t.values), escaped])


def read_image(t: Statements, body: bytes) -> list[Value]:
    """The inverse of `written_image`, for the value columns that the table has now."""
    known = dict(zip(*unpack(body), strict=True))
    values = (known.get(number) for number in t.values)
    return [
        bytes(value.data).decode("utf-8", "surrogateescape") if isinstance(value, Ext) else value
        for value in values
    ]


class Overlay:
    """The pending edits, looked up by key inside one transaction.

    The change logs have no index by key, which keeps capture cheap. The first look at a table makes a
    temporary one; a table without pending edits costs one look at its empty log.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._indexed: dict[int, bool] = {}

    def forget(self) -> None:
        """Entries have left the logs: look again."""
        self._indexed.clear()

    def any(self, t: Statements) -> bool:
        """Whether any row of the table has pending edits. Makes the index."""
        if t.n not in self._indexed:
            self._indexed[t.n] = self._index(t)
        return self._indexed[t.n]

    def _index(self, t: Statements) -> bool:
        if self.store.row(f"SELECT 1 FROM {t.log} LIMIT 1") is None:
            return False
        known = " AND ".join(f"k{i} IS NOT NULL" for i in range(t.arity))
        self.store.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS _sync_pending_{t.n}"
            f" ({t.key_columns}, seq INTEGER, PRIMARY KEY ({t.key_columns}, seq)) WITHOUT ROWID"
        )
        self.store.execute(f"DELETE FROM temp._sync_pending_{t.n}")
        self.store.execute(
            f"INSERT INTO temp._sync_pending_{t.n} SELECT {t.key_columns}, seq FROM {t.log} WHERE {known}"
        )
        return True

    def contested(self, t: Statements, rows: Sequence[Row]) -> list[int]:
        """The numbers of those rows (their first values are the key) that have pending edits."""
        if not rows or not self.any(t):
            return []
        self.load_keys(t, [tuple(row[: t.arity]) for row in rows])
        return [
            number
            for (number,) in self.store.rows(
                f"SELECT k.i FROM temp._sync_keys_{t.n} k WHERE EXISTS (SELECT 1"
                f" FROM temp._sync_pending_{t.n} p WHERE {t.same_key('p', 'k')}) ORDER BY k.i"
            )
        ]

    def present(self, t: Statements, keys: Sequence[Key]) -> list[int]:
        """The numbers of those keys whose row is in its table."""
        self.load_keys(t, keys)
        sql = f"SELECT k.i FROM temp._sync_keys_{t.n} k CROSS JOIN {t.name} t WHERE {t.row_key('t', 'k')}"
        return [number for (number,) in self.store.rows(f"{sql} ORDER BY k.i")]

    def doubles(self, t: Statements, keys: Sequence[Key]) -> list[int]:
        """The numbers of those keys that the file takes for the key of another row, one with edits."""
        if not self.any(t):
            return []
        self.load_keys(t, keys)
        return [
            number
            for (number,) in self.store.rows(
                f"SELECT k.i FROM temp._sync_keys_{t.n} k CROSS JOIN {t.name} t ON {t.like_key('t', 'k')}"
                f" WHERE NOT ({t.row_key('t', 'k')}) AND EXISTS (SELECT 1 FROM temp._sync_pending_{t.n} p"
                f" WHERE {t.found_by('t', 'p')})"
            )
        ]

    def is_pending(self, t: Statements, key: Key) -> bool:
        return bool(self.contested(t, [key]))

    def pending(self, t: Statements, keys: Sequence[Key]) -> list[Pending]:
        """The rows with these keys, each with its edits in order; `entries` is empty where none are. Text in
        them that is not UTF-8 has escaped bytes: what was made since the last push may hold some."""
        with self.store.undecoded():
            return self._pending(t, keys)

    def _pending(self, t: Statements, keys: Sequence[Key]) -> list[Pending]:
        rows = [Pending(key) for key in keys]
        if not rows:
            return rows
        self.load_keys(t, keys)
        if self.any(t):
            self._read_entries(t, rows)
        values = ", ".join(f"t.{name}" for name in t.value_names) or "1"
        for number, *present in self.store.rows(
            f"SELECT k.i, {values} FROM temp._sync_keys_{t.n} k CROSS JOIN {t.name} t"
            f" WHERE {t.row_key('t', 'k')}"
        ):
            rows[number].present = present[: len(t.values)]
        for row in rows:
            if row.present is None:
                row.image = self.parked(t, row.key)
        return rows

    def edits(self, t: Statements, keys: Sequence[Key]) -> list[Pending]:
        """The edits of the rows with these keys, without the rows: of a table that may not be as it was."""
        rows = [Pending(key) for key in keys]
        if rows and self.any(t):
            self.load_keys(t, keys)
            self._read_entries(t, rows)
        return rows

    def _read_entries(self, t: Statements, rows: Sequence[Pending]) -> None:
        old = t.old_columns(t.increments)
        picked = ", ".join(f"l.{name}" for name in [*t.masks, *old])
        for number, seq, op, *rest in self.store.rows(
            f"SELECT k.i, l.seq, l.op, {picked} FROM temp._sync_keys_{t.n} k"
            f" CROSS JOIN temp._sync_pending_{t.n} p CROSS JOIN {t.log} l"
            f" WHERE {t.same_key('p', 'k')} AND l.seq = p.seq ORDER BY k.i, l.seq"
        ):
            width = len(t.masks)
            olds = {int(name[1:]): value for name, value in zip(old, rest[width:], strict=True)}
            rows[number].entries.append(Entry(seq, op, join_mask(rest[:width]), olds))

    def load_keys(self, t: Statements, keys: Sequence[Key]) -> None:
        """Fill the temporary table _sync_keys_<n> (i, k0, k1, ...) for joins."""
        self.store.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS _sync_keys_{t.n} (i INTEGER PRIMARY KEY, {t.key_columns})"
        )
        self.store.execute(f"DELETE FROM temp._sync_keys_{t.n}")
        self.store.executemany(
            f"INSERT INTO temp._sync_keys_{t.n} VALUES (?, {t.key_marks})",
            ((number, *key) for number, key in enumerate(keys)),
        )

    def first_values(self, t: Statements, keys: Sequence[Key], cut: int) -> list[dict[int, Value]]:
        """What each row held in its edited columns before the first of its edits up to entry `cut`.

        Every value column for a row that was deleted, nothing for one that was created. What it held between
        two edits need not be text.
        """
        found: list[dict[int, Value]] = [{} for _ in keys]
        if not keys or not self.any(t):
            return found
        self.load_keys(t, keys)
        width, places = len(t.masks), t.table.places
        picked = ", ".join(f"l.{name}" for name in [*t.masks, *t.old_columns(t.table.all_mask)])
        sql = (
            f"SELECT k.i, l.op, {picked} FROM temp._sync_keys_{t.n} k"
            f" CROSS JOIN temp._sync_pending_{t.n} p CROSS JOIN {t.log} l"
            f" WHERE {t.same_key('p', 'k')} AND l.seq = p.seq AND l.seq <= ? ORDER BY k.i, l.seq DESC"
        )
        with self.store.undecoded():
            rows = self.store.rows(sql, (cut,))
        for number, op, *rest in rows:
            if op == "I":
                found[number].clear()
            else:
                mask = join_mask(rest[:width]) if op == "U" else t.table.all_mask
                found[number].update({i: rest[width + places[i]] for i in indices_of(mask)})
        return [{i: shown(value) for i, value in one.items()} for one in found]

    def move(self, t: Statements, moved: Sequence[tuple[int, int, Value]]) -> None:
        """Write moved bases of increments back to the log."""
        for column in {column for column, _, _ in moved}:
            self.store.executemany(
                f"UPDATE {t.log} SET o{column} = ? WHERE seq = ?",
                ((value, seq) for other, seq, value in moved if other == column),
            )

    def clear(self, t: Statements, keys: Sequence[Key]) -> None:
        """All entries of these rows leave the log."""
        if not keys or not self.any(t):
            return
        self.load_keys(t, keys)
        pending = f"temp._sync_pending_{t.n}"
        self.store.execute(
            f"DELETE FROM {t.log} WHERE seq IN (SELECT p.seq FROM temp._sync_keys_{t.n} k"
            f" CROSS JOIN {pending} p WHERE {t.same_key('p', 'k')})"
        )
        self.store.executemany(f"DELETE FROM {pending} WHERE {t.key_given}", keys)

    # Parked rows --------------------------------------------------------------------------------------

    def parked(self, t: Statements, key: Key) -> list[Value] | None:
        """The image of a hidden row, or None."""
        body = self.store.value("SELECT image FROM _sync_parked WHERE n = ? AND key = ?", (t.n, pack(key)))
        return None if body is None else read_image(t, body)

    def move_parked(self, t: Statements, key: Key, to: Key) -> None:
        """The hidden row has this key from now on."""
        sql = "UPDATE _sync_parked SET key = ? WHERE n = ? AND key = ?"
        self.store.execute(sql, (pack(to), t.n, pack(key)))

    def park(self, t: Statements, rows: Sequence[Pending]) -> None:
        """Keep the images of rows that are about to leave their table."""
        self.store.executemany(
            "INSERT OR REPLACE INTO _sync_parked (n, key, image) VALUES (?, ?, ?)",
            ((t.n, pack(row.key), written_image(t, row.present)) for row in rows if row.present is not None),
        )

    def repark(self, t: Statements, key: Key, image: Sequence[Value]) -> None:
        """Bring the image of a hidden row up to date."""
        self.store.execute(
            "UPDATE _sync_parked SET image = ? WHERE n = ? AND key = ?",
            (written_image(t, image), t.n, pack(key)),
        )

    def unpark(self, t: Statements, keys: Sequence[Key]) -> None:
        self.store.executemany(
            "DELETE FROM _sync_parked WHERE n = ? AND key = ?", ((t.n, pack(key)) for key in keys)
        )
