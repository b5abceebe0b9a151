"""What the hub says of a replica."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from syncline import Hub
from syncline.databases.sqlite import open_database
from syncline.errors import WatermarkRefused
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m
from syncline.testing.outside import outside


def test_the_first_pull_is_noted_with_its_time() -> None:
    database = open_database("sqlite:///:memory:")
    with outside(database) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    hub = Hub(database)
    hub.init()
    known: Any = hub.handle(ANYONE, m.Register("r1"))

    def pull() -> m.StateAnswer:
        hub.handle(ANYONE, m.Pull(known.watermark, 100, "r1", known.schema))
        state: Any = hub.handle(ANYONE, m.StateQuery("r1"))
        assert isinstance(state, m.StateAnswer)
        return state

    first = pull().last_pull
    assert first is not None
    with outside(database) as connection:
        connection.execute("INSERT INTO item VALUES (1, 'x')")
    noted = pull()
    assert noted.last_pull is not None
    assert pull().last_pull == noted.last_pull


def test_all_servers_of_a_hub_seal_with_the_same_secret(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'centre.db'}"
    with sqlite3.connect(tmp_path / "centre.db") as centre:
        centre.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    with Hub(url) as one, Hub(url) as two:
        one.init()
        known: Any = one.handle(ANYONE, m.Register("r1"))
        told: Any = two.handle(ANYONE, m.Pull(known.watermark, 100, "r1", known.schema))
        assert isinstance(told, m.Changes)
    with sqlite3.connect(tmp_path / "other.db") as centre:
        centre.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    with Hub(f"sqlite:///{tmp_path / 'other.db'}") as other:
        other.init()
        other.handle(ANYONE, m.Register("r1"))
        with pytest.raises(WatermarkRefused):
            other.handle(ANYONE, m.Pull(known.watermark, 100, "r1", known.schema))
