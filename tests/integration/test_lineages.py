"""Under whose name edits are remembered: nobody's but the sender's own (laws L2 and L10)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

import syncline
from syncline.model.actor import ANYONE, Actor
from syncline.protocol import messages as m
from syncline.protocol.body import seal
from tests.support.application import sql
from tests.support.postgres import PostgresCentre

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


def push(hub: syncline.Hub, actor: Actor, replica: str, chain: str) -> None:
    """Have the hub remember these stamps as of edits that the file has carried along."""
    told: Any = hub.handle(actor, m.StateQuery(replica))
    body, digest = seal([])
    schema, carried = hub.schema.fingerprint, int(time.time() * 1000) - 1000
    told_too: Any = {"before": chain, "stamps": STAMPS, "carried": carried}
    hub.handle(actor, m.Push(replica, told.push + 1, schema, [told.watermark], digest, Raw(body), **told_too))


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
