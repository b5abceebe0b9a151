"""The gate over PostgreSQL: whose a replica is, and what a revocation stops that commits meanwhile (L10)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec import Raw

import syncline
from syncline.errors import ReplicaOfAnother, ReplicaRevoked
from syncline.model.actor import Actor
from syncline.protocol import messages as m
from syncline.protocol.body import seal
from tests.support.postgres import PostgresCentre

ANN, BOB = Actor("ann"), Actor("bob", tenant="north")


@pytest.fixture
def centre(postgres_url: str) -> PostgresCentre:
    centre = PostgresCentre(postgres_url)
    centre.run("CREATE TABLE item (id integer PRIMARY KEY, a text)", "INSERT INTO item VALUES (1, 'x')")
    return centre


@pytest.fixture
def hub(centre: PostgresCentre) -> Iterator[syncline.Hub]:
    with syncline.Hub(centre.url) as hub:
        hub.init()
        yield hub


def test_the_record_keeps_whose_a_replica_is(hub: syncline.Hub) -> None:
    hub.handle(ANN, m.Register("r1"))
    hub.handle(BOB, m.Register("r2"))
    with pytest.raises(ReplicaOfAnother):
        hub.handle(Actor("bob"), m.StateQuery("r2"))
    hub.assign("r1", BOB)
    with pytest.raises(ReplicaOfAnother):
        hub.handle(ANN, m.StateQuery("r1"))
    assert isinstance(hub.handle(BOB, m.StateQuery("r1")), m.StateAnswer)
    assert {one.client.actor for one in hub.replicas()} == {BOB.owner}


def push_of(known: m.Registered) -> m.Push:
    body, digest = seal([m.PushGroup(0, "U", [0], [[1, "sent"]], [5 << 16])])
    return m.Push("r1", 1, known.schema, [known.watermark], digest, Raw(body))


def begin_of(known: m.Registered) -> m.BeginPush:
    return m.BeginPush("r1", 1, known.schema, [known.watermark], "0" * 64, 1, 1)


def forget_of(known: m.Registered) -> m.ForgetPush:
    return m.ForgetPush("r1", 1)


@pytest.mark.parametrize("request_of", [push_of, begin_of, forget_of])
def test_a_request_that_waits_while_its_replica_is_locked_out_is_refused(
    hub: syncline.Hub, centre: PostgresCentre, request_of: Callable[[m.Registered], m.Request]
) -> None:
    known: Any = hub.handle(ANN, m.Register("r1"))
    with centre.connect() as operator, centre.connect() as looking, ThreadPoolExecutor(1) as pool:
        with operator.transaction():
            operator.execute("UPDATE syncline.clients SET revoked = 1 WHERE replica = 'r1'")
            waiting = pool.submit(hub.handle, ANN, request_of(known))
            deadline = time.monotonic() + 30
            blocked = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while looking.execute(blocked).fetchone() == (0,):
                assert not waiting.done()
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with pytest.raises(ReplicaRevoked):
            waiting.result(30)
        assert looking.execute("SELECT a FROM item").fetchone() == ("x",)
        assert looking.execute("SELECT count(*) FROM syncline.uploads").fetchone() == (0,)
