"""What is written over a decided edit while a file that was put back finds its place again (law L2)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import syncline
from syncline.errors import TransportError
from syncline.protocol.messages import Request, Response
from tests.support.application import sql


@pytest.mark.parametrize("column", ["v", "w"])
@pytest.mark.parametrize("first", range(1, 9))
@pytest.mark.parametrize("second", range(1, 9))
def test_l2_what_a_pending_edit_hid_was_not_seen_by_what_is_written_over_it(
    tmp_path: Path, first: int, second: int, column: str
) -> None:
    """The file is put back, its recovery is cut off behind the request `first` with an edit pending, and
    saved so. The edit is decided, another device's follows. The saved file is put in place, its recovery is
    cut off behind the request `second`, and then the application writes."""
    centre, a, b, saved = (tmp_path / name for name in ("centre.db", "a.db", "b.db", "saved.db"))
    sql(centre, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT)", "INSERT INTO t VALUES (1, '', '')")
    policies = {"v": "replica_wins", "w": "replica_wins"}
    with syncline.Hub(f"sqlite:///{centre}", {"t": syncline.Table(merge=policies)}) as hub:
        hub.init()
        for file in (a, b):
            syncline.clone(hub, file).close()
        shutil.copy(a, saved)
        sql(a, "UPDATE t SET w = 'before'")
        sync(hub, a)
        shutil.copy(saved, a)
        sql(a, "UPDATE t SET v = 'one'")
        cut_off(hub, a, first)
        shutil.copy(a, saved)
        sync(hub, a)
        sql(b, "UPDATE t SET v = 'two', w = 'two'")
        sync(hub, b)
        shutil.copy(saved, a)
        cut_off(hub, a, second)
        hidden = sql(a, f"SELECT {column} FROM t") != [("two",)]
        sql(a, f"UPDATE t SET {column} = 'three'")
        for file in (a, b, a):
            sync(hub, file)
        assert sql(centre, f"SELECT {column} FROM t") == sql(a, f"SELECT {column} FROM t") == [("three",)]
        found = [(one.sent, one.hub) for one in hub.conflicts()]
        assert (("three", "two") in found) is hidden


def cut_off(hub: syncline.Hub, file: Path, requests: int) -> None:
    """Sync; the answer to one of the requests is lost, if there are so many."""
    answer = hub.handle
    hub.handle = Cut(hub, requests)  # type: ignore[method-assign]
    try:
        sync(hub, file)
    except TransportError as error:
        assert "the answer was lost" in error.detail
    finally:
        hub.handle = answer  # type: ignore[method-assign]


class Cut:
    """The hub's `handle`, of which the answer to one request is lost."""

    def __init__(self, hub: syncline.Hub, cut: int) -> None:
        self.answer, self.left = hub.handle, cut

    def __call__(self, actor: syncline.Actor, request: Request) -> Response:
        answer = self.answer(actor, request)
        self.left -= 1
        if not self.left:
            raise TransportError("the answer was lost")
        return answer


def sync(hub: syncline.Hub, file: Path) -> None:
    with syncline.connect(file, hub) as replica:
        replica.sync()
