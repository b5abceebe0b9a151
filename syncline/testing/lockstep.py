"""A simulated world in which the real engine and the reference live through the same history.

Hub and replicas are the real ones over SQLite in memory, joined by the local transport with faults: lost
requests and answers, a device that stops between two statements, a hub whose transaction is lost, wrong
clocks, other programs' writes in the centre, the application writing while a sync is under way. After
every step each replica's table must be what the reference says (law L6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from syncline.databases.sqlite import open_database
from syncline.hub.engine import Hub
from syncline.merge.rules import Table
from syncline.model.actor import Actor
from syncline.model.values import Value
from syncline.protocol import messages as m
from syncline.protocol.body import open_groups, open_push, undelta
from syncline.protocol.flows import run
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.freeze import in_flight
from syncline.replica.hydrate import fill
from syncline.replica.progress import silent
from syncline.testing.faults import (
    CrashingStore,
    FaultyTransport,
    exchange_in_peace,
    exchange_under_faults,
)
from syncline.testing.history import History
from syncline.testing.outside import outside
from syncline.testing.reference import Change, ReferenceHub, ReferenceReplica, Rules, Values
from syncline.transports.local import LocalTransport

COLUMNS = ("a", "b", "n")
START = 1_700_000_000_000
DDL = "CREATE TABLE item (id INTEGER PRIMARY KEY, a, b, n INTEGER NOT NULL DEFAULT 0)"


def between(base: Any, ours: Any, theirs: Any) -> Any:
    """A merge function for histories: both changes, added up."""
    return (ours or 0) + (theirs or 0) - (base or 0)


POLICIES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"a": "lww", "b": "lww", "n": "sum"}, "newer_wins"),
    ({"a": "lww", "b": "lww", "n": "sum"}, "newer_wins"),
    ({"a": "max", "b": "min", "n": "sum"}, "newer_wins"),
    ({"a": "hub_wins", "b": "replica_wins", "n": "sum"}, "delete_wins"),
    ({"a": "review", "b": between, "n": "sum"}, "update_wins"),
)


@dataclass
class Phone:
    """A real replica beside its reference."""

    reference: ReferenceReplica
    store: CrashingStore
    transport: FaultyTransport
    events: list[tuple[str, Any]] = field(default_factory=list)
    """What the hub answered and the replica has not taken in yet: ("push", ...) and ("pull", ...)."""

    @property
    def device(self) -> Device:
        return Device.load(self.store)

    def rows(self) -> dict[int, Values]:
        """The table as the application sees it."""
        return {
            row[0]: dict(zip(COLUMNS, row[1:], strict=True))
            for row in self.store.rows("SELECT id, a, b, n FROM item")
        }


class Watched:
    """The hub as the transport reaches it: feeds the reference with what passes."""

    def __init__(self, world: Lockstep, phone_name: str) -> None:
        self._world, self._name = world, phone_name

    def handle(self, actor: Actor, request: m.Request) -> m.Response:
        return self._world.handle(self._name, actor, request)


class Lockstep(History):
    """One seeded history. `run` plays it; AssertionError says where engine and reference part."""

    LIMITS = m.Limits()

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.now = START
        policies, deletes = self.rng.choice(POLICIES)
        self.rules = Rules(policies, deletes)
        self.database = open_database("sqlite:///:memory:", clock=lambda: self.now)
        with outside(self.database) as connection:
            connection.execute(DDL)
        self.hub = Hub(
            self.database,
            {"item": Table(policies, deletes, inserts="same_row")},
            clock_tolerance=1e9,
            limits=self.LIMITS,
        )
        self.hub.init()
        self.reference = ReferenceHub(self.rules)
        self.phones: dict[str, Phone] = {}
        for number in range(self.rng.randint(2, 5)):
            self._add_phone(f"r{number}")

    def _add_phone(self, name: str) -> None:
        skew = self.rng.choice([0, 0, -5000, 7000, 1_000_000])
        store = CrashingStore.in_memory(lambda: self.now + skew)
        inner = LocalTransport(Watched(self, name), Actor(name))
        transport = FaultyTransport(inner, self.rng, lambda: self.edit(self.phones[name]))
        self.phones[name] = Phone(ReferenceReplica(name, self.rules), store, transport)
        run(fill(store, None, silent, name), LocalTransport(self.hub, Actor(name)))

    def close(self) -> None:
        for phone in self.phones.values():
            phone.store.close()
        self.hub.close()

    # What happens

    def edit(self, phone: Phone) -> None:
        """The application writes one row."""
        self._follow(phone)
        self.now += self.rng.randint(0, 2000)
        key, shown = self.rng.randint(1, 3), phone.rows()
        if key not in shown:
            values = self._values()
            phone.store.execute("INSERT INTO item VALUES (?, ?, ?, ?)", (key, *values.values()))
            phone.reference.write("I", key, values, 0)
            self.trace.append(f"{phone.reference.name} edit: insert {key} {values}")
        elif self.rng.random() < 0.2:
            phone.store.execute("DELETE FROM item WHERE id = ?", (key,))
            phone.reference.write("D", key, {}, 0)
            self.trace.append(f"{phone.reference.name} edit: delete {key}")
        else:
            names = self.rng.sample(COLUMNS, self.rng.randint(1, 2))
            new = self._values()
            changed = {name: new[name] for name in names if shown[key][name] != new[name]}
            if changed:
                setters = ", ".join(f"{name} = ?" for name in changed)
                phone.store.execute(f"UPDATE item SET {setters} WHERE id = ?", (*changed.values(), key))
                phone.reference.write("U", key, changed, 0)
                self.trace.append(f"{phone.reference.name} edit: update {key} {changed}")

    def edit_centre(self) -> None:
        """Another program writes in the central database."""
        self.now += self.rng.randint(0, 2000)
        key, values = self.rng.randint(1, 3), self._values()
        with outside(self.database) as connection:
            if key not in self.reference.rows:
                op = "I"
                connection.execute("INSERT INTO item VALUES (?, ?, ?, ?)", (key, *values.values()))
            elif self.rng.random() < 0.2:
                op, values = "D", {}
                connection.execute("DELETE FROM item WHERE id = ?", (key,))
            else:
                op, values = "U", {"b": 100 + values["b"]}
                if self.reference.rows[key]["b"] == values["b"]:
                    return
                connection.execute("UPDATE item SET b = ? WHERE id = ?", (values["b"], key))
            query = "SELECT hlc FROM _sync_hub_log ORDER BY seq DESC LIMIT 1"
            (hlc,) = connection.execute(query).fetchone()
        self.reference.direct(op, key, values, hlc)
        self.trace.append(f"centre: {op} {key} {values}")

    def _values(self) -> dict[str, Any]:
        return {"a": self.rng.randint(1, 99), "b": self.rng.randint(1, 99), "n": self.rng.randint(1, 9)}

    def exchange(self, phone: Phone, faults: bool) -> None:
        """One sync or pull, under whatever faults the history has."""
        if faults:
            done = exchange_under_faults(self.rng, phone.store, phone.transport, statements=60)
            self.trace.append(f"{phone.reference.name} {done}")
        else:
            exchange_in_peace(phone.store, phone.transport)
        self._follow(phone)
        phone.events.clear()
        self.check(phone)

    # The reference follows

    def handle(self, name: str, actor: Actor, request: m.Request) -> m.Response:
        """Let hub and reference answer the same request and compare what they say."""
        phone = self.phones[name]
        if isinstance(request, m.Push | m.CommitPush):
            self._follow(phone)
            self._frozen(phone, request)
        response = self.hub.handle(actor, request)
        if (
            isinstance(request, m.Push | m.CommitPush)
            and isinstance(response, m.Verdict)
            and not response.wanted
        ):
            number, changes, _ = phone.reference.flight or (0, [], 0)
            expected = self.reference.push(phone.reference.name, number, changes)
            assert _rows(open_groups(response.overrides, response.digest)) == expected
            phone.events.append(("push", (number, expected)))
            if request.pull is not None and response.changes is not None:
                self._pulled(phone, response.changes)
        elif isinstance(request, m.Pull) and isinstance(response, m.Changes):
            self._pulled(phone, response)
        return response

    def _pulled(self, phone: Phone, answer: m.Changes) -> None:
        replica = phone.reference
        rows, touched, watermark, _ = self.reference.pull(replica.name, replica.watermark)
        expected: dict[int, Values | None] = {}
        for key, row in rows.items():
            expected[key] = None if row is None else {c: row[c] for c in COLUMNS if c in touched[key]}
        assert _rows(open_groups(answer.groups, answer.digest) if answer.digest else []) == expected
        phone.events.append(("pull", (answer.watermark, rows, touched, watermark)))

    def _frozen(self, phone: Phone, request: m.Push | m.CommitPush) -> None:
        """The reference freezes when the engine has; kinds and values must be the same, and the
        engine's clock stamps are taken over."""
        flight = phone.reference.freeze()
        assert flight is not None and flight[0] == request.number
        sent = _changes(
            [group for _, digest, body in sealed(phone.store) for group in open_push(body, digest)]
        )
        number, changes, covered = flight
        assert set(sent) == {change.key for change in changes}
        stamped = [_stamped(change, *sent[change.key]) for change in changes]
        phone.reference.flight = (number, stamped, covered)

    def _follow(self, phone: Phone) -> None:
        """Let the reference take in what the engine has taken in by now."""
        frozen = in_flight(phone.store)
        mark = phone.store.state().watermark
        latest = {(kind, event[0]): index for index, (kind, event) in enumerate(phone.events)}
        for index, (kind, event) in enumerate(phone.events):
            if latest[kind, event[0]] != index:
                continue  # its answer was lost, and the same was answered again
            if kind == "push":
                flight = phone.reference.flight
                decided = frozen is None or frozen.number > event[0]
                if decided and flight is not None and flight[0] == event[0]:
                    phone.reference.verdict(event[1])
            elif event[0] == mark and event[3] > phone.reference.watermark:
                phone.reference.apply(event[1], event[2], event[3])
        if frozen is not None and phone.reference.flight is None:
            made = phone.reference.freeze()
            assert made is not None and made[0] == frozen.number

    # The end

    def check(self, phone: Phone) -> None:
        """The replica shows what the reference shows."""
        assert phone.rows() == phone.reference.rows

    def run(self) -> None:
        """Play the history, then let everybody sync until quiet: all must equal the centre (law L5)."""
        for _ in self.steps(self.rng.randint(5, 60)):
            phone = self.rng.choice(list(self.phones.values()))
            dice = self.rng.random()
            if dice < 0.5:
                self.edit(phone)
                self.check(phone)
            elif dice < 0.6:
                self.edit_centre()
            else:
                self.exchange(phone, faults=True)
        for _ in range(3):
            for phone in self.phones.values():
                self.exchange(phone, faults=False)
        for phone in self.phones.values():
            assert phone.rows() == self.reference.rows
            assert not phone.reference.pending
        with outside(self.database) as connection:
            found = connection.execute("SELECT id, a, b, n FROM item").fetchall()
        assert {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in found} == self.reference.rows


