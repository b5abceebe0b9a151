"""Files and centres that were copied or put back: every edit counts once, all end equal (L2, L3, L5)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import ReplicaRevoked, TransportError
from syncline.protocol.messages import Push, Reconcile, Request, Response, Snapshot
from syncline.server import create_app, serving
from syncline.transports.local import LocalTransport

RULES = {"t": syncline.Table(merge={"n": "sum"})}
DDL = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0, v TEXT CHECK (v <> 'bad'))"


def sql(file: Path, *statements: str, ahead: float = 0) -> list[tuple[Any, ...]]:
    """Run statements as an application whose clock is so many seconds ahead."""
    connection = sqlite3.connect(file, isolation_level=None)
    if ahead:
        connection.create_function("julianday", 1, lambda _: 2461000.5 + ahead / 86400)
    try:
        return [connection.execute(text).fetchall() for text in statements][-1]
    finally:
        connection.close()


class CutOff(LocalTransport):
    """A line that is dead as soon as a file begins to fill itself again, or asks what this says."""

    def __init__(self, hub: syncline.Hub, at: type[Request] = Snapshot) -> None:
        super().__init__(hub)
        self.at = at

    def send(self, request: Request) -> Response:
        if isinstance(request, self.at):
            raise TransportError("the line is dead")
        return super().send(request)


def copy(source: Path, target: Path) -> None:
    """A backup of a file, or a file put back from one."""
    for side in ("", "-wal", "-shm"):
        target.with_name(target.name + side).unlink(missing_ok=True)
    with sqlite3.connect(source) as one, sqlite3.connect(target) as other:
        one.backup(other)
    one.close()
    other.close()


class World:
    """A centre with a counter and a text in a row, and device files of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.centre, self.rules = folder, folder / "centre.db", RULES
        sql(self.centre, DDL, "INSERT INTO t VALUES (1, 0, 'x')")
        self.open()
        self.hub.init()

    def open(self) -> None:
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", self.rules)

    def rule(self, rules: dict[str, syncline.Table]) -> None:
        """The configuration is changed, and given to `init`."""
        self.hub.close()
        self.rules = rules
        self.open()
        self.hub.init()

    def restore(self, backup: Path) -> None:
        self.hub.close()
        copy(backup, self.centre)
        self.open()

    def device(self, name: str) -> Path:
        syncline.clone(self.hub, self.folder / name).close()
        return self.folder / name

    def sync(self, file: Path) -> syncline.SyncReport:
        with syncline.connect(file, self.hub) as replica:
            return replica.sync()

    def id(self, file: Path) -> str | None:
        with syncline.connect(file, self.hub) as replica:
            return replica.id

    def agree(self, *files: Path) -> list[tuple[Any, ...]]:
        """What the centre has; the files have it, too, and nothing is pending in them."""
        rows = sql(self.centre, "SELECT * FROM t ORDER BY id")
        for file in files:
            assert sql(file, "SELECT * FROM t ORDER BY id") == rows
            assert sql(file, "SELECT count(*) FROM _sync_log_0") == [(0,)]
        return rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


def test_a_file_that_was_put_back_with_nothing_pending_fetches_what_it_did(world: World) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"
    copy(a, backup)
    sql(a, "UPDATE t SET n = n + 1, v = 'edited'", "INSERT INTO t VALUES (2, 0, 'new')")
    world.sync(a)
    before = world.id(a)
    copy(backup, a)
    report = world.sync(a)
    assert report.recovered is not None
    assert report.recovered.reason == "copied"
    assert world.agree(a) == [(1, 1, "edited"), (2, 0, "new")]
    assert world.id(a) != before
    assert world.sync(a).recovered is None


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("pushes", [1, 2])
def test_l3_what_was_pending_and_had_been_pushed_counts_once(world: World, more: bool, pushes: int) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 5", "INSERT INTO t VALUES (2, 10, 'two')")
    copy(a, backup)
    world.sync(a)
    for _ in range(1, pushes):
        sql(a, "UPDATE t SET n = n + 100")
        world.sync(a)
    copy(backup, a)
    if more:
        sql(a, "UPDATE t SET n = n + 1", "UPDATE t SET v = 'more' WHERE id = 2")
    world.sync(a)
    added = 100 * (pushes - 1) + more
    assert world.agree(a) == [(1, 5 + added, "x"), (2, 10 + added, "more" if more else "two")]


def test_l3_of_two_copies_that_live_on_each_counts_its_own(world: World) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    sql(a, "UPDATE t SET n = n + 1")
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 10")
    sql(twin, "UPDATE t SET n = n + 100")
    for file in (a, twin, a, twin):
        world.sync(file)
    assert world.agree(a, twin)[0][1] == 111
    assert world.id(a) != world.id(twin)
    for file in (a, twin):
        sql(file, "UPDATE t SET n = n + 1000")
        assert world.sync(file).recovered is None
    world.sync(a)
    assert world.agree(a, twin)[0][1] == 2111


def test_l3_three_copies_with_the_same_edit_pending_push_it_once(world: World) -> None:
    a, b, c = world.device("a.db"), world.folder / "b.db", world.folder / "c.db"
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    copy(a, b)
    copy(a, c)
    sql(a, "UPDATE t SET n = n + 10")  # a goes on, so that b and c have to take ids of their own
    world.sync(a)
    sql(b, "UPDATE t SET n = n + 100")
    copy(b, c)
    for file in (b, c, b, c, a):
        world.sync(file)
    assert world.agree(a, b, c)[0][1] == 111


