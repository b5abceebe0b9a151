"""A centre whose tables are altered while a device fills its file again: the sync begins anew by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import syncline
from syncline.model.actor import Actor
from syncline.protocol.messages import Request, Response, Snapshot
from tests.support.application import sql

OTHER = "CREATE TABLE other (id TEXT NOT NULL PRIMARY KEY)"


class Altering:
    """A hub whose centre gets a column right before, or after, it answers a request for rows."""

    def __init__(self, hub: syncline.Hub, centre: Path, times: int, *, before: bool) -> None:
        self._hub, self._centre, self._left, self._before = hub, centre, times, before

    def handle(self, actor: Actor, request: Request) -> Response:
        alters = isinstance(request, Snapshot) and self._left > 0
        if alters and self._before:
            self._alter()
        answer = self._hub.handle(actor, request)
        if alters and not self._before:
            self._alter()
        return answer

    def _alter(self) -> None:
        sql(self._centre, f"ALTER TABLE visit ADD COLUMN c{self._left} TEXT DEFAULT 'given'")
        self._hub.look()
        self._left -= 1


@pytest.mark.parametrize("before", [True, False])
def test_l12_a_filling_begins_anew_when_the_centre_is_altered_again_and_again(
    tmp_path: Path, before: bool
) -> None:
    centre, device = tmp_path / "centre.db", tmp_path / "device.db"
    sql(centre, "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, note TEXT)", OTHER)
    sql(centre, "INSERT INTO visit VALUES ('a', 'x')")
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        syncline.clone(hub, device).close()
        sql(device, "UPDATE visit SET note = 'offline' WHERE id = 'a'")
        sql(centre, "DROP TABLE other", OTHER)
        line = Altering(hub, centre, 3, before=before)
        with syncline.connect(device, hub=line) as replica:  # type: ignore[arg-type]
            report = replica.sync()
            assert report.recovered is not None and report.recovered.reason == "lost"
            assert replica.sync().pending == 0 and replica.verify().equal
    assert sql(device, "SELECT * FROM visit") == [("a", "offline", "given", "given", "given")]
