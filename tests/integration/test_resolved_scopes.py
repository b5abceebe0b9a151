"""What an actor may have is what it is in the transaction: the sets that a scope names may hold other members
in the next one (laws L5, L10)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

import syncline
from syncline.databases.sqlite.database import SqliteDatabase
from syncline.errors import SnapshotBuilding, WatermarkRefused
from syncline.model.actor import Actor
from syncline.model.scope import UNBOUNDED, Scope
from syncline.protocol import messages as m
from syncline.protocol.body import seal
from syncline.server.snapshots import Snapshots, admitted

ANN = Actor("ann", scope=replace(UNBOUNDED, anchors=(("teams of ann", frozenset()),)))
FORMER, FRESH = "former", "fresh"


class Teams:
    """Of whom the database says that she is in these teams, as of a transaction."""

    now: tuple[Any, ...] = ("blue",)

    def resolved(self, scope: Scope) -> Scope:
        """The scope with the members of its sets."""
        return replace(scope, anchors=tuple((name, frozenset(self.now)) for name, _ in scope.anchors))


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> Teams:
    """Every transaction resolves the scope that it is given, as one over row rules does when it begins."""
    found = Teams()
    for verb in ("read", "write"):
        monkeypatch.setattr(SqliteDatabase, verb, _resolving(getattr(SqliteDatabase, verb), found))
    return found


def _resolving(begin: Any, teams: Teams) -> Any:
    @contextmanager
    def begun(database: SqliteDatabase, scope: Scope) -> Iterator[Any]:
        opened: AbstractContextManager[Any] = begin(database, scope)
        with opened as transaction:
            transaction.scope = teams.resolved(scope)
            yield transaction

    return begun


@pytest.fixture
def hub(tmp_path: Path, teams: Teams) -> Iterator[syncline.Hub]:
    with closing(sqlite3.connect(tmp_path / "centre.db")) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'a')")
    with syncline.Hub(f"sqlite:///{tmp_path}/centre.db") as made:
        made.init()
        yield made


def ask(hub: syncline.Hub, request: m.Request) -> Any:
    return hub.handle(ANN, request)


def register(hub: syncline.Hub) -> m.Registered:
    answer = ask(hub, m.Register(FORMER, hub.schema.fingerprint))
    assert isinstance(answer, m.Registered)
    return answer


def pull(hub: syncline.Hub, mark: str, replica: str) -> m.Pull:
    return m.Pull(mark, 10, replica, hub.schema.fingerprint)


def test_l5_reconcile_takes_what_was_seen_within_the_scope_as_it_is_now(hub: syncline.Hub) -> None:
    first = register(hub)
    made = ask(hub, m.Reconcile(FRESH, FORMER, [], 0, "", seen=[first.watermark]))
    assert made.seen
    assert isinstance(ask(hub, pull(hub, made.seen, made.replica)), m.Changes)


def test_l5_a_device_pulls_on_from_the_horizon_of_reconcile(hub: syncline.Hub) -> None:
    first = register(hub)
    made = ask(hub, m.Reconcile(FRESH, FORMER, [], 0, "", seen=[first.watermark]))
    assert isinstance(ask(hub, pull(hub, made.horizon, made.replica)), m.Changes)


def test_l5_a_device_pulls_on_from_the_horizon_of_a_push(hub: syncline.Hub) -> None:
    first, (body, digest) = register(hub), seal([])
    push = m.Push(FORMER, 1, hub.schema.fingerprint, [first.watermark], digest, Raw(body), before="")
    verdict = ask(hub, push)
    assert isinstance(ask(hub, pull(hub, verdict.horizon, FORMER)), m.Changes)


def test_l10_what_was_seen_within_another_scope_is_no_place_to_go_on_from(
    hub: syncline.Hub, teams: Teams
) -> None:
    first = register(hub)
    teams.now = ("blue", "red")
    made = ask(hub, m.Reconcile(FRESH, FORMER, [], 0, "", seen=[first.watermark]))
    assert made.seen == ""
    with pytest.raises(WatermarkRefused) as refused:
        ask(hub, pull(hub, first.watermark, FORMER))
    assert refused.value.code == "watermark_scope"


def test_l10_a_file_to_hydrate_from_is_not_given_out_when_its_scope_is_another_one(
    hub: syncline.Hub, teams: Teams, tmp_path: Path
) -> None:
    register(hub)
    files = Snapshots(hub, tmp_path / "files", least_rows=0)
    schema, state = hub.schema.fingerprint, admitted(hub, ANN, FORMER)
    with pytest.raises(SnapshotBuilding):
        files.open(ANN, state, schema)
    files.wait()
    files.open(ANN, state, schema)[1].close()
    teams.now = ("red",)
    with pytest.raises(SnapshotBuilding):
        files.open(ANN, state, schema)
    files.wait()
    files.open(ANN, state, schema)[1].close()