def test_l2_what_was_rejected_is_kept_with_its_reason_by_the_file_that_was_put_back(world: World) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"
    sql(a, "PRAGMA ignore_check_constraints = ON", "UPDATE t SET v = 'bad', n = n + 5")
    copy(a, backup)
    assert len(world.sync(a).push.rejected) == 1
    copy(backup, a)
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        (kept,) = replica.rejected()
    assert (kept.table, kept.key, kept.values, kept.base) == (
        *("t", (1,)),
        *({"n": 5, "v": "bad"}, {"n": 0, "v": "x"}),
    )
    assert kept.code == "check_violation"
    assert world.agree(a) == [(1, 0, "x")]


@pytest.mark.parametrize("policy", ["lww", "review"])
@pytest.mark.parametrize("is_copy", [False, True])
def test_l2_a_file_without_a_verdict_hears_of_the_conflicts_of_its_edits(
    world: World, policy: str, is_copy: bool
) -> None:
    """A file that was put back, or a copy of it, asks what became of them: what lost is kept in it, too."""
    world.rule({"t": syncline.Table(merge={"n": "sum", "v": policy})})
    a, b, backup = world.device("a.db"), world.device("b.db"), world.folder / "backup.db"
    sql(a, "UPDATE t SET v = 'of a'")
    time.sleep(0.02)
    sql(b, "UPDATE t SET v = 'of b'")  # the later one
    copy(a, backup)
    world.sync(b)
    world.sync(a)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        first = replica.conflicts()
    if not is_copy:
        copy(backup, a)
    file = backup if is_copy else a
    assert world.sync(file).recovered is not None
    with syncline.connect(file, world.hub) as replica:
        (kept,) = replica.conflicts()
        assert [kept] == first
        assert (kept.base, kept.sent, kept.hub) == ("x", "of a", "of b")
        assert kept.outcome == ("open" if policy == "review" else "hub")
        if policy == "review":
            replica.resolve(kept.id, "sent")
            replica.sync()
            assert replica.conflicts(open_only=True) == []
    world.sync(b)
    assert world.agree(file, b) == [(1, 1, "of a" if policy == "review" else "of b")]


def test_l2_a_file_put_back_with_nothing_pending_hears_of_the_conflicts_of_what_it_had_pushed(
    world: World,
) -> None:
    world.rule({"t": syncline.Table(merge={"n": "sum", "v": "hub_wins"})})
    a, b, backup = world.device("a.db"), world.device("b.db"), world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    copy(a, backup)
    sql(b, "UPDATE t SET v = 'of b'")
    world.sync(b)
    sql(a, "UPDATE t SET v = 'of a'")
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        first = replica.conflicts()
        assert [note.sent for note in first] == ["of a"]
    copy(backup, a)
    assert world.sync(a).recovered is not None
    with syncline.connect(a, world.hub) as replica:
        assert replica.conflicts() == first
    assert world.agree(a) == [(1, 1, "of b")]


def test_an_open_conflict_of_a_former_id_can_be_decided_and_is_heard_of(world: World) -> None:
    world.rule({"t": syncline.Table(merge={"v": "review"})})
    sql(world.centre, "INSERT INTO t VALUES (2, 0, 'y')")
    a, b, backup = world.device("a.db"), world.device("b.db"), world.folder / "backup.db"
    sql(a, "UPDATE t SET v = 'of a'")
    sql(b, "UPDATE t SET v = 'of b'")
    world.sync(b)
    world.sync(a)
    copy(a, backup)
    sql(a, "UPDATE t SET n = 1")
    world.sync(a)
    copy(backup, a)
    assert world.sync(a).recovered is not None
    with syncline.connect(a, world.hub) as replica:
        one, two = replica.conflicts(open_only=True)
        world.hub.resolve(one.id, "sent")
        replica.resolve(two.id, "sent")
        replica.sync()
        assert [note.outcome for note in replica.conflicts()] == ["resolved", "resolved"]
    assert world.agree(a) == [(1, 1, "of a"), (2, 1, "of a")]


@pytest.mark.parametrize("is_locked_out", [False, True])
def test_l10_conflicts_that_were_noted_under_an_id_of_a_copy(world: World, is_locked_out: bool) -> None:
    """The copy has brought an edit that is in this file, too, under an id that it alone has had."""
    world.rule({"t": syncline.Table(merge={"v": "review"})})
    a, b, first, twin = (world.folder / name for name in ("a.db", "b.db", "first.db", "twin.db"))
    world.device("a.db"), world.device("b.db")
    copy(a, first)
    sql(first, "UPDATE t SET n = 1")
    world.sync(first)
    sql(a, "UPDATE t SET v = 'of a'")
    copy(a, twin)
    sql(b, "UPDATE t SET v = 'of b'")
    world.sync(b)
    assert world.sync(twin).recovered is not None
    if is_locked_out:
        other = world.id(twin)
        assert other is not None
        world.hub.revoke(other)
    assert world.sync(a).recovered is not None
    with syncline.connect(a, world.hub) as replica:
        assert [note.sent for note in replica.conflicts()] == ([] if is_locked_out else ["of a"])


def test_l2_an_edit_that_is_too_old_to_tell_is_set_aside(world: World) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 5")
    sql(a, "UPDATE _sync_log_0 SET at = at - 30")
    copy(a, backup)
    world.sync(a)
    sql(world.centre, "DELETE FROM _sync_hub_stamps")  # forgotten since
    copy(backup, a)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    assert world.agree(a)[0][1] == 6
    with syncline.connect(a, world.hub) as replica:
        (kept,) = replica.rejected()
        assert (kept.code, kept.values, kept.base) == ("edit_untold", {"n": 5}, {"n": 0})
        replica.retry(kept.id)
        replica.sync()
    assert world.agree(a)[0][1] == 11


