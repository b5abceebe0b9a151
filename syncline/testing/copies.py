"""A simulated world of files that are copied and put back, with a book of what each had seen.

The book is kept beside everything under test: every value that is written is one of a kind, a file has *seen*
what it showed and what the centre had been told when it last synced, and a copy has seen what its original
had. An edit whose column held something else in the centre than anything seen must be kept as a conflict with
it; and it must never be one with what the same file had seen or done, under whatever id.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from syncline.errors import TransportError
from syncline.hub.engine import Hub
from syncline.merge.rules import Table
from syncline.model.actor import Actor
from syncline.protocol.flows import run
from syncline.replica import sync as verbs
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected
from syncline.testing.faults import CrashingStore, FaultyTransport
from syncline.testing.history import History
from syncline.testing.office import SqliteOffice
from syncline.transports.local import LocalTransport

KEYS = (1, 2)
POLICIES = {"newest": "lww", "centre": "hub_wins", "asked": "review", "mine": "replica_wins"}
"""By column. What is added up, or compared, is contested by nobody."""
Cell = tuple[int, str]
TABLES = (
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0,"
    f" {', '.join(f'{name} TEXT' for name in POLICIES)})",
    "CREATE TABLE was (thing INTEGER, name TEXT, before, now)",
    *(
        f"CREATE TRIGGER was_{name} AFTER UPDATE OF {name} ON thing WHEN OLD.{name} IS NOT NEW.{name}"
        f" BEGIN INSERT INTO was VALUES (NEW.id, '{name}', OLD.{name}, NEW.{name}); END"
        for name in POLICIES
    ),
)


@dataclass
class Book:
    """What one file has seen of each cell, and had when it `begun` to change those that are pending; what it
    has `made` itself; what it has `added` to counters. A copy takes it along."""

    seen: dict[Cell, set[Any]] = field(default_factory=dict)
    begun: dict[Cell, set[Any]] = field(default_factory=dict)
    made: set[Any] = field(default_factory=set)
    added: list[int] = field(default_factory=list)


@dataclass
class File:
    """A device file and the book of it."""

    name: str
    store: CrashingStore
    book: Book

    @property
    def device(self) -> Device:
        return Device.load(self.store)


class Copies(History):
    """One seeded history."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.office = SqliteOffice(lambda: self.now)
        self.now, self.serial = self.office.start, 0
        for statement in TABLES:
            self.office.run(statement)
        self.hub = Hub(self.office.database, {"thing": Table({"n": "sum", **POLICIES})}, clock_tolerance=1e9)
        self.hub.init()
        for key in KEYS:
            self.office.run("INSERT INTO thing (id) VALUES (?)", key)
        self.based: dict[Any, set[Any]] = {}
        """By a value that a file wrote: what it had seen when it began to change that cell."""
        self.own: dict[Any, set[Any]] = {}
        """And what it had made itself before."""
        self.based_on: dict[Any, set[Any]] = {}
        """And of the same cell."""
        self.amounts: list[int] = []
        """The keys of rows that were added to; of the number n, two to the power of n."""
        self.saved: list[tuple[str, bytes, Book]] = []
        self.files = [self._file(f"f{number}") for number in range(2)]

    def _file(self, name: str) -> File:
        store = CrashingStore.in_memory(lambda: self.now)
        run(fill(store, None, silent, name), LocalTransport(self.hub, Actor("all")))
        seen = {(key, column): {None} for key in KEYS for column in POLICIES}
        return File(name, store, Book(seen))

    def close(self) -> None:
        for file in self.files:
            file.store.close()
        self.office.close()

    # Steps

    def _step(self) -> None:
        file, dice = self.rng.choice(self.files), self.rng.random()
        self.now += self.rng.randint(1, 2000)
        if dice < 0.4:
            self.edit(file)
        elif dice < 0.5:
            self.edit_centre()
        elif dice < 0.82:
            self.exchange(file, loss=0.25)
        elif dice < 0.9:
            self.trace.append(f"{file.name} saved")
            self.saved.append((file.name, file.store.content(), deepcopy(file.book)))
        elif self.saved and dice < 0.96:
            name, content, book = self.rng.choice(self.saved)
            place = next(n for n, one in enumerate(self.files) if one.name == name)
            self.files[place].store.close()
            self.files[place] = self._made(name, content, book)
            self.trace.append(f"{name} put back")
        elif self.saved and len(self.files) < 4:
            name, content, book = self.rng.choice(self.saved)
            twin = self._made(f"{name}{len(self.files)}", content, book)
            self.files.append(twin)
            self.trace.append(f"{twin.name} is a copy of {name}")

    def _made(self, name: str, content: bytes, book: Book) -> File:
        store = CrashingStore.in_memory(lambda: self.now)
        store.fill_with(content)
        return File(name, store, deepcopy(book))

    def edit(self, file: File) -> None:
        key, self.serial = self.rng.choice(KEYS), self.serial + 1
        if self.rng.random() < 0.2:
            self._add(file, key)
            return
        column = self.rng.choice(list(POLICIES))
        cell, value = (key, column), f"{file.name}-{self.serial}"
        file.store.execute(f"UPDATE thing SET {column} = ? WHERE id = ?", (value, key))
        seen = file.book.begun.setdefault(cell, set(file.book.seen[cell]))
        self.based[value], self.own[value] = seen, set(file.book.made)
        self.based_on[value] = {one for one in seen if one in file.book.made}
        seen.add(value)
        file.book.seen[cell].add(value)
        file.book.made.add(value)
        self.trace.append(f"{file.name} {cell} = {value}")

    def _add(self, file: File, key: int) -> None:
        amount = 1 << len(self.amounts)
        self.amounts.append(key)
        file.store.execute("UPDATE thing SET n = n + ? WHERE id = ?", (amount, key))
        file.book.added.append(amount)
        self.trace.append(f"{file.name} adds {amount} to {key}")

    def edit_centre(self) -> None:
        self.serial += 1
        key, column, value = self.rng.choice(KEYS), self.rng.choice(list(POLICIES)), f"centre-{self.serial}"
        self.office.run(f"UPDATE thing SET {column} = ? WHERE id = ?", value, key)
        self.trace.append(f"centre {(key, column)} = {value}")

    def exchange(self, file: File, loss: float) -> None:
        transport = FaultyTransport(LocalTransport(self.hub, Actor("all")), self.rng, lambda: None)
        transport.loss = loss
        try:
            run(verbs.sync(file.device, silent), transport)
            self.trace.append(f"{file.name} sync")
        except TransportError as error:
            self.trace.append(f"{file.name} sync: {error.detail}")
        self._look(file)

    def _look(self, file: File) -> None:
        """Note what the file has come to show. What is edited and not decided hides what the centre has."""
        pending = self._pending(file)
        for cell in file.book.seen.keys() - pending:
            file.book.begun.pop(cell, None)
            ((value,),) = file.store.rows(f"SELECT {cell[1]} FROM thing WHERE id = ?", (cell[0],))
            file.book.seen[cell] |= self._until(cell, value)

    def _pending(self, file: File) -> set[Cell]:
        (t,) = file.device.tables.values()
        numbers = {column.name: 1 << n for n, column in t.table.values.items()}
        found = file.store.rows(f"SELECT k0, {t.masks[0]} FROM {t.log}")
        return {(key, name) for key, mask in found for name in POLICIES if (mask or 0) & numbers[name]}

    def _until(self, cell: Cell, value: Any) -> set[Any]:
        """All that a cell has held in the centre until it came to hold this value."""
        values = self._history(cell)
        return set(values[: values.index(value) + 1]) if value in values else {value}

    def _history(self, cell: Cell) -> list[Any]:
        found = self.office.rows("SELECT now FROM was WHERE thing = ? AND name = ? ORDER BY rowid", *cell)
        return [None, *(now for (now,) in found)]

    # The end

    def run(self) -> None:
        for _ in self.steps(self.rng.randint(10, 60)):
            self._step()
        for _ in range(4):
            for file in self.files:
                self.exchange(file, loss=0.0)
        rows = self.office.rows("SELECT * FROM thing ORDER BY id")
        for file in self.files:
            assert sum(pending_edits(file.device).values()) == 0
            assert rejected(file.device) == []
            assert file.store.rows("SELECT * FROM thing ORDER BY id") == rows
        self._check_counters({row[0]: row[1] for row in rows})
        self.check_conflicts()

    def _check_counters(self, found: dict[int, int]) -> None:
        """L2 and L3: what a living file has added counts, and nothing twice."""
        for number, key in enumerate(self.amounts):
            amount = 1 << number
            living = any(amount in file.book.added for file in self.files)
            assert found[key] & amount or not living, f"{amount} is lost"
            found[key] &= ~amount
        assert not any(found.values()), f"counted twice: {found}"

    def check_conflicts(self) -> None:
        """Nothing that had not been seen was overwritten unsaid, and nothing of one's own was a rival."""
        notes = [(note.sent, note.hub) for note in self.hub.conflicts()]
        rivals: defaultdict[Any, set[Any]] = defaultdict(set)
        for sent, there in notes:
            rivals[there].add(sent)
        histories = [self._history((key, column)) for key in KEYS for column in POLICIES]
        for values in histories:
            for before, now in pairwise(values):
                known = self.based.get(now)
                if known is not None and before not in known:
                    chain = {now} | self.based_on[now]
                    assert chain & rivals[before], f"{now} has overwritten {before} unsaid"
        for sent, there in notes:
            if there in self.own[sent]:
                (values,) = [found for found in histories if there in found] or [[]]
                unseen = set(values[: values.index(there) + 1] if values else ()) - self.based[sent]
                assert unseen, f"{sent} in conflict with {there} of the same file"
        self._check_lost({sent for sent, _ in notes}.union(*histories))

    def _check_lost(self, found: set[Any]) -> None:
        """L2: an edit that the centre never had was overruled, or another followed it in its file, or in a
        copy, before either was sent."""
        followed = set().union(*self.based_on.values())
        for file in self.files:
            for value in file.book.made - followed:
                assert value in found, f"{value} is nowhere"
