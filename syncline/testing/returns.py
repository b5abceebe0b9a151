"""A simulated world in which device files are copied and put back, and so is the centre, all in one history.

The books are `testing.accounts`: they stand beside everything under test, and know which file holds which
edits and what the centre, in the life that it has, has had. Rows of one table have counters, to which every
edit adds an amount of its own. A gate that other programs shut and open lets the centre refuse what is done
to one row, so that edits are rejected, and retried when it is open again.

What must hold at the end: all files show what the centre has, nothing is pending, and every edit that a
living file holds is in the centre once, or kept. Nothing may ever be counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from syncline.errors import UsageError
from syncline.hub.engine import Hub
from syncline.merge.rules import Table
from syncline.model.actor import Actor
from syncline.model.scope import UNBOUNDED
from syncline.protocol.flows import run
from syncline.protocol.messages import Request, Response
from syncline.replica.conflicts import conflicts
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected, retry
from syncline.replica.reports import RejectedEdit
from syncline.testing.accounts import Accounts, Counter, Held, Sum, exact
from syncline.testing.book import flat
from syncline.testing.faults import (
    CrashingStore,
    FaultyTransport,
    exchange_in_peace,
    exchange_under_faults,
)
from syncline.testing.history import History
from syncline.testing.office import MakeOffice, Office, SqliteOffice
from syncline.transports.local import LocalTransport

KEYS = (1, 2, 3)
GATED = 2
"""The row that the centre refuses to change while its gate is shut."""
FILES = 4
TEXTS = {"newest": "lww", "asked": "review"}
KINDS = {
    "count": 26, "write": 10, "exchange": 32, "settle": 6, "save": 9, "put_back": 6, "copy": 3,
    "turn_gate": 4, "write_centre": 4, "keep_centre": 6, "restore_centre": 6, "prune": 2,
}  # fmt: skip
"""What happens, and how often."""
OF_CENTRE = ("turn_gate", "write_centre", "keep_centre", "restore_centre", "prune")
OWNER = Actor("all")


def tables_of(office: Office) -> Iterator[str]:
    """The statements that make the tables, and what refuses."""
    number = "DOUBLE PRECISION" if office.can_alter else "REAL"
    yield f"""CREATE TABLE thing (id INTEGER PRIMARY KEY, n {number} NOT NULL DEFAULT 0,
        {", ".join(f"{name} TEXT" for name in TEXTS)})"""
    yield "CREATE TABLE gate (is_shut INTEGER NOT NULL)"
    yield "INSERT INTO gate VALUES (0)"
    shut = f"NEW.id = {GATED} AND (SELECT is_shut FROM gate) = 1"
    if office.can_alter:
        yield f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {shut} THEN RAISE EXCEPTION 'the gate is shut'; END IF; RETURN NEW; END $$"""
        yield "CREATE TRIGGER refuse BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION refuse()"
    else:
        yield f"""CREATE TRIGGER refuse BEFORE UPDATE ON thing WHEN {shut}
            BEGIN SELECT RAISE(ABORT, 'the gate is shut'); END"""
    yield from (f"INSERT INTO thing (id) VALUES ({key})" for key in KEYS)


class File:
    """A device file, and what its application has written in it."""

    def __init__(self, name: str, store: CrashingStore, held: Held) -> None:
        self.name, self.store, self.held = name, store, held
        self.line: FaultyTransport

    @property
    def device(self) -> Device:
        return Device.load(self.store)