def test_an_ordinary_device_that_was_long_away_keeps_its_id_and_its_edits(world: World) -> None:
    a = world.device("a.db")
    sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    sql(a, "UPDATE t SET n = n + 1")
    sql(a, "UPDATE _sync_log_0 SET at = at - 300")
    sql(world.centre, "UPDATE t SET v = 'meanwhile'", "DELETE FROM _sync_hub_stamps")
    sql(world.centre, "UPDATE _sync_hub SET floor = 2", "DELETE FROM _sync_hub_log WHERE seq < 2")
    before = world.id(a)
    report = world.sync(a)
    assert report.recovered is not None
    assert report.recovered.reason == "pruned"
    assert world.agree(a) == [(1, 6, "meanwhile")]
    assert world.id(a) == before


def test_l3_a_device_whose_record_is_gone_counts_once(world: World) -> None:
    a = world.device("a.db")
    sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    sql(world.centre, "DELETE FROM _sync_hub_clients")
    sql(a, "UPDATE t SET n = n + 1")
    report = world.sync(a)
    assert report.recovered is not None
    assert (report.recovered.reason, report.recovered.offered) == ("unknown", 0)
    assert world.agree(a)[0][1] == 6


@pytest.mark.parametrize("ahead", [0, 2, 100_000])
def test_a_centre_that_went_back_is_noticed_whatever_clocks_said(world: World, ahead: float) -> None:
    """Directly written entries of both pasts have one number, and may have one clock."""
    a, b, backup = world.device("a.db"), world.device("b.db"), world.folder / "backup.db"
    sql(b, "UPDATE t SET v = 'from b'", ahead=ahead)
    world.sync(b)
    world.sync(a)
    copy(world.centre, backup)
    sql(world.centre, "UPDATE t SET n = 1000")
    world.sync(a)
    world.restore(backup)
    sql(world.centre, "INSERT INTO t VALUES (3, 0, 'after')")
    report = world.sync(a)
    assert report.recovered is not None
    assert report.recovered.reason == "restored"
    world.agree(a)


def test_the_answer_to_a_repeat_is_remembered_when_the_centre_goes_back_behind_it(world: World) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"

    class Lossy(LocalTransport):
        def send(self, request: Request) -> Response:
            answer = super().send(request)
            if isinstance(request, Push):
                raise TransportError("the answer was lost")
            return answer

    sql(a, "UPDATE t SET n = n + 1")
    with syncline.connect(a, world.hub) as replica, pytest.raises(TransportError):
        replica._open_transport = lambda: Lossy(world.hub)
        replica.push()
    copy(world.centre, backup)
    sql(world.centre, "UPDATE t SET n = n + 1000, v = 'lost'")
    with syncline.connect(a, world.hub) as replica:
        replica.push()  # the repeat is answered with the row as it is now
    world.restore(backup)
    sql(a, "INSERT INTO t VALUES (2, 0, 'z')")
    report = world.sync(a)
    assert report.recovered is not None
    assert report.recovered.reason == "restored"
    assert world.agree(a) == [(1, 1, "x"), (2, 0, "z")]


def test_l2_a_push_of_which_nothing_was_logged_is_missed_when_the_centre_has_lost_it(world: World) -> None:
    """Its answer has a position of its own, though the log is as long as before."""
    world.rule({"t": syncline.Table(merge={"v": "hub_wins"})})
    a, b, backup = world.device("a.db"), world.device("b.db"), world.folder / "backup.db"
    sql(b, "UPDATE t SET v = 'of b'")
    world.sync(b)
    sql(a, "UPDATE t SET v = 'of a'")
    copy(world.centre, backup)
    world.sync(a)
    assert [note.sent for note in world.hub.conflicts()] == ["of a"]
    world.restore(backup)
    report = world.sync(a)
    assert report.recovered is not None
    assert (report.recovered.reason, report.recovered.offered) == ("restored", 1)
    assert [note.sent for note in world.hub.conflicts()] == ["of a"]
    assert world.agree(a)[0] == (1, 0, "of b")


def test_l2_what_a_copy_had_brought_is_offered_again_when_the_centre_has_lost_it(world: World) -> None:
    """The file has heard that it is in the centre, and is the only one that is left of the two."""
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 1, v = 'one'", "INSERT INTO t VALUES (2, 5, 'two')")
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 100")
    copy(world.centre, backup)
    world.sync(twin)
    with syncline.connect(a, world.hub) as replica, pytest.raises(TransportError):
        replica._open_transport = lambda: CutOff(world.hub)
        replica.sync()
    world.restore(backup)
    world.sync(a)
    assert world.agree(a) == [(1, 101, "one"), (2, 105, "two")]
    world.sync(twin)
    assert world.agree(a, twin) == [(1, 101, "one"), (2, 105, "two")]


def test_l2_a_lost_push_of_which_a_copy_has_brought_the_first_edit_is_kept(world: World) -> None:
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1")
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 10")
    world.sync(a)
    world.restore(backup)
    world.sync(twin)
    world.sync(a)
    assert world.agree(a, twin)[0][1] == 1
    with syncline.connect(a, world.hub) as replica:
        assert [(edit.code, edit.values) for edit in replica.rejected()] == [("edit_untold", {"n": 11})]
        assert "has brought a part of it again" in replica.rejected()[0].detail


def test_l2_a_push_whose_place_is_pruned_is_offered_again_if_the_centre_had_lost_it(world: World) -> None:
    a, backup = world.device("a.db"), world.folder / "backup.db"
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    world.restore(backup)
    sql(world.centre, "UPDATE t SET v = 'one'", "UPDATE t SET v = 'two'", "UPDATE t SET v = 'three'")
    sql(world.centre, "UPDATE _sync_hub SET floor = (SELECT max(seq) FROM _sync_hub_log)")
    sql(world.centre, "DELETE FROM _sync_hub_log WHERE seq < (SELECT floor FROM _sync_hub)")
    world.sync(a)
    assert world.agree(a)[0] == (1, 1, "three")


