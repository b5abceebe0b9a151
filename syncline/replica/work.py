"""What the steps of one apply share: the open transaction, the overlay, what is held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncline.model.naming import folded
from syncline.model.values import Value
from syncline.protocol.messages import Group
from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.gathering import Gathering
from syncline.replica.indexes import columns_of, uniques_of
from syncline.replica.overlay import Key, Overlay
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack
from syncline.sqlitekit.tables import Column, Unique
from syncline.sqlitekit.triggers import Trigger

MANY = 10_000
"""Rows of one table from which its triggers are taken out while they are written."""

Held = dict[int, Value] | None
"""What the hub has of a row, by value column; None: the row is gone."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the file itself refuses a row of the hub's: an object of the application, and the whole
    sentence."""

    object: str
    detail: str


Pinned = Mapping[tuple[int, Key], Reason]
"""Rows that stay as they are in this apply, and what keeps them so."""


@dataclass(slots=True)
class Work:
    """One transaction that applies what the hub sent.

    `held` is what cannot be shown, by table number and key: loaded at the start, tried again at the end, and
    saved. It is pending edits of other rows that stand in its way, or what `reasons` says. `since` has the
    checkpoint that the shown values of a held row are of. `gone` has the numbers of tables that rows leave
    (their keys are in temporary tables). `written` and `removed` count rows by table name. `triggers` are the
    application's that fire.
    """

    device: Device
    overlay: Overlay
    held: dict[int, dict[Key, Held]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    expected: dict[int, int] = field(default_factory=dict)
    uncaptured: set[int] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    reasons: dict[tuple[int, Key], Reason] = field(default_factory=dict)
    since: dict[tuple[int, Key], int] = field(default_factory=dict)
    pinned: Pinned = field(default_factory=dict)
    complete: bool = True
    """Whether the news lead to one instant of the centre. After a verdict alone, a unique value may be
    taken by a row whose own news come with the next pull."""
    triggers: Sequence[Trigger] = ()
    unread: list[Group] = field(default_factory=list)
    """Rows of refused edits that the hub could not read, as they were before these."""
    rejected_before: int | None = None
    """The newest rejected edit from before those that this transaction may have to look at again."""
    shown_since: int | None = None
    """The id of the newest edit that was rejected before the new rows that the file shows still; None: it
    shows none that is rejected."""
    unshown: list[tuple[Statements, Key]] = field(default_factory=list)
    """Hidden rows that the hub has again, and that found no place when that was learned."""
    gathered: dict[tuple[int, tuple[int, ...]], Gathering] = field(default_factory=dict)
    """Rows that wait for others of their kind (see `replica.gathered`), by table number and columns."""
    _columns: dict[int, dict[str, Column]] = field(default_factory=dict)
    _uniques: dict[int, list[Unique]] = field(default_factory=dict)
    _clauses: dict[int, bool] = field(default_factory=dict)

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

    def pin(self, t: Statements, key: Key, state: Held) -> None:
        """Hold what the hub has of a row, if that must stay as it is."""
        reason = self.pinned.get((t.n, key))
        if reason is not None:
            self.hold(t, key, state)
            self.reasons[t.n, key] = reason

    def release(self, t: Statements, key: Key) -> Held:
        """Take what is kept of a row; KeyError if nothing is."""
        return self.held[t.n].pop(key)

    def is_held(self, t: Statements, key: Key) -> bool:
        return key in self.held.get(t.n, ())

    def count_written(self, t: Statements, rows: int) -> None:
        if rows:
            self.written[t.table.name] = self.written.get(t.table.name, 0) + rows

    # What the file is like -----------------------------------------------------------------------------

    def columns(self, t: Statements) -> dict[str, Column]:
        """The columns that the table has in this file, by name."""
        if t.n not in self._columns:
            self._columns[t.n] = columns_of(self.store, t.table.name)
        return self._columns[t.n]

    def uniques(self, t: Statements) -> list[Unique]:
        """All unique indexes of the table in this file, besides its key's."""
        if t.n not in self._uniques:
            self._uniques[t.n] = uniques_of(self.store, t.table.name)
        return self._uniques[t.n]

    def local_rows(self, t: Statements) -> str:
        """What becomes of rows of the application's tables that refer to one that the centre deleted: what
        this device was told, else what the hub says."""
        return self.device.local_rows(t)

    def fires(self, t: Statements) -> bool:
        """Whether triggers of the application fire when rows of the table are written."""
        return bool(self.triggers) and any(one.on == folded(t.table.name) for one in self.triggers)

    def as_written(self, t: Statements, sql: str) -> str:
        """A statement as the application would write it: its triggers inherit a conflict clause. The clauses
        of the table itself must not decide, and so there is one if the table has any."""
        if t.n not in self._clauses:
            found = self.store.definition("table", t.table.name)
            self._clauses[t.n] = "conflict" in str(found).lower()
        return sql if self._clauses[t.n] else sql.replace(" OR ABORT", "", 1)

    # Many rows -----------------------------------------------------------------------------------------

    def expect(self, t: Statements, rows: int) -> None:
        """So many rows of a table arrive. Triggers that do nothing while capture is suppressed take as long
        as the writing itself: of many rows they are spared, and nobody else can write meanwhile."""
        self.expected[t.n] = self.expected.get(t.n, 0) + rows
        if self.expected[t.n] >= MANY and t.n not in self.uncaptured:
            self.uncaptured.add(t.n)
            capture.remove_triggers(self.store, t)

    def capture_again(self) -> None:
        """Everything has arrived."""
        for n in self.uncaptured:
            if n in self.device.tables:
                capture.install(self.store, self.device.tables[n])
        self.uncaptured.clear()

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
        sql = f"SELECT 1 FROM temp._sync_gone_{t.n} WHERE {t.key_given}"
        return self.store.row(sql, tuple(key)) is not None

    def keep(self, t: Statements, keys: Sequence[Sequence[Value]]) -> None:
        """These rows stay after all."""
        if t.n in self.gone and keys:
            sql = f"DELETE FROM temp._sync_gone_{t.n} WHERE {t.key_given}"
            self.store.executemany(sql, (tuple(key[: t.arity]) for key in keys))


