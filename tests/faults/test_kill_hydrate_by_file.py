"""Processes killed while a ready file is built or fetched: the next call goes on, nothing is half (L2)."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

import syncline
from syncline.replica.hydrate import building_path
from syncline.server import Snapshots, create_app, serving
from tests.support.serving import Served

ROWS = 30_000
DYING = """
import os, signal, sys
import syncline
from syncline.protocol import filebody

url, file, stage, least = sys.argv[1:]
filebody.PIECE = 16_384

def progress(now, done, total):
    if now == stage and done >= int(least):
        os.kill(os.getpid(), signal.SIGKILL)

syncline.clone(url, file, progress=progress)
"""


def fill(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "centre.db")) as sql, sql:
        sql.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        sql.executemany("INSERT INTO item VALUES (?, ?)", ((i, f"{i * 7919:x}") for i in range(ROWS)))
    return f"sqlite:///{folder}/centre.db"


def agrees(folder: Path, file: Path) -> None:
    found = []
    for path in (folder / "centre.db", file):
        with closing(sqlite3.connect(path)) as sql:
            found.append(sql.execute("SELECT count(*), sum(id), max(name), min(name) FROM item").fetchone())
            assert sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert found[0] == found[1]
    assert list(folder.glob("*.hydrating*")) == []


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with syncline.Hub(fill(tmp_path)) as hub:
        hub.init()
        snapshots = Snapshots(hub, tmp_path / "files", least_rows=0)
        with serving(create_app(hub, snapshots=snapshots)) as url:
            yield url
        snapshots.wait()


@pytest.mark.parametrize(
    ("stage", "least"), [("wait", 0), ("download", 1), ("download", 100_000), ("pull", 0)]
)
def test_a_device_killed_while_it_hydrates_by_file_goes_on(
    tmp_path: Path, url: str, stage: str, least: int
) -> None:
    file = tmp_path / "a.db"
    command = [sys.executable, "-c", DYING, url, str(file), stage, str(least)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not file.exists()
    part = Path(building_path(str(file)) + ".part")
    before = part.stat().st_size if part.exists() else 0
    assert (before >= least > 0) == (stage == "download")
    arrived: list[int] = []

    def progress(now: str, done: int, total: int | None) -> None:
        if now == "download":
            arrived.append(done)

    syncline.clone(url, file, progress=progress).close()
    assert all(done > before for done in arrived)
    agrees(tmp_path, file)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_in_the_middle_of_a_build_is_started_again_and_builds(
    tmp_path: Path, end: signal.Signals
) -> None:
    toml = tmp_path / "syncline.toml"
    toml.write_text(f'[hub]\ndatabase = "{fill(tmp_path)}"\nsnapshots = "files"\n')
    with Served(toml) as server:
        schema = httpx2.post(f"{server.url}/sync/clients", json={"replica": "r"}).json()["schema"]
        answer = httpx2.get(f"{server.url}/sync/snapshot.sqlite?replica=r&schema={schema}")
        assert json.loads(answer.text)["code"] == "snapshot_building"
        server.process.send_signal(end)
        server.process.wait(20)
    with Served(toml) as server:
        waited: list[str] = []
        file = tmp_path / "a.db"
        syncline.clone(server.url, file, progress=lambda stage, done, total: waited.append(stage)).close()
    assert "download" in waited
    agrees(tmp_path, file)