def test_l2_of_a_row_of_which_a_later_push_was_rejected_that_one_is_kept(world: World) -> None:
    a, twin, late = world.device("a.db"), world.folder / "twin.db", world.folder / "late.db"
    sql(a, "UPDATE t SET n = n + 1")
    copy(a, twin)
    sql(a, "PRAGMA ignore_check_constraints = ON", "UPDATE t SET v = 'bad'")
    copy(a, late)
    for file in (twin, a, late):
        world.sync(file)
    assert world.agree(a, twin, late) == [(1, 1, "x")]
    for file in (a, late):
        with syncline.connect(file, world.hub) as replica:
            assert [edit.values for edit in replica.rejected()] == [{"v": "bad"}]


def test_l2_a_lost_push_that_was_rejected_when_it_was_offered_is_kept_by_the_file_put_back(
    world: World,
) -> None:
    a, backup, before = world.device("a.db"), world.folder / "backup.db", world.folder / "before.db"
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    copy(a, before)
    world.restore(backup)
    sql(world.centre, "CREATE TRIGGER shut BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'shut'); END")
    world.sync(a)
    copy(before, a)
    for _ in range(2):
        world.sync(a)
        assert world.agree(a) == [(1, 0, "x")]
        with syncline.connect(a, world.hub) as replica:
            assert [edit.values for edit in replica.rejected()] == [{"n": 1}]


def test_l2_a_push_that_is_offered_again_does_not_vouch_for_what_was_rejected_of_it(world: World) -> None:
    a, before, backup = world.device("a.db"), world.folder / "before.db", world.folder / "backup.db"
    sql(world.centre, "INSERT INTO t VALUES (2, 0, 'two')")
    world.sync(a)
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1 WHERE id = 1", "UPDATE t SET n = n + 10 WHERE id = 2")
    copy(a, before)
    sql(world.centre, SHUT.replace(" BEGIN", " WHEN NEW.id = 2 BEGIN"))
    world.sync(a)
    world.restore(backup)
    world.sync(a)
    copy(before, a)  # what was rejected is pending in it
    for _ in range(2):
        world.sync(a)
    assert world.agree(a) == [(1, 1, "x"), (2, 0, "two")]
    retry(world, a)
    world.sync(a)
    assert world.agree(a) == [(1, 1, "x"), (2, 10, "two")]


SHUT = "CREATE TRIGGER shut BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'shut'); END"


def rejected_and_copied(world: World) -> tuple[Path, Path, Path]:
    """A file whose edit was rejected, its copy in which that is pending, and the centre before all this."""
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 5")
    copy(a, twin)
    copy(world.centre, backup)
    sql(world.centre, SHUT)
    world.sync(a)
    return a, twin, backup


def gate(world: World) -> None:
    """From now on the rows whose ids are in `gate` take no update."""
    sql(world.centre, "CREATE TABLE gate (id INTEGER PRIMARY KEY)")
    sql(world.centre, SHUT.replace(" BEGIN", " WHEN NEW.id IN (SELECT id FROM gate) BEGIN"))


def retry(world: World, file: Path, *, new_key: bool = False) -> None:
    with syncline.connect(file, world.hub) as replica:
        (kept,) = replica.rejected()
        replica.retry(kept.id, new_key=new_key)


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("is_put_back", [False, True])
@pytest.mark.parametrize("is_synced", [False, True])
def test_l3_a_retry_that_is_made_once_more_counts_once(
    world: World, is_copy: bool, is_put_back: bool, is_synced: bool
) -> None:
    """By the file that was put back to before the first, or by a copy of it, which may have other ids."""
    a, before = world.device("a.db"), world.folder / "before.db"
    if is_put_back:  # before it all
        copy(a, before)
        sql(a, "UPDATE t SET v = 'one'")
        world.sync(a)
        copy(before, a)
        world.sync(a)
    sql(world.centre, SHUT)
    sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    copy(a, before)
    sql(world.centre, "DROP TRIGGER shut")
    retry(world, a)
    world.sync(a)
    if not is_copy:
        copy(before, a)
    again = before if is_copy else a
    if is_synced:  # it has another id by then, and has gone on under it
        for text in ("more", "yet more"):
            world.sync(again)
            sql(world.centre, f"UPDATE t SET v = '{text}'")
        world.sync(again)
    retry(world, again)
    sql(again, "UPDATE t SET n = n + 100")
    for _ in range(2):
        for file in (again, a):
            world.sync(file)
    assert world.agree(again, a)[0][1] == 105
    with syncline.connect(again, world.hub) as replica:
        assert replica.rejected() == []


def codes(world: World, *files: Path) -> list[str]:
    """Why edits are kept in these files."""
    found: list[str] = []
    for file in files:
        with syncline.connect(file, world.hub) as replica:
            found += [edit.code for edit in replica.rejected()]
    return found


@pytest.mark.parametrize("is_retried", [False, True])
@pytest.mark.parametrize("is_copy_first", [False, True])
def test_l3_an_edit_that_was_rejected_in_a_lost_past_and_is_pending_in_a_copy_counts_once(
    world: World, is_retried: bool, is_copy_first: bool
) -> None:
    """The centre does not know any more that it was rejected; the file does, and has retried it then, or does
    so at last."""
    a, twin, backup = rejected_and_copied(world)
    if is_retried:
        retry(world, a)
    world.restore(backup)
    for file in (twin, a) if is_copy_first else (a, twin):
        world.sync(file)
    if is_copy_first:
        assert codes(world, a, twin) == ([] if is_retried else ["edit_brought"])
    else:
        assert codes(world, twin) == ["rejected_by_trigger"], "it gets the same verdict"
        retry(world, twin)
    if not is_retried:
        retry(world, a)
    for _ in range(2):
        world.sync(a)
        world.sync(twin)
    assert world.agree(a, twin)[0][1] == 5
    assert codes(world, a, twin) == []


