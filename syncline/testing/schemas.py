"""A simulated world whose tables change: in the centre, by another program, and on devices, by applications.

What must hold: in the end every device has what the centre has, by the numbers of tables and columns (L5);
every edit that was made is accounted for (L2), counters hold what was added to them (L3), no foreign key is
broken (L9), and `verify` says so too.

Every step has a kind and a seed of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from syncline.errors import (
    SchemaError,
    StoreConstraint,
    StoreObstacle,
    SynclineError,
    TransportError,
    UsageError,
)
from syncline.hub.clients import held_by
from syncline.hub.contract import Position, ReadTransaction
from syncline.hub.engine import Hub
from syncline.merge.rules import Table
from syncline.model.actor import Actor
from syncline.model.operations import GONE
from syncline.model.schema import TableSchema
from syncline.model.scope import UNBOUNDED
from syncline.protocol.flows import run
from syncline.protocol.messages import Limits, Request, Response
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.store import unpack
from syncline.testing.altered import Altered
from syncline.testing.book import Book, ColumnPlace, Place, flat
from syncline.testing.faults import Crash, CrashingStore, FaultyTransport
from syncline.testing.history import History
from syncline.testing.office import MakeOffice, Refused, SqliteOffice
from syncline.testing.phones import Application, Phone, Writing
from syncline.transports.local import LocalTransport

LONG = 10 * 365 * 86_400.0
"""Seconds in which no replica becomes stale: the records have the time of the history."""
KINDS = {
    "edit": 40,
    "centre": 12,
    "exchange": 30,
    "alter": 9,
    "operate": 5,
    "upgrade": 3,
    "own": 4,
    "spoil": 2,
    "setback": 3,
    "clone": 1,
}
"""Steps, and how often each is."""
DELETES = ("newer_wins", "delete_wins", "update_wins")
MERGES = ("lww", "lww", "review", "hub_wins", "replica_wins")
DEVICES = 6
HELPED = 8
"""How often at most a device syncs until what it says was done."""
PASSING = ("busy", "schema_changed", "hydrate_stale", "schema_unknown")
"""Codes of errors that another exchange would not meet: something was altered while it was under way."""
BEGIN_ANEW = ("hydrate_stale", "watermark_pruned", "watermark_lost", "centre_restored", "schema_unknown")
"""Codes of errors after which a file that is not filled yet is begun anew, as `clone` does."""
ALTERED = ("table_altered", "table_missing")
"""Codes of a table that lacks names which the application has changed where nobody could see it."""
COMPARED = ("capture", "track")
"""Policies of the conflicts that a device finds by comparing."""
Step = tuple[str, int]
"""What is done, and the seed of what is random in it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup of the centre: the database, its tables, and the hub's numbers of them."""

    database: bytes
    tables: Any
    numbers: dict[int, int]
    known: set[ColumnPlace]


