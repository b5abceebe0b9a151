"""A simulated world of what happens in the field to files, clocks, tables and programs.

Files and centres are put back and files copied, with clocks wrong; two syncs meet in one file; applications
have triggers, indexes and tables of their own, and make synced tables anew; new rows meet others of the same
key; decimals and floats are added up; the centre refuses rows in every way it can.

What must hold: in the end every file has what the centre has, but for rows that an object of the application
refuses, which are named, and without those objects all (L5, L12). Every edit that a file holds is in the
centre once, or kept (L2, L3). No foreign key is broken (L9). Whatever an application writes ends as it would
without Syncline, and no write of it or of another program fails on Syncline's account (L13).
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from syncline.errors import StoreBusy, SynclineError, TransportError
from syncline.hub.engine import Hub
from syncline.model.actor import Actor
from syncline.protocol.flows import Flow, run
from syncline.protocol.messages import Limits, Request, Response
from syncline.replica import sync as verbs
from syncline.replica.device import Device as Opened
from syncline.replica.hydrate import building_path, fill, finish
from syncline.replica.local import choose
from syncline.replica.noticed import notice_all
from syncline.replica.progress import silent
from syncline.replica.recovery import REASONS
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.testing import field_centre as centre
from syncline.testing.accounts import Accounts, Sum, exact
from syncline.testing.book import flat
from syncline.testing.faults import Crash, CrashingStore, FaultyTransport
from syncline.testing.field_device import SKEWS, SYNCED, Device, Statement
from syncline.testing.history import History
from syncline.testing.office import MakeOffice, Refused, SqliteOffice
from syncline.transports.local import LocalTransport

KINDS = {
    "edit": 34, "count": 10, "fail": 7, "write_centre": 10, "exchange": 30, "meet": 5, "settle": 5,
    "keep": 4, "put_back": 3, "copy": 2, "keep_centre": 3, "restore_centre": 2, "clock": 4, "make": 6,
    "rebuild": 3, "reopen": 1, "verify": 2,
}  # fmt: skip
"""Steps, and how often each is."""
FILES = 5
HOUR = 3_600_000
STATES = ("x1", "x2", "x3", None)
CODES = ("k1", "k2", "K1", None)
OWNER = Actor("field")


class Field(History):
    """One seeded history."""

    LIMITS = Limits()

    def __init__(self, seed: int, office: MakeOffice = SqliteOffice) -> None:
        super().__init__(seed)
        self.folder = tempfile.TemporaryDirectory(prefix="syncline-field-")
        self.ahead = 0
        """By how much the centre's clock is wrong."""
        self.office = office(lambda: self.now + self.ahead)
        self.now, self.serial = self.office.start, 0
        for statement in centre.tables_of(self.office, self.rng.random() < 0.5):
            self.office.run(statement)
        tolerance = self.rng.choice([300.0, 1e9])
        self.hub = Hub(
            self.office.database, centre.rules(self.rng), clock_tolerance=tolerance, limits=self.LIMITS
        )
        self.hub.init()
        self.accounts = Accounts()
        self.look()
        self.keep_centre()
        self.files: list[Device] = []
        for number in range(self.rng.randint(2, 3)):
            self._clone(f"r{number}")

    def _clone(self, name: str) -> None:
        path = Path(self.folder.name, f"{name}.db")
        device = Device(name, path, self.rng.choice(SKEWS), lambda: self.now)
        store = CrashingStore.open_private(building_path(str(path)))
        device.set_clock(store)
        run(fill(store, None, silent, name), LocalTransport(self, OWNER))
        choose(store, self.rng.choice(["refuse", "cascade", "null"]))
        finish(store, str(path))
        device.open()
        self.files.append(device)

    def close(self) -> None:
        for device in self.files:
            device.close()
        self.office.close()
        self.folder.cleanup()

    # The centre

    def handle(self, actor: Actor, request: Request) -> Response:
        """The hub answers; then the centre is looked at."""
        try:
            return self.hub.handle(actor, request)
        finally:
            self.look()

    def look(self) -> None:
        self.accounts.see(centre.texts(self.office), centre.totals(self.office))

    def write_centre(self) -> str:
        self.serial += 1
        try:
            return centre.write(self.office, self.rng, self.serial)
        except Refused as error:
            return str(error)

    def keep_centre(self) -> str:
        self.look()
        self.kept = self.office.backup(), self.accounts.seen.copy()
        return "backup"

    def restore_centre(self) -> str:
        backup, seen = self.kept
        self.office.restore(backup)
        self.accounts.seen = seen.copy()
        return "put back"

    # Steps

    def run(self) -> None:
        kinds, often = list(KINDS), list(KINDS.values())
        for _ in self.steps(self.rng.randint(10, 80)):
            (kind,) = self.rng.choices(kinds, often)
            self.now += self.rng.randint(0, 2000)
            step = getattr(self, kind)
            if kind in ("write_centre", "keep_centre", "restore_centre"):
                self.trace.append(f"centre: {step()}")
            else:
                device = self.rng.choice(self.files)
                self.trace.append(f"{device.name} {kind}: {step(device)}")
        self._end()

    def edit(self, device: Device) -> str:
        """A transaction of the application."""
        return self._written(device, self._statements(device, None))

    def fail(self, device: Device) -> str:
        """One that the centre refuses."""
        return self._written(device, self._statements(device, self.rng.choice(centre.refusals(self.office))))

    def _statements(self, device: Device, note: str | None) -> list[Statement]:
        self.serial += 1
        return [self._statement(device, place, note) for place in range(self.rng.choice([1, 1, 1, 2]))]

    def _written(self, device: Device, statements: list[Statement]) -> str:
        before = device.texts()
        refused = device.write(statements)
        after = device.texts()
        self.accounts.give_up(before - after)
        if not refused:
            own = f"{device.name}.{self.serial}."
            device.held.texts |= {text for text in after if text.startswith(own)}
        return f"{statements} {refused}"

    def _statement(self, device: Device, place: int, note: str | None) -> Statement:
        rng, text = self.rng, self._text(device, place, note)
        number, state = rng.randint(1, 12), rng.choice(STATES)
        job, part, tool = (self._pick(device, table) for table in ("job", "part", "tool"))
        verb = rng.choice(["INSERT", "INSERT", "INSERT", "REPLACE"])
        name = rng.choice([f"t{number}", f"{device.name}.t{self.serial}"])
        code = rng.choice(CODES)
        choices: list[Statement] = [
            (f"{verb} INTO job VALUES (?, ?, ?, ?, ?)", (number, text, note, code, state)),
            (f"{verb} INTO part VALUES (?, ?, ?, ?, ?)", (number, job, text, note, state)),
            (f"{verb} INTO tool VALUES (?, ?, ?, ?, ?)", (name, part, text, note, state)),
            ("UPDATE job SET title = ?, note = ? WHERE id = ?", (text, note, job)),
            ("UPDATE part SET title = ?, note = ?, job = ? WHERE id = ?", (text, note, job, part)),
            ("UPDATE tool SET title = ?, note = ?, part = ? WHERE id = ?", (text, note, part, tool)),
        ]
        if note is None:
            targets = {"own_favourite": ("job", job), "own_mark": ("tool", tool), "own_seat": ("part", part)}
            local = [name for name in device.objects() if name in targets]
            choices += [
                ("UPDATE job SET state = ? WHERE id = ?", (state, job)),
                ("UPDATE job SET code = ? WHERE id = ?", (code, job)),
                ("UPDATE part SET state = ? WHERE id = ?", (state, part)),
                ("UPDATE tool SET state = ? WHERE id = ?", (state, tool)),
                ("DELETE FROM part WHERE id = ?", (part,)),
                ("DELETE FROM tool WHERE id = ?", (tool,)),
                ("DELETE FROM job WHERE id = ?", (job,)),
            ]
            for own in local:
                column, target = targets[own]
                choices.append((f"INSERT INTO {own} ({column}) VALUES (?)", (target,)))
                choices.append((f"DELETE FROM {own} WHERE id = (SELECT min(id) FROM {own})", ()))
        return rng.choice(choices)

    def _text(self, device: Device, place: int, note: str | None) -> str:
        """A text like no other; some are too long for the centre, where it knows lengths."""
        own = f"{device.name}.{self.serial}.{place}"
        return own + "y" * 60 if note is not None and self.rng.random() < 0.1 else own

    def _pick(self, device: Device, table: str) -> Any:
        rows = device.app.execute(f"SELECT id FROM {table}").fetchall()
        return self.rng.choice(rows)[0] if rows else None

    def count(self, device: Device) -> str:
        """The application adds something to a counter, which it reads before."""
        if not device.counts:
            return "not captured now"
        self.serial += 1
        column, key = self.rng.choice([*centre.COUNTERS, *centre.COUNTERS, "ratio"]), self.rng.randint(1, 2)
        amount: Fraction | None = Fraction(1, 10)
        if column != "ratio":
            amount = self.accounts.amount(device.held, (key, column))
        if amount is None:
            return "nothing"
        (value,) = device.app.execute(f"SELECT {column} FROM tally WHERE id = ?", (key,)).fetchone()
        total: Any = float(value) + float(amount)
        if column == "price" and isinstance(value, str):
            total = str(Decimal(value) + Decimal(float(amount)))
        statements: list[Statement] = [(f"UPDATE tally SET {column} = ? WHERE id = ?", (total, key))]
        if self.rng.random() < 0.15:
            note = self.rng.choice([None, *centre.refusals(self.office)])
            text = self._text(device, 0, None)
            statements.append(("UPDATE tally SET title = ?, note = ? WHERE id = ?", (text, note, key)))
        return self._written(device, statements)

    def settle(self, device: Device) -> str:
        """Somebody looks at a rejected edit and puts it into its table again, or forgets it."""
        with self._opened(device) as replica:
            edits = replica.rejected()
            if not edits:
                return "nothing"
            edit, verb = self.rng.choice(edits), self.rng.choice(["retry", "new key", "discard"])
            before = device.texts()
            try:
                if verb == "discard":
                    replica.discard(edit.id)
                    self.accounts.give_up(text for text in edit.values.values() if isinstance(text, str))
                    for counter, value in _counters(edit.table, edit.key, edit.values):
                        self.accounts.let_go(counter, value)
                else:
                    replica.retry(edit.id, new_key=verb == "new key")
            except SynclineError as error:
                return f"{verb} {edit.table} {edit.key}: {error.code}"
            self.accounts.give_up(before - device.texts())
            return f"{verb} {edit.table} {edit.key} {edit.code}"

    def clock(self, device: Device) -> str:
        """A clock is put right, or wrong."""
        if self.rng.random() < 0.3:
            self.ahead = self.rng.choice([0, 0, HOUR, -HOUR])
            return f"the centre's is {self.ahead} ahead"
        device.skew = self.rng.choice(SKEWS)
        return f"{device.skew} ahead"

    def make(self, device: Device) -> str:
        return device.make(self.rng)

    def rebuild(self, device: Device) -> str:
        said = device.rebuild(self.rng.choice(SYNCED), self.rng)
        return f"{said}; {self.edit(device)}" if self.rng.random() < 0.5 else said

    def keep(self, device: Device) -> str:
        device.keep()
        return "backup"

    def put_back(self, device: Device) -> str:
        if device.backup is None:
            return "nothing"
        device.put_back()
        return "done"

    def copy(self, device: Device) -> str:
        """The file comes to be on another device, too."""
        if len(self.files) == FILES:
            return "nothing"
        twin = device.twin(f"r{len(self.files)}", self.rng.choice(SKEWS))
        self.files.append(twin)
        return twin.name

    # Exchange

    @contextmanager
    def _opened(self, device: Device, line: FaultyTransport | None = None) -> Iterator[Replica]:
        store = device.store()
        if line is not None and line.loss:
            store.countdown = self.rng.randint(0, 400) if self.rng.random() < 0.3 else None
        transport = line or LocalTransport(self, OWNER)
        try:
            replica = Replica(store, lambda: transport, wait=0)
        except BaseException:
            store.close()
            raise
        with replica:
            yield replica
            store.countdown = None

    def _line(self, device: Device) -> FaultyTransport:
        line = FaultyTransport(LocalTransport(self, OWNER), self.rng, lambda: self._meanwhile(device))
        line.loss, line.writes = 0.2, 0.3
        return line

    def exchange(self, device: Device) -> str:
        """One verb under whatever faults there are."""
        verb = self.rng.choice(["sync", "sync", "sync", "pull", "push", "preview"])
        try:
            with self._opened(device, self._line(device)) as replica:
                getattr(replica, verb)()
        except Crash as crash:
            return f"{verb}: crashed before {str(crash)[:60]}"
        except TransportError as error:
            return f"{verb}: {error.detail}"
        except SynclineError as error:
            if verb != "preview":
                raise
            return self._left_to_sync(error)
        device.counts = device.counts or verb == "sync"
        return verb

    @staticmethod
    def _left_to_sync(error: SynclineError) -> str:
        """The hub no longer knows the file's place: the verb says so, and a sync finds it again."""
        if error.code not in REASONS:
            raise error
        return error.code

    def verify(self, device: Device) -> str:
        with self._opened(device) as replica:
            report = replica.verify(repair=self.rng.random() < 0.3)
        return f"equal: {report.equal}"

    def reopen(self, device: Device) -> str:
        try:
            with self._opened(device) as replica:
                return repr(replica.reopen())
        except SynclineError as error:
            return self._left_to_sync(error)

    def _meanwhile(self, device: Device) -> None:
        """What happens while a verb waits for the hub."""
        dice = self.rng.random()
        if dice < 0.1:
            self._knock(device)
        elif dice < 0.7:
            self.trace.append(f"  meanwhile {device.name} {self.edit(device)}")
        elif dice < 0.8:
            self.trace.append(f"  meanwhile {device.name} {self.count(device)}")
        elif dice < 0.96:
            self.trace.append(f"  meanwhile centre: {self.write_centre()}")
        else:
            step = self.rng.choice([self.keep_centre, self.restore_centre])
            self.trace.append(f"  meanwhile centre: {step()}")

    def _knock(self, device: Device) -> None:
        """Another process wants to sync the file meanwhile: it is told that somebody is at work."""
        with self._opened(device) as other:
            try:
                other.sync()
            except StoreBusy:
                return
        raise AssertionError("a second sync went to work while another was under way")

    def meet(self, device: Device) -> str:
        """Two syncs meet in the file as if there were no lock; their requests and answers take turns."""
        both = [Meeting(device.store(), LocalTransport(self, OWNER)) for _ in range(2)]
        said: list[str] = []
        try:
            while left := [one for one in both if not one.is_over]:
                said += self.rng.choice(left).turn(self.rng)
                if self.rng.random() < 0.2:
                    said.append(self.edit(device))
        finally:
            for one in both:
                one.close()
        return "; ".join(said)

    # The end

    def _end(self) -> None:
        """Everybody syncs until quiet, with what applications have added, and once more without it."""
        self.ahead = 0
        self._rest(4)
        self._check(is_free=False)
        for device in self.files:
            device.drop(device.objects())
        self._rest(3)
        self._check(is_free=True)

    def _rest(self, rounds: int) -> None:
        for _ in range(rounds):
            for device in self.files:
                self.now += 1000
                with self._opened(device) as replica:
                    replica.sync()

    def _check(self, is_free: bool) -> None:
        assert self.office.broken() == []
        kept: set[str] = set()
        sums: list[Sum] = []
        notes = list(self.hub.conflicts())
        for device in self.files:
            with self._opened(device) as replica:
                self._check_file(device, replica, is_free)
                notes += replica.conflicts()
                for edit in replica.rejected():
                    kept.update(text for text in edit.values.values() if isinstance(text, str))
                    sums += _counters(edit.table, edit.key, edit.values)
        for note in notes:
            kept.update(text for text in flat([note.sent, note.hub]) if isinstance(text, str))
        missing = list(self.accounts.missing((device.held for device in self.files), kept, sums))
        assert not missing, "\n".join(missing)

    def _check_file(self, device: Device, replica: Replica, is_free: bool) -> None:
        """L5, L9, L12."""
        status = replica.status()
        assert sum(status.pending.values()) == 0, f"{device.name}: pending {status.pending}"
        assert device.app.execute("PRAGMA foreign_key_check").fetchall() == []
        assert device.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        waiting = {(row.table, row.key[0]) for row in replica.waiting()}
        assert not (is_free and waiting), f"{device.name}: nothing refuses {waiting}"
        differing = {(table, row[0]) for table in SYNCED for row in self._differing(device, table)}
        assert differing <= waiting, f"{device.name}: differs in {sorted(differing - waiting, key=repr)}"
        report = replica.verify()
        told = {(row.table, row.key[0]) for row in report.differences}
        assert differing == told, f"{device.name}: verify says {told}, and these differ: {differing}"

    def _differing(self, device: Device, table: str) -> set[tuple[Any, ...]]:
        """Rows that one of both has, by the whole row."""
        query = f"SELECT * FROM {table}"
        centre_rows = {tuple(map(_told, row)) for row in self.office.rows(query)}
        return set(device.app.execute(query)) ^ centre_rows


