"""Under whose name edits are remembered: nobody's but the sender's own (laws L2 and L10)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

import syncline
from syncline.databases.base import ledger
from syncline.databases.sqlite import open_database
from syncline.errors import Malformed, PushOutOfStep, ReplicaOfAnother
from syncline.hub import compared as comparing
from syncline.hub import requests
from syncline.hub.clients import forget_for_good
from syncline.hub.contract import Client, Stamped, WriteTransaction
from syncline.hub.identity import memory_of
from syncline.model.actor import ANYONE, Actor
from syncline.protocol import messages as m
from syncline.protocol.body import chained, seal, sealed
from tests.support.application import sql
from tests.support.postgres import PostgresCentre

Claim = Callable[[syncline.Hub, str], str]
Watched = tuple[str, Callable[[], list[bool]]]
ANN, BOB = Actor("ann"), Actor("bob")
TABLE = "CREATE TABLE t (id integer PRIMARY KEY)"
STAMPS = b"pending1pending2"
"""Of edits that wait in Ann's file, and in a copy of it that Bob has got."""


@pytest.fixture(params=["sqlite", "postgresql"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[syncline.Hub]:
    if request.param == "sqlite":
        sql(tmp_path / "centre.db", TABLE)
        url = f"sqlite:///{tmp_path}/centre.db"
    else:
        centre = PostgresCentre(request.getfixturevalue("postgres_url"))
        centre.run(TABLE)
        url = centre.url
    with syncline.Hub(url) as made:
        made.init()
        for actor, replica in ((ANN, "ann-1"), (BOB, "bob-1")):
            made.handle(actor, m.Register(replica))
        yield made


def push(
    hub: syncline.Hub,
    actor: Actor,
    replica: str,
    chain: str,
    stamps: bytes = STAMPS,
    carried: int = 0,
) -> str:
    """Have the hub remember these stamps as of edits that the file has carried along; the chain's value after
    it."""
    told: Any = hub.handle(actor, m.StateQuery(replica))
    body, digest = seal([])
    schema, carried = hub.schema.fingerprint, carried or int(time.time() * 1000) - 1000
    told_too: Any = {"before": chain, "stamps": stamps, "carried": carried}
    message = m.Push(replica, told.push + 1, schema, [told.watermark], digest, Raw(body), **told_too)
    verdict: Any = hub.handle(actor, message)
    return sealed(chained(chain, digest), verdict.seal)


def asked(hub: syncline.Hub, actor: Actor, *place: Any) -> m.Reconciled:
    answer = hub.handle(actor, m.Reconcile(*place, stamps=STAMPS))
    assert isinstance(answer, m.Reconciled)
    return answer


@pytest.mark.parametrize("chain", ["another", ""], ids=["an id is taken", "the record is kept"])
def test_l10_nobody_has_edits_remembered_under_the_id_of_another(hub: syncline.Hub, chain: str) -> None:
    """Bob says that his file had Ann's id once, and pushes nothing with the stamps of what waits in hers."""
    bob = asked(hub, BOB, "bob-2", "bob-1", ["ann-1"], 0, chain).replica
    assert bob == ("bob-1" if chain == "" else "bob-2")
    push(hub, BOB, bob, chain)
    assert asked(hub, ANN, "ann-2", "ann-1", [], 0, "put back").done == b""


def test_an_own_id_after_that_of_another_is_what_edits_are_remembered_under(hub: syncline.Hub) -> None:
    hub.handle(BOB, m.Register("bob-0"))
    bob = asked(hub, BOB, "bob-2", "bob-1", ["ann-1", "bob-0"], 0, "another").replica
    push(hub, BOB, bob, "another")
    assert asked(hub, BOB, "bob-3", "bob-0", [], 0, "put back").done == STAMPS


def test_a_file_that_was_handed_over_goes_on_under_the_name_it_had(hub: syncline.Hub) -> None:
    """Ann's file has had two ids; the second is Bob's now. What it pushes is found by it, put back again."""
    ann = asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica
    hub.assign(ann, BOB)
    push(hub, BOB, ann, "another")
    found = asked(hub, BOB, "bob-2", ann, ["ann-1"], 0, "another")
    assert (found.replica, found.done) == ("bob-2", STAMPS)
    assert asked(hub, BOB, "bob-3", "bob-2", ["ann-1", ann], 0, "put back").done == STAMPS


def test_without_an_authenticator_all_ids_are_of_one(hub: syncline.Hub) -> None:
    hub.handle(ANYONE, m.Register("any-1"))
    hub.handle(ANYONE, m.Register("any-2"))
    made = asked(hub, ANYONE, "any-3", "any-2", ["any-1"], 0, "another").replica
    push(hub, ANYONE, made, "another")
    assert asked(hub, ANYONE, "any-4", "any-1", [], 0, "put back").done == STAMPS


def claim_by_reconcile(hub: syncline.Hub, name: str) -> str:
    return asked(hub, BOB, "bob-2", "bob-1", [name], 0, "another").replica


def claim_as_its_former(hub: syncline.Hub, name: str) -> str:
    return asked(hub, BOB, "bob-2", name, [], 0, "another").replica


def claim_by_register(hub: syncline.Hub, name: str) -> str:
    hub.handle(BOB, m.Register("bob-2", root=name))
    return "bob-2"


CLAIMS = [claim_by_reconcile, claim_as_its_former, claim_by_register]


@pytest.mark.parametrize("name", ["ann-1", "ann-0"], ids=["registered", "not registered"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_l10_an_id_is_at_the_root_of_nobody_else_s_edits_by_word_alone(
    hub: syncline.Hub, claim: Claim, name: str
) -> None:
    """Ann's file has an id that the hub has no record of, since the centre was put back, or still has."""
    if claim is claim_as_its_former and name == "ann-1":
        with pytest.raises(ReplicaOfAnother):
            claim(hub, name)
        return
    push(hub, BOB, claim(hub, name), "" if claim is claim_by_register else "another")
    assert asked(hub, ANN, "ann-2", name, [], 0, "put back").done == b""


def test_l10_the_id_at_the_root_of_a_file_stays_its_owner_s(hub: syncline.Hub) -> None:
    """As long as the file is known, whether the record of its first id was forgotten or not."""
    ann = asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica
    hub.handle(ANN, m.Register("ann-9"))
    hub.forget("ann-1")
    hub.forget("ann-9")
    assert hub._central.transact(lambda transaction: forget_for_good(transaction, 0.0)) == 1
    with pytest.raises(ReplicaOfAnother):
        hub.handle(BOB, m.Register("ann-1"))
    assert hub._central.transact(lambda transaction: transaction.ledger.drop_unused_clients(0.0)) == 2
    with pytest.raises(ReplicaOfAnother):
        hub.handle(BOB, m.Register("ann-1"))
    assert asked(hub, ANN, "ann-3", ann, ["ann-1"], 0, "put back").done == b""


def test_l3_copies_of_a_file_of_which_the_hub_has_no_record_find_each_other_s_edits(
    hub: syncline.Hub,
) -> None:
    push(hub, ANN, asked(hub, ANN, "ann-2", "ann-0", [], 0, "another").replica, "another")
    assert asked(hub, ANN, "ann-3", "ann-0", [], 0, "put back").done == STAMPS


def test_l3_a_file_that_registers_again_under_its_id_and_its_copy_find_each_other_s_edits(
    hub: syncline.Hub,
) -> None:
    copy = asked(hub, ANN, "ann-2", "ann-0", [], 0, "another").replica
    hub.handle(ANN, m.Register("ann-0"))
    push(hub, ANN, "ann-0", "")
    with pytest.raises(PushOutOfStep):
        push(hub, ANN, copy, "another")
    assert asked(hub, ANN, "ann-3", copy, ["ann-0"], 0, "put back").done == STAMPS


@pytest.mark.parametrize("name", ["x" * 101, "", "hub", "snapshot-1"])
def test_l10_no_request_makes_an_id_known_that_cannot_be_registered(hub: syncline.Hub, name: str) -> None:
    for request in (m.Register(name), m.Reconcile(name, "bob-1", [], 0, "another")):
        with pytest.raises(Malformed):
            hub.handle(BOB, request)
    assert {one.client.replica for one in hub.replicas()} == {"ann-1", "bob-1"}


@pytest.mark.parametrize(
    "request_of",
    [
        lambda name: m.Register("bob-2", root=name),
        lambda name: m.Register("bob-2", previous=name),
        lambda name: m.Reconcile("bob-2", name, [], 0, ""),
        lambda name: m.Reconcile("bob-2", "bob-1", ["bob-0", name], 0, ""),
    ],
    ids=["root", "previous of one that registers", "previous", "former"],
)
def test_l10_no_file_has_had_an_id_that_is_none(
    hub: syncline.Hub, request_of: Callable[[str], m.Request]
) -> None:
    with pytest.raises(Malformed):
        hub.handle(BOB, request_of("x" * 101))
    hub.handle(BOB, request_of("x" * 100))


@pytest.mark.parametrize("name", ["x" * 150, "005" * 50, "999" + "\x1f" * 150])
def test_l10_a_record_with_a_name_that_is_too_long_is_used_as_it_is(hub: syncline.Hub, name: str) -> None:
    """A hub of a former release has kept it."""

    def keep(transaction: WriteTransaction) -> None:
        transaction.ledger.save_client(replace(Client("bob-2", registered="now", actor="bob"), root=name))

    hub._central.transact(keep)
    chain = push(hub, BOB, "bob-2", "")
    with pytest.raises(PushOutOfStep):
        push(hub, BOB, "bob-2", chain)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A central file to which another program writes whenever stamps are compared, and how often that was.
    It does not wait."""
    centre, compared = tmp_path / "watched.db", list[bool]()
    sql(centre, TABLE, "CREATE TABLE others (i integer)")
    compare = comparing._numbers

    def seen(stamps: bytes) -> memoryview:
        with closing(sqlite3.connect(centre, timeout=0)) as other, other:
            other.execute("INSERT INTO others VALUES (1)")
        compared.append(True)
        return compare(stamps)

    def watch() -> list[bool]:
        monkeypatch.setattr(comparing, "_numbers", seen)
        return compared

    return f"sqlite:///{centre}", watch


def test_l13_nobody_waits_while_a_push_is_compared(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file carries is compared with what is remembered before it takes the lock."""
    url, watch = watched
    with syncline.Hub(url) as hub:
        hub.init()
        hub.handle(ANN, m.Register("ann-1"))
        push(hub, ANN, asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica, "another")
        copy = asked(hub, ANN, "ann-3", "ann-1", [], 0, "put back").replica
        compared = watch()
        chain = push(hub, ANN, copy, "put back", b"others01others02")
        assert len(compared) == 2
        monkeypatch.undo()
        with pytest.raises(PushOutOfStep):
            push(hub, ANN, copy, chain, b"others03" + STAMPS)


def test_l13_nobody_waits_while_a_file_is_told_what_became_of_its_edits(watched: Watched) -> None:
    url, watch = watched
    with syncline.Hub(url) as hub:
        hub.init()
        hub.handle(ANN, m.Register("ann-1"))
        push(hub, ANN, asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica, "another")
        compared = watch()
        assert asked(hub, ANN, "ann-3", "ann-1", [], 0, "put back").done == STAMPS
        assert len(compared) == 2


def test_stamps_are_read_a_bounded_number_of_bytes_at_a_time(
    hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [Stamped("ann-1", "ann-1", number, bytes(8 * number), b"") for number in range(1, 9)]
    hub._central.transact(lambda transaction: list(map(transaction.ledger.remember, kept)))
    monkeypatch.setattr(ledger, "STAMPS_BYTES", 50)
    run, most = ledger.Statements.run, list[int]()

    def counted(self: ledger.Statements, name: str, *values: Any) -> Any:
        rows = run(self, name, *values)
        most.extend([sum(len(row[3]) for row in rows)] if name == "stamps" else [])
        return rows

    monkeypatch.setattr(ledger.Statements, "run", counted)
    found = hub._central.transact(lambda transaction: list(transaction.ledger.stamps_of(["ann-1", "bob-1"])))
    assert [replace(one, made=0) for one in found] == kept
    assert most == [48, 32, 40, 48, 56, 64]


def test_l3_a_file_is_told_what_a_copy_has_pushed_while_it_asked(
    hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica
    chain = push(hub, ANN, copy, "another", b"others01")
    found = requests.sought

    def meanwhile(*asking: Any) -> comparing.Sought:
        before = found(*asking)
        push(hub, ANN, copy, chain)
        return before

    monkeypatch.setattr(requests, "sought", meanwhile)
    assert asked(hub, ANN, "ann-3", "ann-1", [], 0, "put back").done == STAMPS


def test_l3_a_file_is_not_told_what_the_centre_has_lost_while_it_asked(
    hub: syncline.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, ANN, asked(hub, ANN, "ann-2", "ann-1", [], 0, "another").replica, "another")
    found = requests.sought

    def meanwhile(*asking: Any) -> comparing.Sought:
        before = found(*asking)
        assert before.found().done == [STAMPS[:8], STAMPS[8:]]
        assert hub._central.transact(lambda transaction: transaction.ledger.forget_stamps(-1, 9)) == 1
        return before

    monkeypatch.setattr(requests, "sought", meanwhile)
    assert asked(hub, ANN, "ann-3", "ann-1", [], 0, "put back").done == b""


def test_l3_an_edit_counts_once_whatever_the_clock_of_a_copy_says(tmp_path: Path) -> None:
    """It says that its edits are of next year. When it pushes them the hub has forgotten that a copy did,
    after this one had asked: it has to ask again."""
    sql(tmp_path / "centre.db", TABLE)
    now, days, year = [int(time.time() * 1000)], 86_400_000, 31_536_000_000
    with syncline.Hub(open_database(f"sqlite:///{tmp_path}/centre.db", None, lambda: now[0])) as hub:
        hub.init()
        hub.handle(ANN, m.Register("ann-1"))
        ahead = asked(hub, ANN, "ann-2", "ann-1", [], 0, "put back").replica
        copy = asked(hub, ANN, "ann-3", "ann-1", [], 0, "another").replica
        memory = memory_of(m.Limits())
        now[0] += days // 2
        push(hub, ANN, copy, "another", carried=now[0] - days)
        now[0] += memory + days
        assert (
            hub._central.transact(lambda transaction: transaction.ledger.forget_stamps(memory / 1000, 9)) == 1
        )
        with pytest.raises(PushOutOfStep):
            push(hub, ANN, ahead, "put back", carried=now[0] + year)
        told = asked(hub, ANN, "ann-4", ahead, ["ann-1"], 0, "put back")
        assert (told.replica, told.done) == (ahead, b"")
        assert told.since > now[0] - memory - days, "what is older the device sets aside"
        push(hub, ANN, ahead, "put back", b"a younger one...", now[0] + year)
