"""How many edits waited on devices when they last synced, as `init` says it before a breaking change."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import syncline
from syncline.hub.clients import every_client


def test_what_a_sync_has_sent_waits_no_longer(tmp_path: Path) -> None:
    centre, file = tmp_path / "centre.db", tmp_path / "a.db"
    with sqlite3.connect(centre) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, v INTEGER)")
    connection.close()
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        with syncline.clone(hub, file) as replica, sqlite3.connect(file) as app:
            app.execute("INSERT INTO item VALUES (1, 1), (2, 2), (3, 3)")
            app.commit()
            replica.sync()
            assert waiting(hub) == [0]
            app.execute("UPDATE item SET v = 9 WHERE id < 3")
            app.commit()
            replica.pull()
            assert waiting(hub) == [2]
            replica.sync()
            assert waiting(hub) == [0]
        app.close()


def waiting(hub: syncline.Hub) -> list[int]:
    """Of every client."""
    with hub.database.ledger() as ledger:
        return [client.pending for client in every_client(ledger)]
