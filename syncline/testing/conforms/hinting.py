"""Hints: whoever waits for news is woken by a hub, and by any other program."""

from __future__ import annotations

from contextlib import closing
from threading import Thread

from syncline.hub.contract import Client
from syncline.testing.conforms.centre import World

LONG = 30.0
"""Seconds that no wait here may last; one that is woken takes far less."""


class HintConformance:
    """`hint` and `watch`."""

    def test_a_wait_with_nothing_new_ends_with_the_time_given(self, world: World) -> None:
        with closing(world.database.watch()) as watch:
            assert not watch.wait(0.0)
            assert not watch.wait(0.05)

    def test_a_hint_of_another_thread_ends_a_wait(self, world: World) -> None:
        with closing(world.database.watch()) as watch:
            thread = Thread(target=world.database.hint)
            thread.start()
            assert watch.wait(LONG)
            thread.join()
            assert not watch.wait(0.0)

    def test_a_push_through_another_opening_of_the_database_ends_a_wait(self, world: World) -> None:
        other = world.opened()
        with closing(world.database.watch()) as watch:
            assert other.push(other.stage("insert", "tree", [[1, None]])) == []
            other.database.hint()
            assert watch.wait(LONG)
        other.database.close()

    def test_a_write_of_another_program_ends_a_wait(self, world: World) -> None:
        with closing(world.database.watch()) as watch:
            world.run("INSERT INTO tree (id) VALUES (7)")
            assert watch.wait(LONG)
            assert not watch.wait(0.0)

    def test_a_wait_goes_on_when_another_process_prepares_the_database_anew(self, world: World) -> None:
        other = world.centre.open()
        with closing(world.database.watch()) as watch:
            other.catalogue.prepare(other.catalogue.reflect(["tree"]))
            for _ in range(5):
                watch.wait(0.0)
            assert not watch.wait(0.0)
        other.close()

    def test_a_closed_watch_can_be_closed_again(self, world: World) -> None:
        watch = world.database.watch()
        watch.close()
        watch.close()

    def test_an_instant_is_the_same_as_long_as_nothing_is_committed(self, world: World) -> None:
        def is_the_same() -> bool:
            before = world.database.instant()
            world.now()
            return world.database.instant() == before

        assert any(is_the_same() for _ in range(10))  # a server may have affairs of its own
        before = world.database.instant()
        world.run("INSERT INTO tree (id) VALUES (7)")
        assert world.database.instant() != before
        assert any(is_the_same() for _ in range(10))

    def test_an_instant_changes_with_every_commit_of_a_hub(self, world: World) -> None:
        before = world.database.instant()
        assert world.push(world.stage("insert", "tree", [[1, None]])) == []
        between = world.database.instant()
        assert between != before
        with world.database.ledger() as ledger:
            ledger.save_client(Client("r", registered="now", actor="a"))
        assert world.database.instant() != between

    def test_no_instant_is_that_of_before_the_database_was_closed(self, world: World) -> None:
        before = world.database.instant()
        world.database.close()
        assert world.database.instant() != before
