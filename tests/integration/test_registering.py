"""Two servers of one hub register at the same time: an id belongs to one, and quotas count both (L10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import QuotaReached, ReplicaOfAnother, SynclineError
from syncline.hub import requests
from syncline.hub.contract import Ledger
from syncline.hub.quotas import Quotas, check_registration
from syncline.model.actor import Actor
from syncline.protocol import messages as m
from tests.support.application import sql
from tests.support.postgres import PostgresCentre

ANN, BOB = Actor("ann"), Actor("bob")
TABLE = "CREATE TABLE t (id integer PRIMARY KEY)"
SECONDS = 0.5
"""How long the first waits for the second, which waits for the first if all is well."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        sql(tmp_path / "centre.db", TABLE)
        return f"sqlite:///{tmp_path}/centre.db"
    centre = PostgresCentre(request.getfixturevalue("postgres_url"))
    centre.run(TABLE)
    return centre.url


class Two:
    """Two servers of one hub. The first that has found a registration to be no more than the quotas allow
    waits for the other to have found the same."""

    def __init__(self, url: str, quotas: Quotas) -> None:
        self.hubs = [syncline.Hub(url, quotas=quotas) for _ in range(2)]
        self.hubs[0].init()
        self._both, self._at_once = threading.Barrier(2), False

    def check(self, ledger: Ledger, owner: str, quotas: Quotas, *, made: int = 0) -> None:
        check_registration(ledger, owner, quotas, made=made)
        if self._at_once:
            with suppress(threading.BrokenBarrierError):  # if all is well the other has to wait
                self._both.wait(SECONDS)

    def ask(self, *asked: tuple[Actor, m.Request]) -> list[Any]:
        """What each is answered, or the error."""

        def one(hub: syncline.Hub, actor: Actor, request: m.Request) -> Any:
            try:
                return hub.handle(actor, request)
            except SynclineError as error:
                return error

        self._at_once = True
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(one, hub, *each) for hub, each in zip(self.hubs, asked, strict=True)]
            return [each.result(30) for each in done]


@pytest.fixture
def two(url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    made = Two(url, getattr(request, "param", Quotas()))
    monkeypatch.setattr(requests, "check_registration", made.check)
    yield made
    for hub in made.hubs:
        hub.close()


def test_l10_an_id_that_two_actors_register_at_once_belongs_to_one_and_the_other_is_told(two: Two) -> None:
    answers = two.ask((ANN, m.Register("new")), (BOB, m.Register("new")))
    (refused,) = [one for one in answers if isinstance(one, SynclineError)]
    assert isinstance(refused, ReplicaOfAnother) and refused.code == "replica_of_another"
    owner, other = (ANN, BOB) if answers[1] is refused else (BOB, ANN)
    assert [one.client.actor for one in two.hubs[0].replicas()] == [owner.owner]
    assert isinstance(two.hubs[1].handle(owner, m.StateQuery("new")), m.StateAnswer)
    with pytest.raises(ReplicaOfAnother):
        two.hubs[0].handle(other, m.StateQuery("new"))


def test_one_actor_that_registers_an_id_twice_at_once_has_it_once(two: Two) -> None:
    answers = two.ask((ANN, m.Register("new")), (ANN, m.Register("new")))
    assert all(isinstance(one, m.Registered) for one in answers)
    assert [one.client.actor for one in two.hubs[0].replicas()] == [ANN.owner]


def test_l10_an_id_that_is_registered_while_a_file_takes_it_belongs_to_one(two: Two) -> None:
    two.hubs[0].handle(BOB, m.Register("former"))
    ahead = m.Reconcile("new", "former", [], 7, "")
    answers = two.ask((ANN, m.Register("new")), (BOB, ahead))
    (refused,) = [one for one in answers if isinstance(one, SynclineError)]
    assert isinstance(refused, ReplicaOfAnother)
    owner = ANN if answers[1] is refused else BOB
    (record,) = [one.client for one in two.hubs[0].replicas() if one.client.replica == "new"]
    assert record.actor == owner.owner


@pytest.mark.parametrize(
    "two", [Quotas(replicas=1), Quotas(unused=1), Quotas(registrations=1)], indirect=True
)
def test_registrations_at_the_same_time_are_counted(two: Two) -> None:
    answers = two.ask((ANN, m.Register("one")), (ANN, m.Register("two")))
    assert len([one for one in answers if isinstance(one, QuotaReached)]) == 1
    assert len(two.hubs[0].replicas()) == 1
