"""A simulated world with foreign keys, unique columns, checks, cascades and every policy.

There is no reference for all of that; what must hold is stated instead: in the end every replica equals
the centre (L5), no edit is unaccounted for (L2), counters hold what was added to them (L3), no table of
the centre or of a replica breaks a foreign key (L9).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from syncline.errors import StoreConstraint
from syncline.hub.engine import Hub
from syncline.merge.rules import Table
from syncline.model.actor import Actor
from syncline.protocol.flows import run
from syncline.protocol.messages import Limits
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected
from syncline.testing.faults import (
    CrashingStore,
    FaultyTransport,
    exchange_in_peace,
    exchange_under_faults,
)
from syncline.testing.history import History
from syncline.testing.office import MakeOffice, Office, Refused, SqliteOffice
from syncline.transports.local import LocalTransport

TABLES = ("area", "farm", "visit", "pair_a", "pair_b", "tag")
Row = tuple[Any, ...]


def tables_of(office: Office) -> Iterator[str]:
    """The statements that make the tables."""
    yield """CREATE TABLE area (id INTEGER PRIMARY KEY, name TEXT UNIQUE,
        above INTEGER REFERENCES area (id) ON DELETE SET NULL)"""
    yield """CREATE TABLE farm (id TEXT PRIMARY KEY, area INTEGER REFERENCES area (id) ON DELETE CASCADE,
        cows INTEGER NOT NULL DEFAULT 0, best INTEGER, note TEXT, size INTEGER CHECK (size < 90))"""
    yield f"""CREATE TABLE visit (farm TEXT NOT NULL REFERENCES farm (id), day INTEGER NOT NULL, state TEXT,
        remark {office.any_type}, PRIMARY KEY (farm, day)) {office.without_rowid()}"""
    points = "" if office.can_alter else "REFERENCES pair_b (id)"
    yield f"CREATE TABLE pair_a (id INTEGER PRIMARY KEY, b INTEGER {points}, word TEXT)"
    yield "CREATE TABLE pair_b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES pair_a (id), word TEXT)"
    if office.can_alter:
        yield "ALTER TABLE pair_a ADD FOREIGN KEY (b) REFERENCES pair_b (id)"
    yield (
        "CREATE TABLE tag (farm TEXT REFERENCES farm (id) ON UPDATE CASCADE ON DELETE CASCADE, word TEXT,"
        " PRIMARY KEY (farm, word))"
    )


@dataclass
class Phone:
    name: str
    store: CrashingStore
    transport: FaultyTransport
    inserted: set[tuple[str, Row]] = field(default_factory=set)
    """(table, key) of every row this phone has inserted and not removed again by itself."""

    @property
    def device(self) -> Device:
        return Device.load(self.store)


class World(History):
    """One seeded history over the tables above. `run` plays it and checks its end."""

    LIMITS = Limits()

    def __init__(self, seed: int, office: MakeOffice = SqliteOffice) -> None:
        super().__init__(seed)
        self.office = office(lambda: self.now)
        self.now, self.serial, self.added = self.office.start, 0, 0
        self.deleted = False
        self.database = self.office.database
        for statement in tables_of(self.office):
            self.office.run(statement)
        self.hub = Hub(self.database, self._rules(), clock_tolerance=1e9, limits=self.LIMITS)
        self.hub.init()
        self.office.run("INSERT INTO area VALUES (1, 'north', NULL), (2, 'south', 1)")
        self.office.run("INSERT INTO farm (id, area) VALUES ('home', 1), ('away', 2)")
        self.phones = [self._phone(f"r{number}") for number in range(self.rng.randint(2, 5))]

    def _rules(self) -> dict[str, Table]:
        row = self.rng.choice(["row", "hub_wins", "replica_wins", "review", "lww"])
        deletes = [self.rng.choice(["newer_wins", "delete_wins", "update_wins"]) for _ in range(2)]
        farm = {"cows": "sum", "best": "max", "note": self.rng.choice(["lww", "review", "hub_wins"])}
        return {
            "area": Table(deletes=deletes[0], inserts="same_row"),
            "farm": Table(farm, deletes[1], inserts="same_row"),
            "visit": Table(row, inserts="same_row"),
            "pair_a": Table(inserts="same_row"),
            "pair_b": Table({"word": "replica_wins"}, inserts="same_row"),
            "tag": Table(inserts="same_row"),
        }

    def _phone(self, name: str) -> Phone:
        skew = self.rng.choice([0, 0, -5000, 7000, 1_000_000])
        store = CrashingStore.in_memory(lambda: self.now + skew)
        transport = FaultyTransport(LocalTransport(self.hub, Actor(name)), self.rng, lambda: self.edit(phone))
        phone = Phone(name, store, transport)
        run(fill(store, None, silent, name), LocalTransport(self.hub, Actor(name)))
        return phone

    def close(self) -> None:
        for phone in self.phones:
            phone.store.close()
        self.office.close()

    # Edits. Each is one statement or transaction of an application; the file may refuse it.

    def edit(self, phone: Phone) -> None:
        self.now += self.rng.randint(0, 2000)
        self.serial += 1
        kinds = [self._area, self._farm, self._farm, self._count, self._visit, self._pair, self._tag]
        statements = self.rng.choice([*kinds, self._change, self._change, self._remove])(phone)
        shown = self._shown(phone)
        try:
            with phone.store.transaction() as store:
                for sql, parameters in statements:
                    changed = store.execute(sql, parameters)
        except StoreConstraint as error:
            self._say(phone, f"edit {statements}: {error.detail}")
            return
        self._say(phone, f"edit {statements}")
        self._note(phone, statements, changed)
        phone.inserted -= shown - self._shown(phone)

    def _say(self, phone: Phone, what: str) -> None:
        self.trace.append(f"{phone.name} {what}")

    @staticmethod
    def _shown(phone: Phone) -> set[tuple[str, Row]]:
        """Which of the rows it inserted the phone has now."""
        return {item for item in phone.inserted if phone.store.value(_exists(item), item[1])}

    def _note(self, phone: Phone, statements: list[tuple[str, Row]], changed: int) -> None:
        for sql, parameters in statements:
            words = sql.split()
            if words[0] in ("INSERT", "REPLACE"):
                table = words[2]
                width = 2 if table in ("visit", "tag") else 1
                phone.inserted.add((table, tuple(parameters[:width])))
            if "cows = cows +" in sql and changed:
                self.added += parameters[0]
            self.deleted = self.deleted or words[0] in ("DELETE", "REPLACE")

    def _pick(self, phone: Phone, table: str, column: str) -> Any:
        rows = phone.store.rows(f"SELECT {column} FROM {table}")
        return self.rng.choice(rows)[0] if rows else None

    def _area(self, phone: Phone) -> list[tuple[str, Row]]:
        name = self.rng.choice(["north", "south", "east", "west", f"a{self.serial}"])
        above = self._pick(phone, "area", "id")
        verb = self.rng.choice(["INSERT", "INSERT", "REPLACE"])
        return [(f"{verb} INTO area VALUES (?, ?, ?)", (self.rng.randint(1, 12), name, above))]

    def _farm(self, phone: Phone) -> list[tuple[str, Row]]:
        size = self.rng.choice([1, 50, None])
        parameters = (f"f{self.serial}", self._pick(phone, "area", "id"), "new", size)
        return [("INSERT INTO farm (id, area, note, size) VALUES (?, ?, ?, ?)", parameters)]

    def _count(self, phone: Phone) -> list[tuple[str, Row]]:
        farm = self._pick(phone, "farm", "id")
        return [("UPDATE farm SET cows = cows + ? WHERE id = ?", (self.rng.randint(1, 9), farm))]

    def _visit(self, phone: Phone) -> list[tuple[str, Row]]:
        farm, day = self._pick(phone, "farm", "id"), self.rng.randint(1, 3)
        sql = (
            "INSERT INTO visit VALUES (?, ?, ?, ?)"
            " ON CONFLICT (farm, day) DO UPDATE SET state = excluded.state"
        )
        remark = self.rng.choice(self.office.values)
        return [(sql, (farm, day, f"s{self.serial}", remark))]

    def _pair(self, phone: Phone) -> list[tuple[str, Row]]:
        """Two rows that point at each other: a cycle that only a deferred constraint allows."""
        return [
            ("INSERT INTO pair_a VALUES (?, ?, ?)", (self.serial, self.serial, "x")),
            ("INSERT INTO pair_b VALUES (?, ?, ?)", (self.serial, self.serial, "y")),
        ]

    def _tag(self, phone: Phone) -> list[tuple[str, Row]]:
        farm = self._pick(phone, "farm", "id")
        return [("INSERT INTO tag VALUES (?, ?)", (farm, self.rng.choice("abc")))]

    def _change(self, phone: Phone) -> list[tuple[str, Row]]:
        farm, area = self._pick(phone, "farm", "id"), self._pick(phone, "area", "id")
        pair = self._pick(phone, "pair_a", "id")
        number, word = self.rng.randint(1, 99), f"w{self.serial}"
        choices: list[tuple[str, Row]] = [
            ("UPDATE farm SET best = ? WHERE id = ?", (number, farm)),
            ("UPDATE farm SET note = ? WHERE id = ?", (word, farm)),
            ("UPDATE farm SET area = ? WHERE id = ?", (area, farm)),
            ("UPDATE area SET name = ? WHERE id = ?", (self.rng.choice(["east", "west", word]), area)),
            ("UPDATE area SET above = ? WHERE id = ?", (self._pick(phone, "area", "id"), area)),
            ("UPDATE visit SET state = ? WHERE farm = ?", (word, farm)),
            ("UPDATE pair_b SET word = ? WHERE id = ?", (word, pair)),
            ("UPDATE pair_a SET b = NULL, word = ? WHERE id = ?", (word, pair)),
        ]
        return [self.rng.choice(choices)]

    def _remove(self, phone: Phone) -> list[tuple[str, Row]]:
        farm, area = self._pick(phone, "farm", "id"), self._pick(phone, "area", "id")
        choices: list[list[tuple[str, Row]]] = [
            [("DELETE FROM visit WHERE farm = ?", (farm,)), ("DELETE FROM farm WHERE id = ?", (farm,))],
            [("DELETE FROM area WHERE id = ?", (area,))],
            [("DELETE FROM tag WHERE farm = ?", (farm,))],
            [("DELETE FROM visit WHERE day = ?", (self.rng.randint(1, 3),))],
        ]
        return self.rng.choice(choices)

    def edit_centre(self) -> None:
        """Another program writes in the centre; its constraints may refuse it."""
        self.now += self.rng.randint(0, 2000)
        self.serial += 1
        number, word = self.rng.randint(1, 12), f"c{self.serial}"
        sql, parameters = self.rng.choice(
            [
                ("INSERT INTO area VALUES (?, ?, 1)", (number, self.rng.choice(["east", "west", word]))),
                ("UPDATE area SET name = ? WHERE id = ?", (word, number)),
                ("DELETE FROM area WHERE id = ?", (number,)),
                ("UPDATE farm SET note = ?, size = 3 WHERE id = 'home'", (word,)),
                ("UPDATE farm SET area = NULL WHERE area = ?", (number,)),
                ("INSERT INTO farm (id, area) VALUES (?, NULL)", (word,)),
                ("DELETE FROM tag WHERE word = ?", (self.rng.choice("abc"),)),
                ("UPDATE visit SET state = ? WHERE day = ?", (word, self.rng.randint(1, 3))),
            ]
        )
        self.deleted = self.deleted or sql.startswith("DELETE")
        sql = self.office.ignoring(self._guarded(sql))
        self.trace.append(f"centre: {sql} {parameters}")
        with suppress(Refused):
            self.office.run(sql, *parameters)

    @staticmethod
    def _guarded(sql: str) -> str:
        """A delete of areas only where no farm with visits would have to go with it."""
        if "DELETE FROM area" not in sql:
            return sql
        return sql + " AND id NOT IN (SELECT area FROM farm WHERE area IS NOT NULL)"

    # Exchange

    def exchange(self, phone: Phone, faults: bool) -> None:
        """One verb under whatever faults the history has."""
        if faults:
            self._say(phone, exchange_under_faults(self.rng, phone.store, phone.transport, statements=120))
        else:
            exchange_in_peace(phone.store, phone.transport)

    def run(self) -> None:
        for _ in self.steps(self.rng.randint(10, 80)):
            phone, dice = self.rng.choice(self.phones), self.rng.random()
            if dice < 0.55:
                self.edit(phone)
            elif dice < 0.65:
                self.edit_centre()
            else:
                self.exchange(phone, faults=True)
        for _ in range(4):
            for phone in self.phones:
                self.exchange(phone, faults=False)
        centre = self.contents()
        for phone in self.phones:
            self.check(phone, centre)
        self._check_counters(centre)

    def contents(self) -> dict[str, list[Row]]:
        """Every table of the centre."""
        assert self.office.broken() == []
        return {table: sorted_rows(self.office.rows(f"SELECT * FROM {table}")) for table in TABLES}

    def check(self, phone: Phone, centre: dict[str, list[Row]]) -> None:
        """L5: the replica is the centre. L9: no broken reference. L2: every inserted row has an end."""
        assert sum(pending_edits(phone.device).values()) == 0
        assert phone.store.rows("PRAGMA foreign_key_check") == []
        for table in TABLES:
            assert sorted_rows(phone.store.rows(f"SELECT * FROM {table}")) == centre[table], table
        known = {(edit.table, tuple(edit.key)) for edit in rejected(phone.device)}
        known |= {(note.table, tuple(note.key)) for note in self.hub.conflicts()}
        tables = self.hub.schema.by_number
        known |= {(tables[n].name, key) for _, n, key in self.office.logged()}
        assert not phone.inserted - known

    def _check_counters(self, centre: dict[str, list[Row]]) -> None:
        if not self.deleted and not any(rejected(phone.device) for phone in self.phones):
            assert sum(row[2] for row in centre["farm"]) == self.added


class WorldInChunks(World):
    """The same where three rows are too many for one request."""

    LIMITS = Limits(push_rows=2)


def _exists(item: tuple[str, Row]) -> str:
    columns = {"visit": "farm = ? AND day = ?", "tag": "farm = ? AND word = ?"}.get(item[0], "id = ?")
    return f"SELECT 1 FROM {item[0]} WHERE {columns}"


def sorted_rows(rows: list[Row]) -> list[Row]:
    """In an order that does not depend on the database."""
    return sorted(rows, key=repr)