class Returns(History):
    """One seeded history."""

    def __init__(self, seed: int, office: MakeOffice = SqliteOffice) -> None:
        super().__init__(seed)
        self.office = office(lambda: self.now)
        self.now, self.serial = self.office.start, 0
        for statement in tables_of(self.office):
            self.office.run(statement)
        rules = {"thing": Table({"n": "sum", **TEXTS})}
        self.hub = Hub(self.office.database, rules, clock_tolerance=1e9)
        self.hub.init()
        self.accounts = Accounts()
        self.look()
        self.keep_centre()
        self.files: list[File] = []
        self.saved: list[tuple[str, bytes, Held]] = []
        for number in range(2):
            store = CrashingStore.in_memory(lambda: self.now)
            run(fill(store, None, silent, f"f{number}"), LocalTransport(self, OWNER))
            self.files.append(self._with_line(File(f"f{number}", store, Held())))

    def _with_line(self, file: File) -> File:
        file.line = FaultyTransport(LocalTransport(self, OWNER), self.rng, lambda: self._meanwhile(file))
        return file

    def close(self) -> None:
        for file in self.files:
            file.store.close()
        self.office.close()

    # The centre

    def handle(self, actor: Actor, request: Request) -> Response:
        """The hub answers; then the centre is looked at."""
        try:
            return self.hub.handle(actor, request)
        finally:
            self.look()

    def look(self) -> None:
        """L3: nothing is counted twice, and what was counted stays."""
        rows = self.office.rows(f"SELECT id, n, {', '.join(TEXTS)} FROM thing")
        texts = [text for _, _, *some in rows for text in some if text is not None]
        totals: dict[Counter, Fraction] = {(key, "n"): exact(total) for key, total, *_ in rows}
        self.accounts.see(texts, totals)

    def turn_gate(self) -> str:
        self.office.run("UPDATE gate SET is_shut = 1 - is_shut")
        return f"the gate is {'shut' if self.office.rows('SELECT is_shut FROM gate')[0][0] else 'open'}"

    def write_centre(self) -> str:
        self.serial += 1
        key, column = self.rng.choice((1, 3)), self.rng.choice(list(TEXTS))
        self.office.run(f"UPDATE thing SET {column} = ? WHERE id = ?", f"centre.{self.serial}", key)
        self.look()
        return f"{column} of {key} is centre.{self.serial}"

    def keep_centre(self) -> str:
        self.kept = self.office.backup(), self.accounts.seen.copy()
        return "backup"

    def restore_centre(self) -> str:
        backup, seen = self.kept
        self.office.restore(backup)
        self.accounts.seen = seen.copy()
        return "put back"

    def prune(self) -> str:
        """The log forgets nearly everything, whoever still needs it."""
        with self.office.database.write(UNBOUNDED) as transaction:
            transaction.log.prune([], 0.0, None, 10_000)
        return "log pruned"

    # Steps

    def run(self) -> None:
        kinds, often = list(KINDS), list(KINDS.values())
        for _ in self.steps(self.rng.randint(10, 60)):
            (kind,) = self.rng.choices(kinds, often)
            self.now += self.rng.randint(1, 2000)
            if kind in OF_CENTRE:
                self.trace.append(f"centre: {getattr(self, kind)()}")
            else:
                file = self.rng.choice(self.files)
                self.trace.append(f"{file.name} {kind}: {getattr(self, kind)(file)}")
        self._end()

    def count(self, file: File) -> str:
        """The application adds something to a counter."""
        key = self.rng.choice(KEYS)
        amount = self.accounts.amount(file.held, (key, "n"))
        if amount is None:
            return "nothing"
        countdown, file.store.countdown = (
            file.store.countdown,
            None,
        )  # another process than the one that stops
        file.store.execute("UPDATE thing SET n = n + ? WHERE id = ?", (float(amount), key))
        file.store.countdown = countdown
        return f"{float(amount)} to {key}"

    def write(self, file: File) -> str:
        """The application writes a text that no other is like."""
        self.serial += 1
        key, column, text = self.rng.choice(KEYS), self.rng.choice(list(TEXTS)), f"{file.name}.{self.serial}"
        before = self._texts(file)
        file.store.execute(f"UPDATE thing SET {column} = ? WHERE id = ?", (text, key))
        self.accounts.give_up(before - self._texts(file))
        file.held.texts.add(text)
        return f"{column} of {key} is {text}"

    @staticmethod
    def _texts(file: File) -> set[str]:
        rows = file.store.rows(f"SELECT {', '.join(TEXTS)} FROM thing")
        return {text for row in rows for text in row if text is not None}

    def exchange(self, file: File) -> str:
        return exchange_under_faults(self.rng, file.store, file.line, statements=300)

    def _meanwhile(self, file: File) -> None:
        """While a request is on its way."""
        dice = self.rng.random()
        if dice < 0.5:
            said = f"{file.name} count: {self.count(file)}"
        elif dice < 0.7:
            said = f"centre: {self.restore_centre()}"
        elif dice < 0.8:
            said = f"centre: {self.keep_centre()}"
        else:
            said = f"centre: {self.turn_gate()}"
        self.trace.append(f"  meanwhile {said}")

    def settle(self, file: File) -> str:
        """Somebody puts a rejected edit into its table again."""
        edits = [edit for edit in rejected(file.device) if edit.code != "edit_untold"]
        if not edits:
            return "nothing"
        edit = self.rng.choice(edits)
        before = self._texts(file)
        try:
            retry(file.device, edit.id)
        except UsageError as error:
            return f"{edit.values}: {error.code}"
        self.accounts.give_up(before - self._texts(file))
        return f"{edit.values} again"

    def save(self, file: File) -> str:
        self.saved.append((file.name, file.store.content(), file.held.copy()))
        return f"number {len(self.saved) - 1}"

    def put_back(self, file: File) -> str:
        """One file is what it was when it, or the one that it is a copy of, was saved."""
        kept = [place for place, one in enumerate(self.saved) if one[0] == file.name]
        if not kept:
            return "nothing"
        place = self.rng.choice(kept)
        file.store.close()
        self.files[self.files.index(file)] = self._made(file.name, place)
        return f"number {place}"

    def copy(self, file: File) -> str:
        """A file is on another device, too."""
        if not self.saved or len(self.files) == FILES:
            return "nothing"
        place = self.rng.randrange(len(self.saved))
        self.files.append(self._made(f"f{len(self.files)}", place))
        return f"{self.files[-1].name} is number {place}"

    def _made(self, name: str, place: int) -> File:
        _, content, held = self.saved[place]
        store = CrashingStore.in_memory(lambda: self.now)
        store.fill_with(content)
        return self._with_line(File(name, store, held.copy()))

    # The end

    def _end(self) -> None:
        for _ in range(5):
            for file in self.files:
                self.now += 1000
                exchange_in_peace(file.store, file.line)
        rows = self.office.rows("SELECT * FROM thing ORDER BY id")
        kept: set[str] = set()
        sums: list[Sum] = []
        notes = list(self.hub.conflicts())
        for file in self.files:
            assert sum(pending_edits(file.device).values()) == 0, f"{file.name}: pending"
            assert file.store.rows("SELECT * FROM thing ORDER BY id") == rows, f"{file.name} differs"
            notes += conflicts(file.store, open_only=False)
            for edit in rejected(file.device):
                kept.update(text for text in edit.values.values() if isinstance(text, str))
                sums += _sums(edit)
        for note in notes:
            kept.update(text for text in flat([note.sent, note.hub]) if isinstance(text, str))
        missing = list(self.accounts.missing((file.held for file in self.files), kept, sums))
        assert not missing, "\n".join(missing)


def _sums(edit: RejectedEdit) -> Iterator[Sum]:
    """What a rejected edit was to add."""
    (key,) = edit.key
    if isinstance(key, int) and edit.values.get("n") is not None:
        yield (key, "n"), exact(edit.values["n"])