@pytest.mark.parametrize("refused", [(1, 2), (2,)])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("is_retried", [False, True])
def test_l3_an_edit_that_was_rejected_when_it_was_offered_again_with_others_counts_once(
    world: World, refused: tuple[int, ...], times: int, is_retried: bool
) -> None:
    """The centre is put back once more, and a copy has the edit pending."""
    gate(world)
    sql(world.centre, "INSERT INTO t VALUES (2, 0, 'two'), (3, 0, 'three')")
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    for _ in range(times):
        sql(a, "UPDATE t SET n = n + id")
    copy(a, twin)
    copy(world.centre, backup)
    world.sync(a)
    world.restore(backup)
    for number in (*refused, 3):
        sql(world.centre, f"INSERT INTO gate VALUES ({number})")
    world.sync(a)
    assert codes(world, a) == ["rejected_by_trigger"] * (len(refused) + 1)
    with syncline.connect(a, world.hub) as replica:
        replica.discard(next(edit.id for edit in replica.rejected() if edit.key == (3,)))
        for edit in replica.rejected() if is_retried else ():
            replica.retry(edit.id)
    world.restore(backup)
    world.sync(a)
    world.sync(twin)
    for file in (a, twin):
        with syncline.connect(file, world.hub) as replica:
            for edit in replica.rejected():
                if edit.key != (3,):
                    replica.retry(edit.id)
    for _ in range(2):
        world.sync(a)
        world.sync(twin)
    assert world.agree(a, twin) == [(1, times, "x"), (2, 2 * times, "two"), (3, 0, "three")]
    assert codes(world, a, twin) == ["rejected_by_trigger"], "what was discarded is seen where it was pending"


@pytest.mark.parametrize("times", [1, 2])
def test_l2_of_a_lost_push_of_which_a_copy_has_brought_a_row_the_others_are_offered(
    world: World, times: int
) -> None:
    """Put back once more, the centre gets both again."""
    sql(world.centre, "INSERT INTO t VALUES (2, 0, 'two')")
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    copy(world.centre, backup)
    for _ in range(times):
        sql(a, "UPDATE t SET n = n + 1 WHERE id = 1")
    copy(a, twin)
    for _ in range(times):
        sql(a, "UPDATE t SET n = n + 10 WHERE id = 2")
    world.sync(a)
    world.restore(backup)
    world.sync(twin)
    world.sync(a)
    for file in (a, twin):
        world.sync(file)
    assert world.agree(a, twin) == [(1, times, "x"), (2, 10 * times, "two")]
    assert codes(world, a, twin) == []
    world.restore(backup)
    for file in (a, twin, a):
        world.sync(file)
    assert world.agree(a, twin) == [(1, times, "x"), (2, 10 * times, "two")]
    assert codes(world, a, twin) == []


@pytest.mark.parametrize("is_retried", [False, True])
def test_l3_of_one_push_in_two_copies_that_was_decided_in_two_pasts_the_edit_counts_once(
    world: World, is_retried: bool
) -> None:
    """Rejected in the lost past, accepted now; number and digests are the same, and the log that would tell
    is pruned."""
    gate(world)
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 5")
    with syncline.connect(a, world.hub) as replica:
        replica._open_transport = lambda: CutOff(world.hub, Push)
        with pytest.raises(TransportError):
            replica.sync()
    copy(a, twin)
    copy(world.centre, backup)
    sql(world.centre, "INSERT INTO gate VALUES (1)")
    world.sync(a)
    if is_retried:
        retry(world, a)
    world.restore(backup)
    world.sync(twin)
    sql(world.centre, "UPDATE t SET v = 'one'", "UPDATE t SET v = 'two'", "UPDATE t SET v = 'three'")
    sql(world.centre, "UPDATE _sync_hub SET floor = (SELECT max(seq) FROM _sync_hub_log)")
    sql(world.centre, "DELETE FROM _sync_hub_log WHERE seq < (SELECT floor FROM _sync_hub)")
    if not is_retried:
        retry(world, a)
    for _ in range(2):
        world.sync(a)
        world.sync(twin)
    assert world.agree(a, twin)[0][1] == 5
    assert codes(world, a, twin) == []


def test_l3_what_a_person_has_discarded_does_not_come_after_the_centre_was_put_back(world: World) -> None:
    a, twin, backup = rejected_and_copied(world)
    with syncline.connect(a, world.hub) as replica:
        replica.discard(replica.rejected()[0].id)
    world.restore(backup)
    world.sync(a)
    world.sync(twin)
    assert world.agree(a, twin)[0][1] == 0
    assert codes(world, a, twin) == ["rejected_by_trigger"]


@pytest.mark.parametrize("is_copy_first", [False, True])
def test_l3_of_two_retries_that_have_an_edit_in_common_it_counts_once(
    world: World, is_copy_first: bool
) -> None:
    """The copy was rejected the first edit of the row alone, the file both as one."""
    a, twin = world.device("a.db"), world.folder / "twin.db"
    sql(a, "UPDATE t SET n = n + 1")
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 10")
    sql(world.centre, SHUT)
    for file in (a, twin, a):
        world.sync(file)
    sql(world.centre, "DROP TRIGGER shut")
    first, second = (twin, a) if is_copy_first else (a, twin)
    retry(world, first)
    retry(world, second)
    for _ in range(2):
        world.sync(first)
        world.sync(second)
    assert world.agree(a, twin)[0][1] == (1 if is_copy_first else 11)
    assert codes(world, a, twin) == (["edit_untold"] if is_copy_first else [])


