"""Law L4 on PostgreSQL: no interleaving of transactions makes a pull skip a change. L5: it ends in a cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from syncline.databases.postgresql.position import SnapshotPosition
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Key, Position
from syncline.model.scope import UNBOUNDED
from syncline.model.values import indices_of
from syncline.testing.conforms.centre import World
from tests.support.postgres import PostgresCentre, prepared

NOTE = "CREATE TABLE note (id integer PRIMARY KEY, body text, n integer)"


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    world = prepared(postgres_url, NOTE, "CREATE TABLE other (id integer PRIMARY KEY)")
    yield world
    world.database.close()


def sessions(world: World, stack: ExitStack, count: int) -> list[psycopg.Connection[Any]]:
    assert isinstance(world.centre, PostgresCentre)
    return [stack.enter_context(world.centre.connect()) for _ in range(count)]


def keys(world: World, after: Position, without: str = "") -> set[int]:
    return {key[0] for key in world.since(after, without).get("note", {})}  # type: ignore[misc]


def test_l4_a_transaction_that_commits_after_a_later_one_is_pulled(world: World) -> None:
    start = world.now()
    with ExitStack() as stack:
        early, late = sessions(world, stack, 2)
        early.execute("BEGIN; INSERT INTO note VALUES (1)")
        late.execute("BEGIN; INSERT INTO note VALUES (2)")
        late.execute("COMMIT")
        assert keys(world, start) == {2}
        between = world.now()
        early.execute("COMMIT")
        assert keys(world, between) == {1}
        assert keys(world, start) == {1, 2}


def test_l4_nothing_waits_for_an_unrelated_open_transaction(world: World) -> None:
    with ExitStack() as stack:
        (idle,) = sessions(world, stack, 1)
        idle.execute("BEGIN; INSERT INTO other VALUES (1)")
        start = world.now()
        world.run("INSERT INTO note VALUES (1)")
        assert keys(world, start) == {1}
        position = world.now()
        world.run("INSERT INTO note VALUES (2)")
        assert keys(world, position) == {2}
        idle.execute("ROLLBACK")
        assert keys(world, position) == {2}


def test_l4_rolled_back_savepoints_leave_nothing_and_released_ones_count(world: World) -> None:
    start = world.now()
    with ExitStack() as stack:
        (session,) = sessions(world, stack, 1)
        session.execute("BEGIN; INSERT INTO note VALUES (1); SAVEPOINT a; INSERT INTO note VALUES (2)")
        session.execute("ROLLBACK TO a; SAVEPOINT b; INSERT INTO note VALUES (3); RELEASE b")
        assert keys(world, start) == set()
        between = world.now()
        session.execute("COMMIT")
        assert keys(world, between) == {1, 3}


def test_l4_a_transaction_open_while_the_watermark_of_a_hydrate_is_noted_arrives_after_it(
    world: World,
) -> None:
    with ExitStack() as stack:
        (session,) = sessions(world, stack, 1)
        session.execute("BEGIN; INSERT INTO note VALUES (1)")
        noted = world.now()
        assert world.rows("note") == []
        session.execute("COMMIT")
        assert keys(world, noted) == {1}


def test_l4_a_read_that_began_before_a_commit_does_not_count_it_as_seen(world: World) -> None:
    with ExitStack() as stack:
        (session,) = sessions(world, stack, 1)
        session.execute("BEGIN; INSERT INTO note VALUES (1)")
        with world.database.read(UNBOUNDED) as transaction:
            position = transaction.log.now()
            session.execute("COMMIT")
            assert transaction.log.entries(position, "", 10).touched == {}
            assert transaction.log.now() == position
        assert keys(world, position) == {1}


def test_own_accepted_edits_are_passed_over_once(world: World) -> None:
    start = world.now()
    world.push(world.stage("insert", "note", [[1, "a", 1]]))
    with world.database.read(UNBOUNDED) as transaction:
        page = transaction.log.entries(start, "r1", 10)
        assert (page.touched, page.more) == ({}, False)
        assert page.end == transaction.log.now() != start
        again = transaction.log.entries(page.end, "r1", 10)
    assert again.end == page.end


def test_with_nothing_new_the_position_stays(world: World) -> None:
    start = world.now()
    assert isinstance(world.centre, PostgresCentre)
    with world.centre.connect() as session:
        session.execute("CREATE TABLE elsewhere (); INSERT INTO elsewhere DEFAULT VALUES")
    with world.database.read(UNBOUNDED) as transaction:
        assert transaction.log.entries(start, "r1", 10).end == start


def test_l5_changes_between_pages_are_in_the_next_run(world: World) -> None:
    start = world.now()
    world.run("INSERT INTO note SELECT g, 'old', g FROM generate_series(1, 10) g")
    position, seen = start, []
    for page_number in range(30):
        with world.database.read(UNBOUNDED) as transaction:
            page = transaction.log.entries(position, "r1", 4)
            seen += [key[0] for key, _ in page.touched.get(world.number("note"), [])]
        position = page.end
        token = position.token()
        assert world.database.position(token) == position
        if page_number == 0:
            world.run("UPDATE note SET body = 'new' WHERE id = 1", "DELETE FROM note WHERE id = 10")
        if not page.more:
            break
    assert set(seen) == set(range(1, 11))
    assert seen[-2:] == [1, 10]
    assert page_number == 3


def test_a_page_in_progress_sees_what_it_has_read(world: World) -> None:
    start = world.now()
    world.run("INSERT INTO note SELECT g, 'x', g FROM generate_series(1, 4) g")
    with world.database.read(UNBOUNDED) as transaction:
        page = transaction.log.entries(start, "", 2)
    assert isinstance(page.end, SnapshotPosition)
    assert page.more
    xid, last = page.end.last[1], page.end.last[2]
    number = page.end.last[0]
    assert page.end.sees((number, xid, last))
    assert not page.end.sees((number, xid, last + 1))
    assert not start.sees((number, xid, last))


@pytest.mark.parametrize("seed", range(12))
def test_l4_l5_random_interleavings_always_end_in_the_tables_as_they_are(world: World, seed: int) -> None:
    """Several sessions with open transactions and savepoints; a puller with tiny pages among them."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        writers = [Writer(session, rng) for session in sessions(world, stack, 4)]
        puller = Puller(world, rng)
        for _ in range(150):
            if rng.random() < 0.25:
                puller.pull_page()
            else:
                rng.choice(writers).step()
        for writer in writers:
            writer.end()
        puller.pull_page()
        while not puller.caught_up:
            puller.pull_page()
        assert puller.rows == {row[0]: row[1:] for row in world.rows("note")}


