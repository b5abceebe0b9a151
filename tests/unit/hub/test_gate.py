"""The gate: who may ask the hub for what (law L10)."""

from __future__ import annotations

import ast
import inspect
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

import syncline
from syncline.errors import (
    ConfigurationError,
    Forbidden,
    Malformed,
    ReplicaOfAnother,
    ReplicaRevoked,
    ScopeUnsupported,
    SynclineError,
    UnknownReplica,
    UsageError,
)
from syncline.hub import requests, uploads
from syncline.hub.central import Central
from syncline.hub.knowledge import Knowledge
from syncline.model.actor import ANYONE, OPERATOR, Actor
from syncline.model.scope import UNBOUNDED, Scope
from syncline.protocol import messages as m
from syncline.protocol import routes
from syncline.protocol.body import seal
from syncline.protocol.routes import ROUTES
from tests.support.requests import requests_of
from tests.unit.hub.desk import Desk

ANN, BOB, ROOT = Actor("ann"), Actor("bob"), Actor("root", operator=True)
MINE, LOCKED, UNKNOWN = "mine", "locked", "unheard"


@pytest.fixture
def desk() -> Iterator[Desk]:
    rules = {"item": syncline.Table({"a": "review"})}
    desk = Desk("CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT)", rules)
    desk.sql("INSERT INTO item VALUES (1, 'x')")
    for replica in (MINE, LOCKED):
        desk.hub.handle(ANN, m.Register(replica))
    desk.hub.revoke(LOCKED)
    yield desk
    desk.hub.close()


def outcome(desk: Desk, actor: Actor, request: m.Request) -> type[SynclineError] | None:
    """The class it was refused with by the gate; None if it got through, whatever the handler then said."""
    try:
        desk.hub.handle(actor, request)
    except (Forbidden, UnknownReplica) as error:
        return type(error)
    except SynclineError:
        return None
    return None


KINDS = [route.request for route in ROUTES]
KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_every_route_says_who_may_use_it_and_every_request_has_one() -> None:
    assert all(entry.who is not None for entry in (*ROUTES, *routes.PLAIN))
    assert set(KINDS) == set(m.Request.__args__)


@KIND
def test_a_replica_is_answered_to_whoever_registered_it_and_to_nobody_else(
    desk: Desk, kind: type[m.Request]
) -> None:
    request = requests_of(desk.hub, MINE)[kind]
    assert outcome(desk, BOB, request) is ReplicaOfAnother
    assert outcome(desk, ANYONE, request) is ReplicaOfAnother
    assert outcome(desk, Actor("ann", tenant="other"), request) is ReplicaOfAnother
    assert outcome(desk, ANN, request) is None


def test_l12_whoever_asks_for_the_replica_of_another_is_told_as_whom(desk: Desk) -> None:
    for actor, named in ((ANYONE, "'anyone'"), (Actor("ann", tenant="other"), "'other / ann'")):
        with pytest.raises(ReplicaOfAnother, match=f"another actor than the one that asks, {named}"):
            desk.hub.handle(actor, m.StateQuery(MINE))


def test_l12_what_is_no_actor_is_refused_with_what_to_write(desk: Desk) -> None:
    nobody: Any = "ann"
    with pytest.raises(UsageError, match=r"'ann' is no syncline\.Actor") as refused:
        desk.hub.assign(MINE, nobody)
    assert "syncline.Actor(name)" in refused.value.remedy
    with pytest.raises(UsageError, match=r"is no syncline\.Actor"):
        desk.hub.handle(nobody, m.StateQuery(MINE))
    assert outcome(desk, ANN, m.StateQuery(MINE)) is None


@KIND
def test_a_revoked_replica_gets_nothing_whoever_asks(desk: Desk, kind: type[m.Request]) -> None:
    request = requests_of(desk.hub, LOCKED)[kind]
    assert outcome(desk, ANN, request) is ReplicaRevoked
    assert outcome(desk, ROOT, request) is ReplicaRevoked
    assert outcome(desk, BOB, request) is ReplicaOfAnother
    desk.hub.revoke(LOCKED, undo=True)
    assert outcome(desk, ANN, request) is None


