"""What the log no longer holds: the floor, what positions are worth, pruning, compacting."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Position, Removed
from syncline.model.scope import UNBOUNDED
from syncline.model.values import indices_of
from syncline.testing.conforms.centre import World

ORIGINS = ("r1", "r2", "hub")
REPLICAS = ("r1", "r2", "r3")
COLUMNS = ("name", "city", "balance")


def prune(world: World, held: Sequence[Position], keep: float = 0, limit: int = 1000) -> Removed:
    with world.database.write(UNBOUNDED) as transaction:
        return transaction.log.prune(held, keep, None, limit)


def compact(world: World, limit: int = 1000) -> int:
    """As housekeeping does it: looked for while others write, if the database can."""
    gone, more = 0, True
    while more:
        found = world.read(lambda transaction: transaction.log.coverable(limit))
        for part in [None] if found is None else found.parts(limit):
            with world.database.write(UNBOUNDED) as transaction:
                removed = transaction.log.compact(limit, part)
            assert found is None or removed.entries <= limit
            gone, more = gone + removed.entries, removed.more
    return gone


def standing(world: World, position: Position) -> str:
    with world.database.read(UNBOUNDED) as transaction:
        return transaction.log.standings([position])[0]


def change(world: World, origin: str, key: str, columns: dict[str, Any]) -> None:
    """Update one row, by a push or by another program."""
    if origin == "hub":
        world.run(
            f"UPDATE customer SET {', '.join(f'{n} = {v!r}' for n, v in columns.items())} WHERE id = '{key}'"
        )
        return
    names = sorted(columns, key=COLUMNS.index)
    stage = world.stage("update", "customer", [[key, *(columns[name] for name in names)]], names)
    assert world.push(stage, origin=origin) == []


class RetentionConformance:
    """`floor`, `standings`, `prune`, `compact`, `behind`."""

    def test_at_first_everything_is_sound_and_there_is_no_floor(self, world: World) -> None:
        start = world.now()
        world.run("INSERT INTO tree (id) VALUES (1)")
        with world.database.read(UNBOUNDED) as transaction:
            assert transaction.log.standings([start, transaction.log.now(), start]) == ["sound"] * 3
            assert transaction.log.floor().hlc == 0
            assert transaction.log.behind(start, 10) == 1

    def test_a_transaction_of_which_nothing_is_logged_has_a_position_of_its_own(self, world: World) -> None:
        world.run("INSERT INTO tree (id) VALUES (1)")
        start = world.now()
        with world.database.write(UNBOUNDED) as transaction:
            transaction.log.leave_mark()
            proved = transaction.log.now()
        assert proved.token() != start.token()
        world.run("INSERT INTO tree (id) VALUES (2)")
        with world.database.write(UNBOUNDED) as transaction:
            transaction.log.leave_mark()
            later = transaction.log.now()
        assert [standing(world, position) for position in (start, proved, later)] == ["sound"] * 3
        assert list(world.since(proved)["tree"]) == [(2,)]
        prune(world, [later])
        world.run("INSERT INTO tree (id) VALUES (3)")
        assert list(world.since(later)["tree"]) == [(3,)]

    def test_what_every_position_has_seen_is_pruned_and_they_stay_good(self, world: World) -> None:
        start = world.now()
        for number in range(5):
            world.run(f"INSERT INTO tree (id) VALUES ({number})")
        middle = world.now()
        for number in range(5, 9):
            world.run(f"INSERT INTO tree (id) VALUES ({number})")
        end = world.now()
        before = world.since(middle)
        assert prune(world, [middle, end]).entries >= 4
        assert [standing(world, position) for position in (start, middle, end)] == [
            "pruned",
            "sound",
            "sound",
        ]
        assert world.since(middle) == before
        assert world.now() == end
        with pytest.raises(WatermarkRefused) as caught:
            world.since(start)
        assert caught.value.code == "watermark_pruned"

    def test_with_everything_pruned_the_position_stays_and_new_ones_are_good(self, world: World) -> None:
        world.insert("tree (id)", "(1)", "(2)", "(3)")
        end = world.now()
        prune(world, [])
        assert world.now() == end
        assert standing(world, world.now()) == "sound"
        assert world.since(end) == {}
        world.run("INSERT INTO tree (id) VALUES (4)")
        assert set(world.since(end)["tree"]) == {(4,)}
        assert prune(world, []).entries > 0
        assert standing(world, end) == "pruned"
        assert prune(world, []) == Removed(0, False)

    def test_the_floor_remembers_the_highest_hlc_below_it(self, world: World) -> None:
        world.push(world.stage("insert", "tree", [[1, None], [2, None]]))
        highest = world.clock - 1
        world.push(world.stage("insert", "tree", [[3, None]]))
        end = world.now()
        prune(world, [])
        with world.database.read(UNBOUNDED) as transaction:
            floor = transaction.log.floor()
            position = transaction.log.proved(floor.position)
        assert floor.hlc >= highest
        assert standing(world, position) == "sound"
        assert standing(world, world.database.position(position.token())) == "sound"
        assert world.since(position) in ({}, world.since(end))

    def test_l11_pruning_goes_in_bounded_steps(self, world: World) -> None:
        for number in range(20):
            world.run(f"INSERT INTO tree (id) VALUES ({number})")
        steps: list[Removed] = []
        while not steps or steps[-1].more:
            steps.append(prune(world, [], limit=4))
            assert steps[-1].entries <= 8
        assert len(steps) > 2
        assert sum(step.entries for step in steps) >= 19

    def test_nothing_young_is_pruned(self, world: World) -> None:
        world.run("INSERT INTO tree (id) VALUES (1)", "INSERT INTO tree (id) VALUES (2)")
        with world.database.write(UNBOUNDED) as transaction:
            transaction.log.note_moment()
        assert prune(world, [], keep=3600) == Removed(0, False)

    def test_l4_compacted_or_not_a_pull_and_a_push_see_the_same(self, world: World) -> None:
        for seed in range(4):
            self._compared(world, seed)

    def _compared(self, world: World, seed: int) -> None:
        rng = random.Random(seed)
        keys = [f"{seed}-{number}" for number in range(3)]
        world.run(*(f"INSERT INTO customer (id) VALUES ('{key}')" for key in keys))
        positions = []
        for step in range(30):
            if rng.random() < 0.4:
                positions.append(world.now())
            chosen = rng.sample(COLUMNS, rng.randint(1, 3))
            values = {n: step if n == "balance" else f"{n}{seed}.{step}" for n in chosen}
            change(world, rng.choice(ORIGINS), rng.choice(keys), values)
            if rng.random() < 0.1:
                gone = rng.choice(keys)
                world.run(f"DELETE FROM customer WHERE id = '{gone}'")
                world.run(f"INSERT INTO customer (id) VALUES ('{gone}')")
        before = self._seen(world, positions, keys)
        assert compact(world, rng.choice([7, 1000])) > 0
        assert self._seen(world, positions, keys) == before
        assert {standing(world, position) for position in positions} <= {"sound"}

    def _seen(self, world: World, positions: Sequence[Position], keys: Sequence[str]) -> list[Any]:
        """What pulls give, and for each column the newest stamp that a push meets."""
        seen: list[Any] = [world.since(position, origin) for position in positions for origin in REPLICAS]
        for position in positions:
            with world.database.write(UNBOUNDED) as transaction:
                stage = world.stage("update", "customer", [[key, 0] for key in keys], ["balance"])
                transaction.rows.stage(stage)
                for origin in REPLICAS:
                    newest: dict[tuple[int, int], tuple[int, str]] = {}
                    for rival in transaction.rows.rivals(stage, [position], [], origin):
                        for column in indices_of(rival.mask):
                            place = (rival.row, column)
                            newest[place] = max(newest.get(place, (0, "")), (rival.hlc, rival.origin))
                    seen.append(newest)
        return seen

    def test_compacting_goes_on_where_it_stopped(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        for number in range(6):
            change(world, "hub", "a", {"balance": number})
        assert compact(world) >= 4
        assert compact(world) == 0
        for number in range(6):
            change(world, "hub", "a", {"balance": -number})
        assert compact(world) >= 4
