"""A push that cannot succeed has a way out on the device (L2, L3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import BodyRefused, DatabaseError, SynclineError
from syncline.model.actor import Actor
from syncline.protocol.messages import Push, Request, Response
from tests.support.application import sql


class Ailing(syncline.Hub):
    """A hub whose central database fails while it handles a push: before it, or after it was committed."""

    ailing = ""
    error: type[SynclineError] = DatabaseError

    def handle(self, actor: Actor, request: Request) -> Response:
        if isinstance(request, Push) and self.ailing == "before":
            raise self.error("it always does")
        answer = super().handle(actor, request)
        if isinstance(request, Push) and self.ailing == "after":
            raise DatabaseError("the answer is lost")
        return answer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Ailing]:
    sql(
        tmp_path / "central.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
        "INSERT INTO t VALUES (1, 1)",
    )
    tables = {"t": syncline.Table({"n": "sum"})}
    with Ailing(f"sqlite:///{tmp_path}/central.db", tables) as made:
        made.init()
        yield made


@pytest.mark.parametrize("error", [DatabaseError, BodyRefused])
def test_a_pull_works_while_the_push_fails(hub: Ailing, tmp_path: Path, error: type[SynclineError]) -> None:
    """Also where a proxy takes no request of its size."""
    hub.error = error
    with syncline.clone(hub, str(tmp_path / "d.db")) as device:
        sql(device.file, "UPDATE t SET n = 6")
        hub.ailing = "before"
        with pytest.raises(SynclineError, match="it always does"):
            device.sync()
        sql(tmp_path / "central.db", "INSERT INTO t VALUES (2, 2)")
        report = device.pull()
        assert (report.written, report.push_failed) == (1, f"it always does [{error.code}]")
        assert sql(device.file, "SELECT * FROM t") == [(1, 6), (2, 2)]


def test_a_push_is_taken_apart_and_its_edits_go_with_the_next(hub: Ailing, tmp_path: Path) -> None:
    with syncline.clone(hub, str(tmp_path / "d.db")) as device:
        assert device.reopen() == syncline.Reopened(0, False)
        sql(device.file, "UPDATE t SET n = n + 5", "INSERT INTO t VALUES (7, 7)")
        hub.ailing = "before"
        with pytest.raises(SynclineError):
            device.push()
        assert device.reopen() == syncline.Reopened(2, False)
        assert device.status().pending == {"t": 2}
        sql(device.file, "DELETE FROM t WHERE id = 7")
        hub.ailing = ""
        assert device.sync().push.sent == 2
        assert sql(tmp_path / "central.db", "SELECT * FROM t") == [(1, 6)]
        assert device.verify().equal


def test_l3_a_push_that_has_arrived_is_left_alone_and_counts_once(hub: Ailing, tmp_path: Path) -> None:
    with syncline.clone(hub, str(tmp_path / "d.db")) as device:
        sql(device.file, "UPDATE t SET n = n + 5")
        hub.ailing = "after"
        with pytest.raises(SynclineError):
            device.push()
        assert device.reopen() == syncline.Reopened(0, True)
        hub.ailing = ""
        device.sync()
        assert (
            sql(tmp_path / "central.db", "SELECT n FROM t") == sql(device.file, "SELECT n FROM t") == [(6,)]
        )


def test_l3_a_push_that_arrives_after_it_was_taken_apart_counts_once(hub: Ailing, tmp_path: Path) -> None:
    with syncline.clone(hub, str(tmp_path / "d.db")) as device:
        sql(device.file, "UPDATE t SET n = n + 5")
        late: list[tuple[Actor, Request]] = []
        handle = hub.handle

        def delayed(actor: Actor, request: Request) -> Response:
            if isinstance(request, Push) and not late:
                late.append((actor, request))
                raise DatabaseError("on its way")
            return handle(actor, request)

        hub.handle = delayed  # type: ignore[method-assign]
        with pytest.raises(SynclineError):
            device.push()
        device.reopen()
        handle(*late[0])
        sql(device.file, "UPDATE t SET n = n + 1")
        device.sync()
        assert sql(tmp_path / "central.db", "SELECT n FROM t") == [(7,)]
        assert sql(device.file, "SELECT n FROM t") == [(7,)]
