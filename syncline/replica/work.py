"""What the steps of one apply share: the open transaction, the overlay, what is held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.overlay import Key, Overlay
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack

Held = dict[int, Value] | None
"""What the hub has of a row, by value column; None: the row is gone."""


@dataclass(slots=True)
class Work:
    """One transaction that applies what the hub sent.

    `held` is what cannot be shown beside pending edits, by table number and key: loaded at the start,
    learned again at the end, and saved. `gone` has the numbers of tables that rows leave (their keys are
    in temporary tables). `written` and `removed` count rows by table name.
    """

    device: Device
    overlay: Overlay
    held: dict[int, dict[Key, Held]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.device.store

    def hold(self, t: Statements, key: Key, state: Held) -> None:
        """Keep what the hub has of a row, on top of what is kept of it already."""
        kept = self.held.setdefault(t.n, {})
        kept[key] = combined(kept.get(key), state)

    def put_aside(self, t: Statements, key: Key, shown: Sequence[Value]) -> None:
        """Keep a row that is about to leave its table as it was shown. What is kept of it already is the
        hub's word, and counts for more than a stand-in that was shown for it."""
        kept = self.held.setdefault(t.n, {})
        if key not in kept or kept[key] is not None:
            kept[key] = {**t.state_of(shown), **(kept.get(key) or {})}

    def release(self, t: Statements, key: Key) -> Held:
        """Take what is kept of a row; KeyError if nothing is."""
        return self.held[t.n].pop(key)

    def is_held(self, t: Statements, key: Key) -> bool:
        return key in self.held.get(t.n, ())

    # Rows that leave their table ----------------------------------------------------------------------

    def note_gone(self, t: Statements, keys: Sequence[Sequence[Value]]) -> None:
        """These rows leave their table at the end, unless something brings them back before."""
        if t.n not in self.gone:
            self.store.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS _sync_gone_{t.n}"
                f" ({t.key_columns}, PRIMARY KEY ({t.key_columns})) WITHOUT ROWID"
            )
            self.store.execute(f"DELETE FROM temp._sync_gone_{t.n}")
            self.gone.add(t.n)
        self.store.executemany(f"INSERT OR IGNORE INTO temp._sync_gone_{t.n} VALUES ({t.key_marks})", keys)

    def is_gone(self, t: Statements, key: Sequence[Value]) -> bool:
        """Whether the row leaves its table at the end."""
        if t.n not in self.gone:
            return False
        match = " AND ".join(f"k{i} = ?" for i in range(t.arity))
        return self.store.row(f"SELECT 1 FROM temp._sync_gone_{t.n} WHERE {match}", tuple(key)) is not None

    def keep(self, t: Statements, keys: Sequence[Sequence[Value]]) -> None:
        """These rows stay after all."""
        if t.n in self.gone and keys:
            match = " AND ".join(f"k{i} = ?" for i in range(t.arity))
            self.store.executemany(
                f"DELETE FROM temp._sync_gone_{t.n} WHERE {match}", (tuple(key[: t.arity]) for key in keys)
            )


def combined(old: Held, new: Held) -> Held:
    """What the hub has of a row after two messages about it, the newer second."""
    return new if old is None or new is None else {**old, **new}


def load_held(work: Work) -> None:
    """Take everything that is held back out of the file."""
    for n, key, state in work.store.rows("SELECT n, key, state FROM _sync_held"):
        plain = unpack(state)
        held = None if plain is None else dict(zip(*plain, strict=True))
        work.held.setdefault(n, {})[tuple(unpack(key))] = held
    if work.held:
        work.store.execute("DELETE FROM _sync_held")


def save_held(work: Work) -> None:
    """Keep for the next apply what still cannot be shown."""
    work.store.executemany(
        "INSERT INTO _sync_held (n, key, state) VALUES (?, ?, ?)",
        ((n, pack(key), pack_state(state)) for n, rows in work.held.items() for key, state in rows.items()),
    )


def pack_state(state: Held) -> bytes:
    """The blob form: [columns, values], or nil."""
    return b"\xc0" if state is None else pack([list(state), list(state.values())])