@KIND
def test_an_unknown_replica_registers_and_gets_nothing_before(desk: Desk, kind: type[m.Request]) -> None:
    request = requests_of(desk.hub, UNKNOWN)[kind]
    opens = (m.Register, m.Reconcile, m.StateQuery)
    assert outcome(desk, ANN, request) is (None if kind in opens else UnknownReplica)


def test_the_state_of_an_unknown_replica_says_which_hub_this_is_and_registers_nothing(desk: Desk) -> None:
    before = desk.hub.replicas()
    answer = desk.hub.handle(ANN, m.StateQuery(UNKNOWN))
    assert isinstance(answer, m.StateAnswer)
    assert (answer.known, answer.push) == (False, 0)
    assert desk.hub.replicas() == before


@KIND
def test_an_operator_asks_in_any_name(desk: Desk, kind: type[m.Request]) -> None:
    assert outcome(desk, ROOT, requests_of(desk.hub, MINE)[kind]) is None


@pytest.mark.parametrize("kind", [m.SchemaQuery, m.ConflictsQuery, m.Resolve], ids=lambda kind: kind.__name__)
def test_what_names_no_replica_is_for_operators(desk: Desk, kind: type[m.Request]) -> None:
    request = requests_of(desk.hub, None)[kind]
    for actor in (ANN, ANYONE):
        with pytest.raises(Forbidden) as caught:
            desk.hub.handle(actor, request)
        assert caught.value.code == "operators_only"
    assert outcome(desk, ROOT, request) is None


class Novelty(m.Record, frozen=True):
    """A request of a version to come that nobody has entered anywhere."""

    replica: str = MINE
    version: int = m.PROTOCOL_VERSION


def test_a_new_kind_of_request_is_refused_until_a_route_opens_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    novelty: Any = Novelty()
    handlers: dict[type, Any] = {**desk.hub._gate._handlers, Novelty: lambda caller, request: m.Changes()}
    monkeypatch.setattr(desk.hub._gate, "_handlers", handlers)
    closed = routes.Route("GET", "/sync/novelty", Novelty, m.Changes, "Something new")
    for entries in ({}, {Novelty: closed}):
        for actor in (ANN, ROOT, OPERATOR):
            with pytest.raises(Forbidden) as caught, monkeypatch.context() as patch:
                patch.setattr("syncline.hub.gate.BY_REQUEST", {**routes.BY_REQUEST, **entries})
                desk.hub.handle(actor, novelty)
            assert caught.value.code == "route_closed"


def test_a_handler_that_looks_at_nothing_is_not_heard_before_the_gate_has_looked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = {**desk.hub._gate._handlers, m.StateQuery: lambda caller, request: m.Changes()}
    monkeypatch.setattr(desk.hub._gate, "_handlers", careless)
    assert desk.hub.handle(ANN, m.StateQuery(MINE)) == m.Changes()
    assert outcome(desk, BOB, m.StateQuery(MINE)) is ReplicaOfAnother
    assert outcome(desk, ANN, m.StateQuery(LOCKED)) is ReplicaRevoked


@pytest.mark.parametrize("module", [requests, uploads], ids=lambda module: module.__name__)
def test_handlers_have_no_other_way_to_the_database_than_their_caller(module: Any) -> None:
    ways = ("write", "read", "transact", "lock_client", "client")
    nodes = [
        node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Attribute)
    ]
    used = {ast.unparse(node) for node in nodes if node.attr in ways}
    assert used and used <= {"caller.read", "caller.write"}


def test_a_new_handler_cannot_go_round_its_caller(desk: Desk) -> None:
    """In whatever module: what handlers are given has no way to rows."""
    given = {id(handler.__self__): handler.__self__ for handler in desk.hub._gate._handlers.values()}  # type: ignore[attr-defined]
    for one in given.values():
        known = one._central
        assert type(known) is Knowledge and not hasattr(known, "__dict__")
        assert not {"database", "transact", "write", "informed", "follow"} & {*dir(known)}
        kept = [getattr(one, name) for name in vars(one)]
        assert not any(isinstance(value, (Central, type(desk.hub.database))) for value in kept)