class SchemaWorld(History):
    """One seeded history."""

    LIMITS = Limits()

    def __init__(self, seed: int, office: MakeOffice = SqliteOffice) -> None:
        super().__init__(seed)
        self.turns = random.Random(seed)
        self.office = office(lambda: self.now)
        self.now, self.serial = self.office.start, 0
        self.database = self.office.database
        self.centre = Altered(self.office)
        self.is_configured = self.rng.random() < 0.7
        self.policies = self._policies()
        self.book = Book()
        self.is_stale = False
        self.kept: Kept | None = None
        self.went_back = False
        self.restart()
        self.hub.init()
        self.look()
        self.phones: list[Phone] = []
        for is_lazy in [self.rng.random() < 0.4 for _ in range(self.rng.randint(2, 4))]:
            self.clone(is_lazy)
        kinds = self.rng.choices(list(KINDS), list(KINDS.values()), k=self.rng.randint(10, 70))
        self.planned: list[Step] = [(kind, self.rng.getrandbits(32)) for kind in kinds]
        self.kind, self.seed = "", 0

    def mark(self) -> Step:
        return self.kind, self.seed

    def go_to(self, mark: Step) -> None:
        self.kind, self.seed = mark
        self.rng, self.turns = random.Random(self.seed), random.Random(self.seed + 1)

    def _policies(self) -> dict[int, str]:
        """Of some columns of the first tables, by their id."""
        columns = [column for table in self.centre.tables.values() for column in table.values]
        found = {
            c.id: self.rng.choice(MERGES) for c in columns if c.name in ("note", "size", "state", "above")
        }
        self.deletes = self.rng.choice(DELETES)
        return found | {column.id: "sum" for column in columns if column.counted}

    def close(self) -> None:
        for phone in self.phones:
            phone.store.close()
        self.office.close()

    # The hub, its operator, and what is seen of it

    def handle(self, actor: Actor, request: Request) -> Response:
        """One of the two servers of the hub answers, by chance; then the centre is looked at."""
        try:
            return self.turns.choice([self.hub, self.second]).handle(actor, request)
        finally:
            self.look()

    def restart(self) -> None:
        """Both servers of the hub are started with a configuration that fits the tables as they are."""
        rules = {
            table.name: Table(
                {c.name: self.policies[c.id] for c in table.values if c.id in self.policies},
                self.deletes,
                inserts="same_row",
            )
            for table in self.centre.tables.values()
        }
        configured = rules if self.is_configured else None
        self.hub, self.second = (
            Hub(self.database, configured, clock_tolerance=1e9, limits=self.LIMITS) for _ in range(2)
        )
        if self.is_stale:  # `init` alone says which tables take part
            self.hub.init()
        self.is_stale = False

    def look(self) -> None:
        """Note what the hub makes of the tables, and what is in them."""
        try:
            schema = self.hub.schema
        except SynclineError:
            if not self.is_stale:  # the configuration fits: the hub must follow
                raise
            return
        if not self.is_stale:
            self.book.identify(schema, self.centre.tables.values())
            self.centre.saw()
        self.book.see(schema, {table.number: self.office.rows(_whole(table)) for table in schema.tables})

    # Steps

    def step(self, kind: str) -> None:
        """Play one step with the randomness of `rng`."""
        self.now += self.rng.randint(0, 2000)
        self.serial += 1
        phone = self.rng.choice(self.phones)
        if kind in ("alter", "centre", "operate", "clone", "setback"):
            done = (self.centre_written if kind == "centre" else getattr(self, kind))()
            self.trace.append(f"{kind}: {done}")
        elif kind == "exchange" or phone.filled:
            done = getattr(self, kind)(phone)
            self.trace.append(f"{phone.name} {kind}: {done}")

    def alter(self) -> str:
        """Another program alters the centre's tables; the operator follows at once, or later."""
        before = self._named()
        said = self.centre.change(self.rng)
        self.is_stale = self.is_stale or (self.is_configured and before != self._named())
        if not self.is_configured or self.rng.random() < 0.5:
            return said
        self.restart()
        return f"{said}; configured"

    def _named(self) -> set[tuple[str, str]]:
        """What a configuration must name."""
        tables = self.centre.tables.values()
        found = {(table.name, "") for table in tables}
        return found | {(t.name, c.name) for t in tables for c in t.values if c.id in self.policies}

    def operate(self) -> str:
        """The operator restarts the hub, runs init, or prunes the log."""
        verb = self.rng.choice(["restart", "init", "prune"])
        if verb == "prune":
            if not self.is_stale:
                self.look()
                with self.database.write(UNBOUNDED) as transaction:
                    transaction.log.prune(self._held(transaction), 0.0, None, 10_000)
            return verb
        self.restart()
        if verb == "init":
            self.hub.init()
        self.look()
        return verb

    def _held(self, transaction: ReadTransaction) -> list[Position]:
        """What must stay in the log. Nearly nothing, whoever needs it; but of a centre that went back what
        live replicas hold: it notices lost pushes by that (law L2), for longer than devices keep them, since
        `reoffer_days` are at most `stale_days`."""
        if not self.went_back:
            return []
        return list(held_by(transaction, self.database.position, LONG).values())

    def setback(self) -> str:
        """A backup of the centre is made; or it is put back to the last one, with the tables of then."""
        if not isinstance(self.office, SqliteOffice):
            return "nothing"
        if self.kept is None or self.rng.random() < 0.4:
            if self.is_stale:
                return "nothing"
            self.look()
            tables = deepcopy((self.centre.tables, self.centre.seen, self.centre.left))
            numbers = dict(self.book.numbers)
            self.kept = Kept(self.office.backup(), tables, numbers, set(self.book.known))
            return "backup"
        self.office.restore(self.kept.database)
        self.centre.tables, self.centre.seen, self.centre.left = deepcopy(self.kept.tables)
        self.book.put_back(self.kept.numbers, self.kept.known)
        self.went_back = True
        self.restart()
        self.look()
        return "restored"

    def spoil(self, phone: Phone) -> str:
        """A program makes a table of the device anew, without its key; or gives such a one its key."""
        if phone.spoiled:
            return self.mend(phone)
        device = Device.load(phone.store)
        parents = {parent.lower() for t in device.tables.values() for parent in phone.parents(t.table.name)}
        able = [t for t in device.tables.values() if t.table.name.lower() not in parents]
        if not able or phone.moved:
            return "nothing"
        t = self.rng.choice(able)
        phone.spoiled[t.table.name] = list(t.table.key)
        phone.spoil(t.table.name)
        return f"{t.table.name} has no key any more"

    def mend(self, phone: Phone) -> str:
        """Tables without a key get it back."""
        said = f"{', '.join(phone.spoiled)}: key again"
        for name, key in phone.spoiled.items():
            phone.store.execute(f"CREATE UNIQUE INDEX key{self.serial} ON {name} ({', '.join(key)})")
            self.serial += 1
        phone.spoiled.clear()
        return said

    def clone(self, is_lazy: bool | None = None) -> str:
        """Another device; it is filled now, or when it exchanges first."""
        if is_lazy is None:
            is_lazy = self.rng.random() < 0.4
        if len(self.phones) >= DEVICES:
            return "nothing"
        name, skew = f"r{len(self.phones)}", self.rng.choice([0, 0, -5000, 7000, 1_000_000])
        phone = Phone(name=name, actor=Actor(name), store=self._store(skew), skew=skew, lazy=is_lazy)
        self.phones.append(phone)
        if self.rng.random() < 0.8 and not self.is_stale:
            self.exchange_in_peace(phone)
        return name

    def _store(self, skew: int) -> CrashingStore:
        return CrashingStore.in_memory(lambda: self.now + skew)

    # Exchange

    def exchange(self, phone: Phone) -> str:
        """One verb under whatever faults there are."""
        if phone.lazy and self.rng.random() < 0.8:
            return "offline"
        line = FaultyTransport(LocalTransport(self, phone.actor), self.rng, lambda: self._between(phone))
        phone.line, line.loss, line.writes = line, 0.2, 0.3
        phone.store.countdown = self.rng.randint(0, 400) if self.rng.random() < 0.35 else None
        verb = self.rng.choice(["sync", "sync", "sync", "pull", "push"])
        try:
            self._exchange(phone, verb)
        except Crash as crash:
            phone.replica = None
            return f"{verb}: crashed before {str(crash)[:60]}"
        except TransportError as error:
            return f"{verb}: {error.detail}"
        except SynclineError as error:
            if not (self._is_helped(phone, error) or error.code in PASSING or self.is_stale):
                raise
            return f"{verb}: {error.code}"
        finally:
            phone.store.countdown = None
        return verb

    def exchange_in_peace(self, phone: Phone) -> None:
        """One sync to which nothing happens, again after what it says was done."""
        phone.line = FaultyTransport(LocalTransport(self, phone.actor), self.rng, lambda: None)
        for left in reversed(range(HELPED)):
            try:
                self._exchange(phone, "sync")
            except SynclineError as error:
                if not left or not self._is_helped(phone, error):
                    raise
            else:
                return

    def _exchange(self, phone: Phone, verb: str) -> None:
        if not phone.filled:
            run(fill(phone.store, None, silent, phone.name), phone)
            phone.filled = True
        if self.rng.random() < 0.2:
            phone.replica = None
        getattr(phone.opened, verb)()
        phone.moved.clear()
        unable = phone.opened.status().unable
        if not any(one.code in ALTERED for one in unable):
            phone.unseen.clear()  # they are the names now
        for one in unable:
            if one.code in ("column_taken", *ALTERED):  # that table alone waits: its user does what is said
                raise SchemaError(one.detail, code=one.code)
        if phone.in_the_way():
            raise SchemaError("a former table has the name of another one", code="table_not_made")

    def _is_helped(self, phone: Phone, error: SynclineError) -> bool:
        """Do what the error says, if it is one that a user can do something about."""
        if error.code in BEGIN_ANEW and not phone.filled:
            phone.store.close()
            phone.store, phone.name = self._store(phone.skew), f"{phone.name}x"
        elif error.code == "column_taken" and phone.has_own:
            self._application(phone).give_way()
        elif error.code == "key_missing" and phone.spoiled:
            self.mend(phone)
        elif error.code in ALTERED and phone.unseen:
            phone.name_again()
        elif error.code == "table_not_made":
            for name in phone.in_the_way():
                phone.store.execute(f"ALTER TABLE {name} RENAME TO old{self.serial}{name}")
        else:
            return False
        self.serial += 1
        return True

    def _between(self, phone: Phone) -> None:
        dice = self.rng.random()
        if dice < 0.12:
            done = self.alter()
        elif dice < 0.15:
            done = self.setback()
        elif phone.filled and dice < 0.8:
            done = self.edit(phone)
        else:
            done = self.centre_written()
        self.trace.append(f"  meanwhile {done}")

    # What applications and other programs do

    def edit(self, phone: Phone) -> str:
        """One statement of the application on a device; the file may refuse it."""
        self.now += self.rng.randint(0, 2000)
        self.serial += 1
        tables = [table for table in phone.tables() if table.name not in phone.spoiled]
        made = self._application(phone).writing(self.rng.choice(tables)) if tables else None
        if made is None:
            return "nothing"
        before = phone.keys(tables)
        try:
            with phone.store.transaction() as store:
                changed = store.execute(made.sql, made.parameters)
        except StoreConstraint as error:
            return f"{made.sql} {made.parameters}: {error.detail}"
        except StoreObstacle as error:  # what it refers to has lost its key to the application itself
            if not phone.spoiled:
                raise
            return f"{made.sql} {made.parameters}: {error.detail}"
        after = phone.keys(tables)
        for n, keys in before.items():
            for gone in keys - after[n]:
                self.book.delete((phone.name, n, gone))
        if changed:
            self._enter(phone, made)
        return f"{made.sql} {made.parameters}"

    def _application(self, phone: Phone) -> Application:
        fixed = {self.book.numbers[table.id] for table in self.centre.tables.values() if table.fixed}
        return Application(phone, self.rng, self.serial, fixed)

    def _enter(self, phone: Phone, made: Writing) -> None:
        place = phone.name, made.table.number, made.key
        if made.sql.startswith("INSERT"):
            self.book.replace(place)
        if made.is_counting:
            self.book.count(place, made.written, captured=phone.is_captured(made.table))
        elif made.written:
            self.book.write(place, made.written)

    def own(self, phone: Phone) -> str:
        """The application alters a table of its file, and writes at once."""
        tables = phone.tables()
        if phone.spoiled or not tables:  # none takes part until a key is back and seen
            return "nothing"
        said = self._application(phone).alter(self.rng.choice(tables))
        return f"{said}; {self.edit(phone)}"

    def upgrade(self, phone: Phone) -> str:
        """The application asks for the centre's names."""
        phone.store.countdown = self.rng.randint(0, 60) if self.rng.random() < 0.3 else None
        try:
            report = phone.opened.upgrade()
        except Crash as crash:
            phone.replica = None
            return f"crashed before {str(crash)[:60]}"
        except UsageError as error:
            known = {"key_missing": bool(phone.spoiled), "name_taken": phone.has_own or self.went_back}
            known |= dict.fromkeys(ALTERED, bool(phone.unseen))
            if not known.get(error.code):
                raise
            return error.detail
        finally:
            phone.store.countdown = None
        phone.moved.clear()
        return repr(report)

    def centre_written(self) -> str:
        """Another program writes in the centre; its constraints may refuse it."""
        self.now += self.rng.randint(0, 2000)
        self.serial += 1
        table = self.rng.choice(list(self.centre.tables.values()))
        try:
            return self.centre.write(self.rng, self.serial, table)
        except Refused as error:
            return f"{table.name}: {error}"

    # The end

    def run(self) -> None:
        """Play the history; then everybody syncs until quiet; then everything must hold, also when some
        devices have taken on the centre's names."""
        if self._only is None:
            self.only(self.planned)
        for _ in self.steps(len(self.planned)):
            self.step(self.kind)
        self.rng = random.Random(0)
        self.restart()
        self.look()
        for phone in self.phones:
            self.mend(phone)
        self._rest(4)
        for phone in self.phones[::2]:
            self.upgrade(phone)
        self._rest(2)

    def _rest(self, rounds: int) -> None:
        for _ in range(rounds):
            for phone in self.phones:
                self.exchange_in_peace(phone)
        self.check()

    def check(self) -> None:
        """All that must hold when everything is quiet."""
        assert self.office.broken() == []
        for phone in self.phones:
            self._check_phone(phone)
        self._check_book()
        if self.is_configured:
            self._check_counters()

    def _check_phone(self, phone: Phone) -> None:
        """L5 and L9."""
        device = Device.load(phone.store)
        assert sum(pending_edits(device).values()) == 0
        assert phone.store.rows("PRAGMA foreign_key_check") == []
        for table in self.hub.schema.tables:
            found = phone.store.rows(_whole(device.tables[table.number].table))
            assert _sorted(found) == _sorted(self.office.rows(_whole(table))), (phone.name, table.name)
        report = phone.opened.verify()
        assert report.equal, (phone.name, report)

    def _check_book(self) -> None:
        """L2."""
        kept: set[Any] = set()
        rejected: set[tuple[str, Any]] = set()
        notes = list(self.hub.conflicts())
        for phone in self.phones:
            notes += phone.opened.conflicts()
            for edit in phone.opened.rejected():
                kept.update(edit.values.values())
                rejected.add((phone.name, edit.key))
                self._check_reason(phone, edit.code, edit.values)
        for note in notes:
            kept.update(flat([note.sent, note.hub]))
        disputed = {(note.table_number, tuple(note.key)) for note in notes}
        gone = self._gone()
        lost = [one for one in self.book.open(kept) if one[0][1:] not in gone]
        assert not lost, f"written, and neither accepted nor kept: {lost}"
        left = [p for p in self.book.deleted if p[1:] in self.book.rows and p[1:] not in disputed]
        left = [p for p in left if (p[0], p[2]) not in rejected]
        left = [] if self.went_back else left  # a delete that is offered again may lose to what it had seen
        assert not left, f"deleted, and neither gone nor kept: {left}"

    def _gone(self) -> set[tuple[int, Any]]:
        """The rows whose end is in the hub's log: what was accepted may have gone in the same transaction."""
        return {(n, key) for op, n, key in self.office.logged() if op in ("D", GONE)}

    def _check_reason(self, phone: Phone, code: str, values: dict[str, Any]) -> None:
        """What is said to be dropped is dropped."""
        if code not in ("column_dropped", "table_dropped") or self.went_back:
            return  # what was lost may have been made again since
        for (name, n, _), written in self.book.written.items():
            for number, value in written.items():
                if name == phone.name and value in values.values():
                    place = (n, number) if code == "column_dropped" else (n, -1)
                    assert place in self.book.dropped, f"{code}, but it is there: {place}, {value}"

    def _check_counters(self) -> None:
        """L3: what devices added is in the centre, or kept: as rejected; or, of what was not captured, in the
        row as it was here, where nobody could tell who had changed the counter."""
        kept: dict[ColumnPlace, int] = {}
        for phone in self.phones:
            for n, edit in phone.store.rows("SELECT n, edit FROM _sync_rejected WHERE op = 'U'"):
                plain = unpack(edit)
                numbers = plain["columns"] if plain["values"] else ()  # `value_lost`: nowhere any more
                for number, value in zip(numbers, plain["values"], strict=True):
                    if (n, number) in self.book.totals:
                        kept[n, number] = kept.get((n, number), 0) + value
        disputed = {one for phone in self.phones for one in _disputed(phone)}
        for place, added in self.book.added.items():
            missing = added - self.book.totals[place] - kept.get(place, 0)
            assert missing in self.book.unseen_sums(place, disputed), (
                place,
                self.book.totals,
                kept,
                self.book.added,
                self.book.unseen,
            )


def _disputed(phone: Phone) -> Iterator[tuple[Place, int]]:
    """The columns of rows of which a device keeps another value than the centre had when it compared them."""
    for note in phone.opened.conflicts():
        is_row = note.column is None and note.sent is not None and note.hub is not None
        if is_row and note.policy in COMPARED:
            for number, here, there in zip(note.columns, note.sent, note.hub, strict=True):
                if here != there:
                    yield (phone.name, note.table_number, tuple(note.key)), number


class SchemaInChunks(SchemaWorld):
    """The same where three rows are too many for one request."""

    LIMITS = Limits(push_rows=2, pull_rows=3)


def _whole(table: TableSchema) -> str:
    names = [*table.key, *(column.name for column in table.values.values())]
    return f"SELECT {', '.join(names)} FROM {table.name}"


def _sorted(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)