def test_l3_a_retry_that_a_copy_has_made_as_well_counts_once_when_the_hub_has_forgotten_it(
    world: World,
) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    sql(world.centre, SHUT)
    sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    copy(a, twin)
    sql(world.centre, "DROP TRIGGER shut")
    for text in ("one", "two"):  # both have other ids by then
        sql(a, f"UPDATE t SET v = '{text}'")
        sql(twin, f"UPDATE t SET v = '{text}'")
        world.sync(a)
        world.sync(twin)
    retry(world, twin)
    world.sync(twin)
    sql(world.centre, "DELETE FROM _sync_hub_stamps", "UPDATE _sync_hub_clients SET asked = 1")
    sql(a, "UPDATE _sync_rejected SET at = '2020-01-01T00:00:00.000Z'")
    retry(world, a)
    for _ in range(2):
        world.sync(a)
    assert world.agree(a, twin)[0][1] == 5
    assert codes(world, a) == ["edit_untold"]


def test_l3_a_retry_with_a_new_key_that_is_made_once_more_makes_one_row(world: World) -> None:
    a, before = world.device("a.db"), world.folder / "before.db"
    sql(world.centre, "INSERT INTO t VALUES (2, 7, 'theirs')")
    sql(a, "INSERT INTO t VALUES (2, 5, 'mine')")
    world.sync(a)
    copy(a, before)
    for _ in range(2):
        retry(world, a, new_key=True)
        world.sync(a)
        assert world.agree(a)[1:] == [(2, 7, "theirs"), (3, 5, "mine")]
        with syncline.connect(a, world.hub) as replica:
            assert replica.rejected() == []
        copy(before, a)


@pytest.mark.parametrize("is_heard", [False, True])
def test_l3_a_retry_with_a_new_key_counts_once_in_copies_that_retry_unheard_or_discard(
    world: World, is_heard: bool
) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    sql(world.centre, "INSERT INTO t VALUES (2, 7, 'theirs')")
    sql(a, "INSERT INTO t VALUES (2, 5, 'mine')")
    world.sync(a)
    copy(a, twin)
    retry(world, a, new_key=True)
    world.sync(a)
    if is_heard:
        world.sync(twin)
        assert codes(world, twin) == ["key_taken"]
        with syncline.connect(twin, world.hub) as replica:
            replica.discard(replica.rejected()[0].id)
    else:
        retry(world, twin, new_key=True)
    world.sync(twin)
    world.sync(a)
    assert world.agree(a, twin)[1:] == [(2, 7, "theirs"), (3, 5, "mine")]
    assert codes(world, a) == codes(world, twin) == []


def test_l3_a_new_id_that_the_centre_has_lost_is_made_known_with_the_first_one(world: World) -> None:
    a, b, twin, backup = (world.folder / name for name in ("a.db", "b.db", "twin.db", "backup.db"))
    world.device("a.db")
    copy(a, b)
    sql(b, "UPDATE t SET n = n + 1")
    copy(b, twin)
    sql(a, "UPDATE t SET n = n + 10")  # so that b has to take an id of its own
    world.sync(a)
    copy(world.centre, backup)

    with syncline.connect(b, world.hub) as replica, pytest.raises(TransportError):
        replica._open_transport = lambda: CutOff(world.hub)
        replica.sync()
    assert world.id(b) != world.id(a)
    world.restore(backup)
    for file in (b, twin, b):
        world.sync(file)
    assert world.agree(b, twin)[0][1] == 11


@pytest.mark.parametrize("is_put_back", [False, True])
def test_l3_a_file_that_was_copied_while_it_was_about_to_take_an_id_does_not_take_the_same_as_its_copy(
    world: World, is_put_back: bool
) -> None:
    a, b, backup = world.device("a.db"), world.folder / "b.db", world.folder / "backup.db"
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    world.restore(backup)
    with pytest.raises(TransportError), syncline.connect(a, world.hub) as replica:
        replica._open_transport = lambda: CutOff(world.hub, Reconcile)
        replica.sync()
    copy(a, b)
    sql(a, "UPDATE t SET v = 'a'")
    world.sync(a)
    if is_put_back:  # the copy is the file itself, put back
        copy(b, a)
        b = a
    sql(b, "UPDATE t SET n = n + 10")
    for file in (b, a, b, a):
        world.sync(file)
    assert world.agree(a, b) == [(1, 11, "a")]
    assert a == b or world.id(a) != world.id(b)


def test_l3_what_a_centre_lost_is_offered_once_by_copies(world: World) -> None:
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    copy(world.centre, backup)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    sql(a, "UPDATE t SET n = n + 10")
    world.sync(a)
    copy(a, twin)
    world.restore(backup)
    for file in (a, twin, a):
        world.sync(file)
    assert world.agree(a, twin)[0][1] == 11


NO_TEXT = "CAST(x'ff61' AS TEXT)"


