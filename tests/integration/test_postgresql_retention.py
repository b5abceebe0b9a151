"""Compacting and pruning in PostgreSQL go in small steps whatever the transactions (law L11), and nothing
of others stands in the way; who only ever pushes does not pay for what it has pushed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline.databases.postgresql.position import SnapshotPosition
from syncline.databases.postgresql.write import Memory, Unseen, look
from syncline.hub.contract import Removed
from syncline.hub.retention import DAY, Retention
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World
from tests.support.dump import dump, load
from tests.support.postgres import Make, PostgresCentre

ROWS = 40
T = (
    "CREATE TABLE t (id int PRIMARY KEY, a text, n int)",
    f"INSERT INTO t SELECT i FROM generate_series(1, {ROWS}) i",
)


def steps(world: World, limit: int, *, prune: bool = False) -> list[Removed]:
    done: list[Removed] = []
    while not done or done[-1].more:
        with world.database.write(UNBOUNDED) as transaction:
            log = transaction.log
            done.append(log.prune([], 0, None, limit) if prune else log.compact(limit))
    return done


def test_l11_a_step_ends_inside_a_transaction_and_finds_what_later_ones_cover(make: Make) -> None:
    world = make(*T)
    start = world.now()
    world.run("UPDATE t SET n = 1")
    position = world.now()
    world.run("UPDATE t SET n = 2", "UPDATE t SET a = 'x' WHERE id <= 10")
    world.run("UPDATE t SET n = 3 WHERE id = 1")
    before = [world.since(start), world.since(position)]
    done = steps(world, 7)
    assert len(done) >= 2 * ROWS // 7
    assert max(step.entries for step in done) <= 7
    assert sum(step.entries for step in done) == ROWS
    assert [world.since(start), world.since(position)] == before
    with world.database.read(UNBOUNDED) as transaction:
        assert transaction.log.standings([start, position]) == ["sound", "sound"]


def test_many_changes_of_one_row_are_compacted_to_the_last(make: Make) -> None:
    world = make(*T)
    world.run("DO $$ BEGIN FOR i IN 1..5000 LOOP UPDATE t SET n = i WHERE id = 1; END LOOP; END $$")
    world.run("UPDATE t SET n = 0 WHERE id = 2")
    assert sum(step.entries for step in steps(world, 1000)) == 4999


def test_l11_pruning_ends_inside_a_transaction(make: Make) -> None:
    world = make(*T)
    world.run("UPDATE t SET n = 1")
    position = world.now()
    world.run("UPDATE t SET n = 2 WHERE id = 1")
    done = steps(world, 7, prune=True)
    assert max(step.entries for step in done) <= 7
    assert sum(step.entries for step in done) == ROWS + 1
    assert world.now() != position
    with world.database.read(UNBOUNDED) as transaction:
        assert transaction.log.standings([position, transaction.log.now()]) == ["pruned", "sound"]
        assert transaction.log.floor().hlc > 0
    with psycopg.connect(world.centre.url) as session:  # type: ignore[attr-defined]
        assert session.execute("SELECT count(*) FROM syncline.log_0").fetchone() == (0,)


def test_a_publication_of_all_tables_does_not_stop_pruning(tmp_path: Path, postgres_url: str) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run(*T, "CREATE PUBLICATION cdc FOR ALL TABLES")
    with syncline.Hub(postgres_url, retention=Retention(90 * DAY, 0.0)) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        for number in range(5):
            centre.run(f"UPDATE t SET n = {number}")
        run(device, "UPDATE t SET a = 'mine' WHERE id = 1", "DELETE FROM t WHERE id = 2")
        device.sync()
        device.sync()
        pruned = hub.prune()
        assert pruned.compacted + pruned.pruned >= 4 * ROWS  # a hub notes once a minute how far a device is
        assert [one for one in hub.examine() if one.level != "fact"] == []


def run(device: syncline.Replica, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(device.file)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def test_a_device_that_only_pushes_looks_at_its_own_entries_once(make: Make) -> None:
    """And what others do meanwhile is found all the same."""
    world = make(*T)
    base = world.now()
    assert isinstance(base, SnapshotPosition)
    asked = Unseen(base.seen.xmax, base.seen.running)
    memory: Memory = {}
    found = []
    for _ in range(4):
        assert world.push(world.stage("update", "t", [[1, 1]], ["n"])) == []
        with world.database.write(UNBOUNDED) as transaction:
            shape, session = transaction.rows._layout.by_number[0], transaction.rows._session
            left = look(session, memory, shape, "r1", asked)
            found.append((left.xmax - asked.xmax, len(left.others)))
        world.run("UPDATE t SET n = coalesce(n, 0) + 1 WHERE id = 2")
    assert [others for _, others in found] == [0, 1, 2, 3]
    assert [seen for seen, _ in found] == sorted({seen for seen, _ in found})
    assert found[0][0] > 0


READ = (
    "SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int4"
    " FROM pg_stat_xact_user_tables WHERE relid = 'syncline.log_0'::regclass"
)
"""How many entries of the log this session has read lately; of which what a transaction reads is the rest."""


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("triggers", [False, True])
def test_a_small_push_reads_none_of_a_long_log_but_what_is_new(
    make: Make, *, analyzed: bool, triggers: bool
) -> None:
    world = make(*T)
    if triggers:
        world.run(
            "CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
            "CREATE TRIGGER same BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION same()",
        )
        world.renew()
    world.run("INSERT INTO t SELECT i FROM generate_series(1001, 6000) i", "UPDATE t SET n = 0")
    if analyzed:
        world.run("ANALYZE syncline.log_0")
    base = world.now()
    found = []
    for n in range(12):  # the server plans the first ones anew, and the later ones once
        with world.database.write(UNBOUNDED) as transaction:
            session, stage = transaction.rows._session, world.stage("update", "t", [[1, n]], ["n"])
            before = session.value(READ)
            transaction.rows.stage(stage)
            assert transaction.rows.rivals(stage, [base], [], "r1") == []
            assert transaction.rows.lock([stage]) == [[]]
            assert transaction.rows.apply([stage], "r1") == []
            found.append(session.value(READ) - before)
    assert max(found) <= 12, found


def test_a_push_in_chunks_reads_none_of_its_own_entries_and_those_of_the_one_before_once(make: Make) -> None:
    world = make(*T)
    base = world.now()
    found = []
    for push in range(4):  # the first one finds a log that is empty, and may be read as the server likes
        with world.database.write(UNBOUNDED) as transaction:
            session = transaction.rows._session
            before = session.value(READ)
            for chunk in range(3):
                start = ROWS + 1 + (push * 3 + chunk) * 1000
                stage = world.stage("insert", "t", [[key, 1] for key in range(start, start + 1000)], ["n"])
                transaction.rows.stage(stage)
                assert transaction.rows.rivals(stage, [base], [], "r1") == []
                assert transaction.rows.lock([stage]) == [[]]
                assert transaction.rows.apply([stage], "r1") == []
                transaction.rows.unstage()
            found.append(session.value(READ) - before)
    assert found[1:] == [3000] * 3


def test_a_push_finds_rivals_behind_what_was_looked_through(make: Make) -> None:
    world = make(*T)
    base = world.now()
    looked = []
    for key in (1, 2, 2, 3):
        with world.database.write(UNBOUNDED) as transaction:
            stage = world.stage("update", "t", [[key, 9]], ["n"])
            transaction.rows.stage(stage)
            found = transaction.rows.rivals(stage, [base], [], "r1")
            looked.append([(rival.row, rival.origin) for rival in found])
        world.run("UPDATE t SET n = coalesce(n, 0) + 1 WHERE id = 2")
    assert looked == [[], [(0, "hub")], [(0, "hub")] * 2, []]


def test_a_report_leaves_no_mark_in_the_centre(make: Make, postgres_url: str) -> None:
    """What only looks leaves the database as it is."""
    world = make(*T)
    with psycopg.connect(postgres_url, autocommit=True) as centre, syncline.Hub(postgres_url) as hub:
        for look in (lambda: hub.prune(dry_run=True), hub.replicas, hub.examine, hub.prune):
            world.run("UPDATE t SET n = n + 1 WHERE id = 1")  # no mark covers that
            (before,) = centre.execute("SELECT count(*) FROM syncline.marks").fetchall()
            look()
            (after,) = centre.execute("SELECT count(*) FROM syncline.marks").fetchall()
            assert before == after, look


def test_l12_doctor_says_of_a_dump_loaded_elsewhere_what_is_true_and_leaves_it_to_a_server(
    postgres_database: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = postgres_database(), postgres_database()
    PostgresCentre(first).run("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    with syncline.Hub(first) as hub:
        hub.init()
    with psycopg.connect(first) as connection:
        ((number,),) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
    load(dump(first), second)
    with syncline.Hub(second) as hub:
        for _ in range(2):
            (said,) = [finding for finding in hub.examine() if finding.level != "fact"]
            assert said.sentence == f"the database was moved here from database {number} of the same cluster"
            assert (said.level, said.code) == ("warning", "moved") and "Nothing needs" in said.remedy
    assert "began anew" not in caplog.text
    with syncline.Hub(second) as server:
        server.check()
        assert [one.levelname for one in caplog.records if "began anew" in one.getMessage()] == ["WARNING"]
        assert [finding for finding in server.examine() if finding.level != "fact"] == []