class FieldInChunks(Field):
    """The same where three rows are too many for one request."""

    LIMITS = Limits(push_rows=2, pull_rows=3)


class Meeting:
    """One of two syncs, request by request. Where the other one went on in between, it is told that the file
    is in use."""

    def __init__(self, store: Store, transport: LocalTransport) -> None:
        self.store, self.transport = store, transport
        self.flow: Flow[Any] = self._watched()
        self.request: Request | None = None
        self.answer: Response | SynclineError | None = None
        self.is_begun = self.is_over = False

    def _watched(self) -> Flow[Any]:
        device = Opened.load(self.store)
        notice_all(device)
        with self.store.watched():
            return (yield from verbs.sync(device, silent))

    def turn(self, rng: random.Random) -> list[str]:
        """Send the request, or take the answer; what happened if it is over."""
        if self.request is not None and self.answer is None:
            try:
                self.answer = self.transport.send(self.request)
            except SynclineError as error:
                self.answer = error
            if rng.random() < 0.15:
                self.answer = TransportError("the answer was lost")
            return []
        answer, self.answer = self.answer, None
        try:
            if not self.is_begun:
                self.is_begun, self.request = True, next(self.flow)
            elif isinstance(answer, SynclineError):
                self.request = self.flow.throw(answer)
            else:
                assert answer is not None
                self.request = self.flow.send(answer)
        except StopIteration:
            self.is_over = True
            return ["one is through"]
        except (StoreBusy, TransportError) as error:
            self.is_over = True
            return [f"one ends with {error.code}"]
        return []

    def close(self) -> None:
        with closing(self.store):
            self.flow.close()


def _counters(table: str, key: Any, values: dict[str, Any]) -> Iterator[Sum]:
    """What a rejected edit was to add."""
    if table == "tally":
        for name in centre.COUNTERS:
            if values.get(name) is not None:
                yield (key[0], name), exact(values[name])


def _told(value: Any) -> Any:
    """A value of the centre as a file has it."""
    return str(value) if isinstance(value, Decimal) else value
