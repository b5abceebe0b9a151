"""What the hub keeps in the central database, altered by hand: a code and a remedy, and no error of Python's
(law L12)."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

import syncline
from syncline.errors import SynclineError
from syncline.server import create_app, serving
from tests.support.application import sql

ALTERED = [
    "UPDATE _sync_hub_conflicts SET data = 'null'",
    "UPDATE _sync_hub_conflicts SET data = '{\"a\": 1}'",
    "UPDATE _sync_hub_conflicts SET data = 'garbage'",
    "UPDATE _sync_hub_clients SET last_pull = '{}'",
    "UPDATE _sync_hub_clients SET push = 'many'",
    "UPDATE _sync_hub_versions SET body = 'x'",
]


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    """A centre with a replica and an open conflict of it."""
    file = tmp_path / "centre.db"
    sql(file, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'x')")
    with hub_of(file) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "device.db").close()
        sql(file, "UPDATE t SET v = 'theirs'")
        sql(tmp_path / "device.db", "UPDATE t SET v = 'mine'")
        with syncline.connect(tmp_path / "device.db", hub) as replica:
            replica.sync()
    return file


def hub_of(file: Path) -> syncline.Hub:
    return syncline.Hub(f"sqlite:///{file}", {"t": syncline.Table(merge={"v": "review"})})


def sync(centre: Path, hub: syncline.Hub) -> None:
    with syncline.connect(centre.parent / "device.db", hub) as replica:
        replica.sync()


@pytest.mark.parametrize("statement", ALTERED)
def test_l12_what_a_hub_keeps_was_altered(centre: Path, statement: str) -> None:
    assert sql(centre, "SELECT count(*) FROM _sync_hub_conflicts") == [(1,)]
    sql(centre, statement)
    codes = []
    with hub_of(centre) as hub:
        for ask in (lambda: list(hub.replicas()), lambda: list(hub.conflicts()), lambda: sync(centre, hub)):
            try:
                ask()
            except SynclineError as error:
                codes.append(error.code)
                assert "altered" in error.detail and error.remedy
    assert "ledger_damaged" in codes


def test_l12_a_server_answers_with_the_code_and_not_with_an_incident(centre: Path) -> None:
    sql(centre, "UPDATE _sync_hub_conflicts SET data = 'null'")
    (replica,) = sql(centre, "SELECT replica FROM _sync_hub_conflicts")[0]
    with hub_of(centre) as hub, serving(create_app(hub)) as url:
        answer = httpx2.get(f"{url}/sync/conflicts", params={"replica": replica})
        assert answer.status_code == 500
        assert answer.json()["code"] == "ledger_damaged"
        assert "incident" not in answer.text