@pytest.mark.parametrize("rows", [1, 501])
@pytest.mark.parametrize("is_brought", [False, True])
def test_l12_text_that_is_not_utf_8_in_a_row_of_the_push_in_flight_concerns_that_row_alone(
    world: World, rows: int, is_brought: bool
) -> None:
    """It was written after the push was frozen, of which nobody knows whether it arrived."""

    class Dead(LocalTransport):
        def send(self, request: Request) -> Response:
            if isinstance(request, Push):
                raise TransportError("the line is dead")
            return super().send(request)

    for number in range(2, rows + 1):
        sql(world.centre, f"INSERT INTO t VALUES ({number}, 0, 'x')")
    a, twin = world.device("a.db"), world.folder / "twin.db"
    sql(a, "UPDATE t SET n = 5")
    if is_brought:
        copy(a, twin)
        sql(twin, "INSERT INTO t VALUES (1000, 0, 'of the twin')")
        world.sync(twin)
    with syncline.connect(a, world.hub) as replica, pytest.raises(TransportError):
        replica._open_transport = lambda: Dead(world.hub)
        replica.sync()
    sql(a, f"UPDATE t SET v = {NO_TEXT} WHERE id = 1", "INSERT INTO t VALUES (2000, 0, 'of a')")
    for _ in range(2):
        world.sync(a)
    counted = {id: n for id, n, _ in sql(world.centre, "SELECT * FROM t")}
    assert counted.pop(2000) == 0 and counted.pop(1000, 0) == 0
    assert counted == dict.fromkeys(range(1, rows + 1), 5)
    with syncline.connect(a, world.hub) as replica:
        assert [(edit.key, edit.values) for edit in replica.rejected()] == [((1,), {"v": b"\xffa"})]
    world.agree(a)


@pytest.mark.parametrize("theirs", ["UPDATE t SET n = 7", "DELETE FROM t WHERE id = 1"])
@pytest.mark.parametrize("is_filled", [False, True])
def test_l12_news_of_a_row_with_text_that_is_not_utf_8_come_in(
    world: World, theirs: str, is_filled: bool
) -> None:
    """A pull sends nothing, so that nobody has refused the row yet; nor has who fills the file again."""
    a = world.device("a.db")
    sql(a, f"UPDATE t SET v = {NO_TEXT} WHERE id = 1")
    sql(world.centre, theirs, "INSERT INTO t VALUES (2, 0, 'news')")
    if is_filled:
        sql(world.centre, "UPDATE _sync_hub SET floor = (SELECT max(seq) FROM _sync_hub_log)")
        sql(world.centre, "DELETE FROM _sync_hub_log WHERE seq < (SELECT floor FROM _sync_hub)")
    with syncline.connect(a, world.hub) as replica:
        replica.pull()
    assert sql(a, "SELECT * FROM t WHERE id = 2") == [(2, 0, "news")]
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        assert [(edit.key, edit.values) for edit in replica.rejected()] == [((1,), {"v": b"\xffa"})]
    world.agree(a)


ASIDE = (
    "CREATE TABLE t2 (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t2 SELECT id, v FROM t", "DROP TABLE t",
    "ALTER TABLE t2 RENAME TO t",
)  # fmt: skip
"""A program makes the table anew without a column: it cannot take part."""
WHOLE = "ALTER TABLE t ADD COLUMN n INTEGER"


@pytest.fixture
def two(world: World) -> World:
    """A world with a table besides, whose edits tell two files apart."""
    world.hub.close()
    sql(world.centre, "CREATE TABLE a (id INTEGER PRIMARY KEY)")
    world.rules = RULES | {"a": syncline.Table()}
    world.open()
    world.hub.init()
    return world


@pytest.mark.parametrize("fate", ["rejected", "untold", "taken", "taken, and lost"])
def test_l2_an_edit_of_a_table_that_is_aside_while_the_file_reconciles_waits_for_it(
    two: World, fate: str
) -> None:
    f, twin, backup = two.device("f.db"), two.folder / "twin.db", two.folder / "backup.db"
    text = "bad" if fate == "rejected" else "mine"
    copy(two.centre, backup)
    sql(f, "PRAGMA ignore_check_constraints = ON", f"UPDATE t SET v = '{text}'")
    if fate == "untold":
        sql(f, "UPDATE _sync_log_0 SET at = at - 300", "UPDATE _sync_log_1 SET at = at - 300")
        copy(f, twin)
        sql(twin, "DELETE FROM _sync_log_0", "DELETE FROM _sync_log_1")
    else:
        copy(f, twin)
    sql(twin, "INSERT INTO a VALUES (1)")
    two.sync(twin)
    sql(f, "INSERT INTO a VALUES (2)", *ASIDE)
    report = two.sync(f)
    assert report.recovered is not None and report.unable
    if fate == "taken, and lost":
        two.restore(backup)
        two.sync(f)
    sql(f, WHOLE)
    for _ in range(2):
        two.sync(f)
    with syncline.connect(f, two.hub) as replica:
        kept = [(edit.code, edit.values) for edit in replica.rejected()]
    codes = {"rejected": ("check_violation", {"v": "bad"}), "untold": ("edit_untold", {"v": "mine"})}
    assert kept == ([codes[fate]] if fate in codes else [])
    assert sql(two.centre, "SELECT v FROM t") == [("x" if fate in codes else "mine",)]
    assert sorted(sql(f, "SELECT v, n FROM t")) == sql(two.centre, "SELECT v, n FROM t")
    assert sql(f, "SELECT count(*) FROM _sync_log_0, _sync_log_1") == [(0,)]


def test_l2_a_conflict_that_a_centre_has_lost_is_kept_though_another_one_has_its_number(world: World) -> None:
    """The centre was put back to before it knew the device, and counts its conflicts anew."""
    backup = world.folder / "backup.db"
    copy(world.centre, backup)
    a, b = world.device("a.db"), world.device("b.db")
    sql(a, "UPDATE t SET v = 'of a'")
    sql(b, "UPDATE t SET v = 'of b'", ahead=100_000)
    world.sync(b)
    world.sync(a)
    sql(b, "DELETE FROM t", ahead=200_000)
    world.sync(b)
    world.restore(backup)
    world.sync(b)
    report = world.sync(a)
    assert report.recovered is not None
    with syncline.connect(a, world.hub) as replica:
        known = {note.id: note.sent for note in replica.conflicts()}
    assert [note.sent for note in world.hub.conflicts()] == [known[1]] != ["of a"]
    assert known[-1] == "of a"


