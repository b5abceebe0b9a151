"""What the hub says of a replica."""

from __future__ import annotations

from typing import Any

from syncline import Hub
from syncline.databases.sqlite import open_database
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m


def test_a_pull_that_brings_something_is_noted_with_its_time() -> None:
    database = open_database("sqlite:///:memory:")
    with database.outside() as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    hub = Hub(database)
    hub.init()
    known: Any = hub.handle(ANYONE, m.Register("r1"))

    def pull() -> m.StateAnswer:
        hub.handle(ANYONE, m.Pull(known.watermark, 100, "r1", known.schema))
        state: Any = hub.handle(ANYONE, m.StateQuery("r1"))
        assert isinstance(state, m.StateAnswer)
        return state

    assert pull().last_pull is None
    with database.outside() as connection:
        connection.execute("INSERT INTO item VALUES (1, 'x')")
    noted = pull()
    assert noted.last_pull is not None
    assert pull().last_pull == noted.last_pull