def test_a_push_carries_the_pull_of_its_own_replica_only(desk: Desk) -> None:
    desk.hub.handle(BOB, m.Register("bobs"))
    own, others = requests_of(desk.hub, MINE), requests_of(desk.hub, "bobs")
    push = msgspec.structs.replace(own[m.Push], pull=others[m.Pull])
    with pytest.raises(Malformed, match="own replica"):
        desk.hub.handle(ANN, push)
    with pytest.raises(Malformed, match="own replica"):
        desk.hub.handle(ANN, msgspec.structs.replace(own[m.CommitPush], pull=others[m.Pull]))


def test_a_copy_is_not_made_of_anothers_file_or_a_revoked_one(desk: Desk) -> None:
    with desk.database.read(UNBOUNDED) as transaction:
        mark, locked = (
            desk.hub._central.mint(transaction.log.now(), UNBOUNDED, replica) for replica in (MINE, LOCKED)
        )
    with pytest.raises(ReplicaOfAnother):
        desk.hub.handle(BOB, m.Register("copy", previous=MINE, watermark=mark))
    with pytest.raises(ReplicaRevoked):
        desk.hub.handle(ANN, m.Register("copy", previous=LOCKED, watermark=locked))
    assert isinstance(desk.hub.handle(ANN, m.Register("copy", previous=MINE, watermark=mark)), m.Registered)


def test_a_replica_of_an_open_hub_belongs_to_nobody_once_there_are_names_until_it_is_assigned(
    desk: Desk,
) -> None:
    desk.hub.handle(ANYONE, m.Register("old"))
    with pytest.raises(ReplicaOfAnother) as caught:
        desk.hub.handle(ANN, m.Register("old"))
    assert "syncline assign" in caught.value.remedy
    desk.hub.assign("old", ANN)
    assert isinstance(desk.hub.handle(ANN, m.StateQuery("old")), m.StateAnswer)
    assert outcome(desk, ANYONE, m.StateQuery("old")) is ReplicaOfAnother
    assert [one.client.actor for one in desk.hub.replicas() if one.client.replica == "old"] == ["ann"]
    with pytest.raises(UnknownReplica):
        desk.hub.assign(UNKNOWN, ANN)


def test_an_operator_takes_no_replica_over_by_asking_in_its_name(desk: Desk) -> None:
    desk.hub.handle(ROOT, m.Register(MINE))
    assert outcome(desk, ANN, m.StateQuery(MINE)) is None


BAD_NAMES = [("", ""), ("a\x1fb", ""), ("a\nb", ""), ("a", "\x1f"), ("x" * 201, "")]


@pytest.mark.parametrize(("name", "tenant"), BAD_NAMES)
def test_an_actor_has_a_name_that_can_be_kept(name: str, tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of an actor"):
        Actor(name, tenant)


def conflict_of(desk: Desk, actor: Actor, replica: str) -> int:
    """Make the actor's replica meet another edit of row 1; the id of the conflict."""
    known: Any = desk.hub.handle(actor, m.Register(replica))
    desk.sql("UPDATE item SET a = a || '!'", at=1)
    body, digest = seal([m.PushGroup(0, "U", [0], [[1, replica]], [(desk.now + 5_000) << 16])])
    details = [m.Detail(0, [1], [0], ["x"], [replica])]
    bases = [known.watermark]
    push = m.Push(replica, known.push + 1, known.schema, bases, digest, Raw(body), details)
    verdict: Any = desk.hub.handle(actor, push)
    return int(verdict.conflicts[0].id)


def test_a_replica_resolves_its_own_conflicts_and_an_operator_any(desk: Desk) -> None:
    desk.hub.handle(BOB, m.Register("bobs"))
    number = conflict_of(desk, ANN, MINE)
    with pytest.raises(SynclineError) as caught:
        desk.hub.handle(BOB, m.Resolve(number, "sent", None, "bobs"))
    assert caught.value.code == "unknown_conflict"
    before = desk.sql("SELECT a FROM item")
    assert before != [(MINE,)]
    resolved: Any = desk.hub.handle(ANN, m.Resolve(number, "sent", None, MINE))
    assert (resolved.outcome, desk.sql("SELECT a FROM item")) == ("resolved", [(MINE,)])
    another = conflict_of(desk, ANN, MINE)
    assert desk.hub.resolve(another, "value", "ours").resolution == "ours"
    assert [note.id for note in desk.hub.conflicts()] == [number, another]


@pytest.fixture
def in_conflict(tmp_path: Path) -> Iterator[tuple[syncline.Hub, syncline.Replica, Callable[[], Any]]]:
    """A hub, a revoked device with an open conflict of its own, and what the central row holds."""
    with sqlite3.connect(tmp_path / "centre.db") as centre:
        centre.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        centre.execute("INSERT INTO t VALUES (1, 'x')")
    hub = syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}", {"t": syncline.Table(merge={"a": "review"})})
    hub.init()
    devices = [syncline.clone(hub, tmp_path / name) for name in ("one.db", "two.db")]
    for device, value in zip(devices, ("one", "two"), strict=True):
        with sqlite3.connect(tmp_path / f"{value}.db") as file:
            file.execute("UPDATE t SET a = ? WHERE id = 1", (value,))
        file.close()
        device.sync()
    hub.revoke(str(devices[1].id))
    yield hub, devices[1], lambda: centre.execute("SELECT a FROM t").fetchone()[0]
    for device in devices:
        device.close()
    hub.close()
    centre.close()