def test_l12_a_conflict_that_a_centre_has_lost_waits_for_nobody(world: World) -> None:
    """Put back to before it knew the device: what was noted of the lost past can be resolved no longer."""
    world.rule({"t": syncline.Table(merge={"v": "review"})})
    backup = world.folder / "backup.db"
    copy(world.centre, backup)
    a, b = world.device("a.db"), world.device("b.db")
    for file, text in ((a, "of a"), (b, "of b")):
        sql(file, f"UPDATE t SET v = '{text}'")
    world.sync(b)
    world.sync(a)
    world.restore(backup)
    sql(a, "INSERT INTO t (id) VALUES (2)")
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        assert [(note.id, note.outcome, note.sent) for note in replica.conflicts()] == [(-1, "hub", "of a")]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE _sync_rejected SET code = 'a' || char(27) || printf('%.300c', 'b')",
        "UPDATE _sync_rejected SET detail = printf('%.5000c', 'b'), remedy = printf('%.5000c', 'b')",
        "UPDATE _sync_rejected SET stamps = CAST(stamps || x'01020304' AS BLOB)",
        "UPDATE _sync_rejected SET key = x'93010203'",
    ],
)
@pytest.mark.parametrize("is_discarded", [False, True])
def test_l12_what_a_rejected_edit_is_called_keeps_no_copied_file_from_finding_its_place(
    world: World, damage: str, is_discarded: bool
) -> None:
    """A rule of the user's, or a hub that lies, may have called it anything."""
    a, b = world.device("a.db"), world.folder / "b.db"
    connection = sqlite3.connect(a, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("UPDATE t SET v = 'bad'")
    connection.close()
    world.sync(a)
    copy(a, b)
    sql(b, "INSERT INTO t VALUES (2, 2, 'of b')")
    world.sync(b)
    sql(a, damage, "UPDATE t SET n = n + 1 WHERE id = 1")
    if is_discarded:
        with syncline.connect(a, world.hub) as replica:
            replica.discard(replica.rejected()[0].id)
    with serving(create_app(world.hub)) as url, syncline.connect(a, url) as replica:
        assert replica.sync().recovered is not None
    world.sync(b)
    assert world.agree(a, b) == [(1, 1, "x"), (2, 2, "of b")]


@pytest.mark.parametrize("is_put_back", [True, False])
def test_l3_a_file_goes_on_whose_former_id_was_locked_out(world: World, is_put_back: bool) -> None:
    """A copy goes on under a new id; the device that had the first one is lost, and locked out. What was
    decided under that id counts once, and nobody gets anything under it."""
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    sql(a, "UPDATE t SET n = n + 1")
    copy(a, twin)
    world.sync(a)
    lost = world.id(a)
    assert lost is not None
    world.hub.revoke(lost)
    copy(world.centre, backup)
    world.hub.revoke(lost, undo=True)
    sql(twin, "UPDATE t SET n = n + 10")
    assert world.sync(twin).recovered is not None and world.id(twin) != lost
    sql(twin, "UPDATE t SET n = n + 100")
    if is_put_back:
        world.restore(backup)
    else:
        world.hub.revoke(lost)
        sql(twin, "UPDATE _sync_state SET watermark = 'garbled', horizon = NULL")
    assert world.sync(twin).recovered is not None
    assert world.agree(twin) == [(1, 111, "x")]
    sql(a, "UPDATE t SET n = n + 1000")
    for _ in range(2):
        with pytest.raises(ReplicaRevoked):
            world.sync(a)
    assert world.agree(twin) == [(1, 111, "x")]
    sql(twin, "UPDATE t SET n = n + 10000")
    assert world.sync(twin).recovered is None
    assert world.agree(twin) == [(1, 10111, "x")]


def test_l12_an_open_conflict_of_a_former_id_that_is_locked_out_stops_no_sync(world: World) -> None:
    world.rule({"t": syncline.Table(merge={"n": "sum", "v": "review"})})
    a, b, twin = world.device("a.db"), world.device("b.db"), world.folder / "twin.db"
    sql(a, "UPDATE t SET v = 'of a'")
    sql(b, "UPDATE t SET v = 'of b'")
    world.sync(b)
    world.sync(a)
    with syncline.connect(a, world.hub) as replica:
        assert [note.sent for note in replica.conflicts(open_only=True)] == ["of a"]
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    sql(twin, "UPDATE t SET n = n + 10")
    world.sync(twin)
    lost = world.id(a)
    assert lost is not None and world.id(twin) != lost
    world.hub.revoke(lost)
    sql(twin, "UPDATE t SET n = n + 100")
    world.sync(twin)
    with syncline.connect(twin, world.hub) as replica:
        assert [note.sent for note in replica.conflicts(open_only=True)] == ["of a"]
    with pytest.raises(ReplicaRevoked):
        world.sync(a)
    world.sync(b)
    assert world.agree(twin, b) == [(1, 111, "of b")]


def test_l10_a_file_whose_own_id_is_locked_out_takes_no_other(world: World) -> None:
    """Also where that file has had another id before, and the centre was put back."""
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    copy(a, twin)
    sql(a, "UPDATE t SET n = n + 1")
    world.sync(a)
    sql(twin, "UPDATE t SET n = n + 10")
    world.sync(twin)
    own = world.id(twin)
    assert own is not None and own != world.id(a)
    world.hub.revoke(own)
    copy(world.centre, backup)
    world.sync(a)
    world.restore(backup)
    before = len(world.hub.replicas())
    sql(twin, "UPDATE _sync_state SET watermark = 'garbled', horizon = NULL")
    for _ in range(2):
        with pytest.raises(ReplicaRevoked):
            world.sync(twin)
    assert len(world.hub.replicas()) == before
    assert world.sync(a) is not None