def combined(old: Held, new: Held) -> Held:
    """What the hub has of a row after two messages about it, the newer second."""
    return new if old is None or new is None else {**old, **new}


def load_held(work: Work) -> None:
    """Take everything that is held back out of the file."""
    for n, key, state, since, reason in work.store.rows(
        "SELECT n, key, state, since, reason FROM _sync_held"
    ):
        plain, place = unpack(state), tuple(unpack(key))
        if reason is not None:
            work.reasons[n, place] = Reason(*unpack(reason))
        held = None if plain is None else dict(zip(*plain, strict=True))
        work.held.setdefault(n, {})[place] = held
        work.since[n, place] = since
    if work.held:
        work.store.execute("DELETE FROM _sync_held")


def save_held(work: Work) -> None:
    """Keep for the next apply what still cannot be shown."""
    checkpoint = work.store.state().checkpoint
    work.store.executemany(
        "INSERT INTO _sync_held (n, key, state, since, reason) VALUES (?, ?, ?, ?, ?)",
        (
            (n, pack(key), pack_state(state), work.since.get((n, key), checkpoint), _packed(work, n, key))
            for n, rows in work.held.items()
            for key, state in rows.items()
        ),
    )


def _packed(work: Work, n: int, key: Key) -> bytes | None:
    reason = work.reasons.get((n, key))
    return None if reason is None else pack([reason.object, reason.detail])


def pack_state(state: Held) -> bytes:
    """The blob form: [columns, values], or nil."""
    return b"\xc0" if state is None else pack([list(state), list(state.values())])