def test_a_device_that_was_locked_out_neither_lists_nor_resolves_nor_registers(
    in_conflict: tuple[syncline.Hub, syncline.Replica, Callable[[], Any]],
) -> None:
    hub, device, row = in_conflict
    schema, state, me = hub.schema.fingerprint, device._store.state(), str(device.id)
    with pytest.raises(ReplicaRevoked):
        device.resolve(device.conflicts()[0].id, "sent")
    assert row() == "one"
    for request in (
        m.Register(me, schema),
        m.Pull(state.watermark or "", 100, me, schema),
        m.StateQuery(me),
        m.SchemaQuery(me),
        m.ConflictsQuery(me),
        m.Snapshot(me, schema),
    ):
        with pytest.raises(ReplicaRevoked):
            hub.handle(ANYONE, request)
    for nameless in (m.SchemaQuery(), m.ConflictsQuery(), m.Resolve(1, "sent")):
        with pytest.raises(Forbidden):
            hub.handle(ANYONE, nameless)
    assert row() == "one"
    hub.revoke(me, undo=True)
    assert device.resolve(device.conflicts()[0].id, "sent").outcome == "resolved"
    assert row() == "two"


def test_the_gate_asks_the_database_nothing_that_was_not_asked_anyway(desk: Desk) -> None:
    """A push with its pull reads the replica's record once in each of its two transactions; the first pull of
    all, which is noted, was before."""
    known: Any = desk.hub.handle(ANN, m.Register("r1", desk.hub.schema.fingerprint))
    body, digest = seal([m.PushGroup(0, "U", [0], [[1, "y"]], [(desk.now + 5_000) << 16])])
    pull = m.Pull(known.watermark, 100, "r1", known.schema)
    desk.hub.handle(ANN, pull)
    push = m.Push("r1", 1, known.schema, [known.watermark], digest, Raw(body), [], pull)
    asked: list[str] = []
    with desk.database.write(UNBOUNDED) as transaction:
        connection = transaction.rows.connection
    connection.set_trace_callback(asked.append)
    desk.hub.handle(ANN, push)
    connection.set_trace_callback(None)
    reads = [sql for sql in asked if sql.startswith("SELECT") and "_sync_hub_clients" in sql]
    assert len(asked) > len(reads) == 2


@pytest.mark.parametrize(
    "kind", [kind for kind, route in routes.BY_REQUEST.items() if route.who == "replica"]
)
def test_l10_what_cannot_be_kept_within_a_scope_is_not_answered(desk: Desk, kind: type) -> None:
    """Neither database filters rows: an actor who may not have all of them gets none."""
    narrow = replace(ANN, scope=Scope(()))
    with pytest.raises(ScopeUnsupported) as caught:
        desk.hub.handle(narrow, requests_of(desk.hub, MINE)[kind])
    assert caught.value.code == "scope_unsupported"
