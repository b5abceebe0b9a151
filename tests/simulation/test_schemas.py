"""Histories in which the tables change while devices write (laws L2, L3, L5, L9).

Thousands more: python -m syncline.testing.simulate 5000 --world schema
"""

from __future__ import annotations

from contextlib import closing

import pytest

from syncline.testing.book import Book
from syncline.testing.schemas import SchemaWorld
from syncline.testing.simulate import Failure, main, play, play_changes, shortened

BATCHES, BATCH = 4, 15

ONCE_FAILED = [
    ("schema", 1, [0, 1]),  # two columns that traded their names were taken to trade them once more
    ("schema", 1, [4, 5, 12, 15, 33]),  # rows of a dropped table held back the end of those they point at
    ("schema", 40015, [0, 2, 7, 8, 16, 30]),  # of a table made anew, nobody could tell who had counted
    ("schema-in-chunks", 20810, [25, 45, 47]),  # a key column was renamed where nobody could see it
    ("schema-in-chunks", 100099, [26, 34]),  # an own column was in the way of one of the centre's
    ("schema-in-chunks", 72112, [5, 22, 32]),  # and the centre had got another column besides
    ("schema-in-chunks", 100181, [0, 2, 3, 4, 5, 13, 14, 17]),  # a table of a lost past was in the way
]
"""World, seed, and the steps that it takes."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_device_follows_the_centre_and_every_edit_is_accounted_for(batch: int) -> None:
    failures = play_changes((batch * BATCH, (batch + 1) * BATCH))
    assert not failures, "\n".join(f"{shortened(failure)}\n{failure.text}" for failure in failures)


@pytest.mark.parametrize(("world", "seed", "steps"), ONCE_FAILED)
def test_a_history_that_once_failed_ends_as_it_must(world: str, seed: int, steps: list[int]) -> None:
    failure = play(world, seed, steps)
    assert failure is None, failure


def test_what_was_counted_unseen_may_be_missing_only_where_the_device_keeps_its_own_value() -> None:
    book, row = Book(), ("r1", 2, (3,))
    book.count(row, {1: 9}, captured=False)
    book.count(row, {1: 4}, captured=True)
    book.count(("r2", 2, (3,)), {1: 5}, captured=False)
    assert book.added == {(2, 1): 18}
    assert book.unseen_sums((2, 1), set()) == {0}
    assert book.unseen_sums((2, 1), {(row, 1)}) == {0, 9}
    assert book.unseen_sums((2, 0), {(row, 1)}) == {0}


def test_a_number_that_is_kept_as_the_digits_of_a_text_column_is_not_lost() -> None:
    book = Book()
    book.write(("r1", 2, (3,)), {1: 1000123, 2: 1000124})
    assert list(book.open({"1000123"})) == [(("r1", 2, (3,)), 2, 1000124)]


def test_one_history_replays_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--world", "schema", "--seed", "3", "--steps", "0,1,2"]) == 0
    assert capsys.readouterr().out == "schema 3: as it must be\n"


def test_a_history_that_fails_is_told_with_the_steps_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SchemaWorld) -> None:
        assert not self.book.written, "a device has written something"

    monkeypatch.setattr(SchemaWorld, "check", broken)
    failure = next(found for seed in range(20) if (found := play("schema", seed)) is not None)
    assert failure.kind == "AssertionError  broken"
    short = shortened(failure)
    command, told = short.arguments, short.told
    assert command.startswith(f"--world schema --seed {failure.seed} --steps ")
    steps = [int(step) for step in command.split()[-1].split(",")]
    with closing(SchemaWorld(failure.seed)) as whole:
        assert len(steps) < len(whole.planned) / 3
    assert told and isinstance(play("schema", failure.seed, steps), Failure)
