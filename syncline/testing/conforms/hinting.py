"""Hints: whoever waits for news is woken by a hub, and by any other program."""

from __future__ import annotations

from contextlib import closing
from threading import Thread

from syncline.testing.centre import World

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
        other = World(world.centre, world.centre.open(), world.schema)
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