class LockstepInChunks(Lockstep):
    """The same where two rows are too many for one request."""

    LIMITS = m.Limits(push_rows=1)


def _rows(groups: list[m.Group]) -> dict[int, Values | None]:
    found: dict[int, Values | None] = {}
    for group in groups:
        for key, *values in group.rows:
            assert isinstance(key, int)
            names = [COLUMNS[column] for column in group.columns]
            found[key] = None if group.op == "D" else dict(zip(names, values, strict=True))
    return found


def _changes(groups: list[m.PushGroup]) -> dict[int, tuple[str, int, dict[str, tuple[Value, int]]]]:
    """By key: (operation, HLC, {column: (value, HLC)})."""
    found: dict[int, tuple[str, int, dict[str, tuple[Value, int]]]] = {}
    for group in groups:
        for index, (row, hlc) in enumerate(zip(group.rows, undelta(group.hlc), strict=True)):
            stamps = group.column_hlc[index] if group.column_hlc else [hlc] * len(group.columns)
            names = [COLUMNS[column] for column in group.columns]
            columns = {
                name: (value, stamp) for name, value, stamp in zip(names, row[1:], stamps, strict=True)
            }
            assert isinstance(row[0], int)
            found[row[0]] = (group.op, hlc, columns)
    return found


def _stamped(change: Change, op: str, hlc: int, columns: dict[str, tuple[Value, int]]) -> Change:
    """The reference's change with the engine's clock stamps, after both were compared."""
    assert change.kind == op
    if op in "IR":
        assert change.image == {name: value for name, (value, _) in columns.items()}
    stamped = {}
    if op == "U":
        sent = {name: value for name, (value, _) in columns.items()}
        assert sent == {name: value for name, (value, _, _, _) in change.columns.items()}
        for name, (value, _, base, before) in change.columns.items():
            stamped[name] = (value, columns[name][1], base, before)
    return Change(change.key, change.kind, change.base, hlc, stamped, change.image)