class Writer:
    """A program that writes at random; each has keys of its own, so that none waits for another."""

    numbers = 0

    def __init__(self, session: psycopg.Connection[Any], rng: random.Random) -> None:
        Writer.numbers += 1
        self.session, self.rng = session, rng
        self.low = Writer.numbers * 100
        self.open = False
        self.depth = 0

    def step(self) -> None:
        choices = ["write"] * 6 + (["end", "savepoint", "back"] if self.open else ["begin"])
        getattr(self, self.rng.choice(choices))()

    def begin(self) -> None:
        self.session.execute("BEGIN")
        self.open = True

    def write(self) -> None:
        key, value = self.low + self.rng.randint(0, 5), self.rng.randint(0, 99)
        dice = self.rng.random()
        if dice < 0.5:
            self.session.execute(
                "INSERT INTO note VALUES (%s, %s, 0) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (key, str(value)),
            )
        elif dice < 0.7:
            self.session.execute("UPDATE note SET n = %s WHERE id = %s", (value, key))
        elif dice < 0.8:
            self.session.execute("DELETE FROM note WHERE id = %s", (key + 10,))
            self.session.execute("UPDATE note SET id = id + 10 WHERE id = %s", (key,))
        else:
            self.session.execute("DELETE FROM note WHERE id IN (%s, %s)", (key, key + 10))

    def savepoint(self) -> None:
        self.session.execute("SAVEPOINT s")
        self.depth += 1

    def back(self) -> None:
        if self.depth:
            self.session.execute("ROLLBACK TO s")

    def end(self) -> None:
        if self.open:
            self.session.execute(self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
        self.open, self.depth = False, 0


class Puller:
    """A replica reduced to a dict. Checks the cut whenever a run has ended."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.position: Position = world.now()
        self.rows: dict[Any, list[Any]] = {}
        self.caught_up = False

    def pull_page(self) -> None:
        table = self.world.number("note")
        with self.world.database.read(UNBOUNDED) as transaction:
            page = transaction.log.entries(self.position, "nobody", self.rng.choice([1, 3, 10]))
            for key, mask in page.touched.get(table, []):
                self.learn(transaction.rows.find(table, [key], [0, 1]), key, mask)
            self.position = self.world.database.position(page.end.token())
            self.caught_up = not page.more
            if self.caught_up:
                assert self.rows == {row[0]: row[1:] for row in transaction.rows.chunk(table, None, 10_000)}

    def learn(self, found: list[list[Any]], key: Key, mask: int) -> None:
        if not found:
            self.rows.pop(key[0], None)
            return
        mine = self.rows.setdefault(key[0], [None, None])
        for column in indices_of(mask):
            mine[column] = found[0][1 + column]


def test_a_position_of_another_cluster_or_timeline_is_of_a_restored_centre(world: World) -> None:
    cluster, _, rest = world.now().token().partition(";")
    for other in (cluster.replace(cluster[:4], "9999", 1), cluster.replace("/00000001/", "/00000002/")):
        position = world.database.position(f"{other};{rest}")
        with world.database.read(UNBOUNDED) as transaction, pytest.raises(WatermarkRefused) as caught:
            transaction.log.entries(position, "", 10)
        assert caught.value.code == "centre_restored"


def test_a_garbled_position_is_refused(world: World) -> None:
    cluster = world.now().token().partition(";")[0]
    for garbled in ("", ";", cluster, f"{cluster};", f"{cluster};1:2:x;0.0", f"{cluster};1:2:;0.0;1:2:;0.0;1",
                    "17", f"{cluster};1:2:;x", f"{cluster};1:2:;0", "x;1:2:;0.0"):  # fmt: skip
        with pytest.raises(ValueError, match="not a"):
            world.database.position(garbled)


def test_a_position_ahead_of_the_database_is_refused(world: World) -> None:
    position = world.now()
    assert isinstance(position, SnapshotPosition)
    ahead = world.database.position(f"{position.cluster};1:{position.seen.xmax + 10**9}:;0.0")
    with world.database.read(UNBOUNDED) as transaction, pytest.raises(WatermarkRefused) as caught:
        transaction.log.entries(ahead, "", 10)
    assert caught.value.code == "centre_restored"
