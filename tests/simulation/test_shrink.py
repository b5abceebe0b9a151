"""A history that fails is told with the fewest steps that fail in the same way, in every world."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from syncline.replica import apply
from syncline.replica.work import Work
from syncline.testing.shrink import shrunk
from syncline.testing.simulate import numbers, outcome, play, shortened


def rows_stay(work: Work) -> None:
    """A fault to plant: what the centre has deleted stays on devices."""
    work.gone.clear()


@pytest.mark.parametrize("world", ["world", "lockstep", "setbacks", "schema", "field"])
def test_a_planted_fault_is_told_with_few_steps(monkeypatch: pytest.MonkeyPatch, world: str) -> None:
    monkeypatch.setattr(apply, "remove_gone", rows_stay)
    found = (outcome(world, seed) for seed in range(40))
    steps, failure = next((one.steps, one.failure) for one in found if one.failure is not None)
    short = shortened(failure)
    words = short.arguments.split()
    assert words[:-1] == ["--world", world, "--seed", str(failure.seed), "--steps"]
    kept = numbers(words[-1])
    assert 1 <= len(kept) <= 6 < steps
    assert short.told
    again = play(world, failure.seed, kept)
    assert again is not None
    assert again.kind == failure.kind
    monkeypatch.undo()
    assert play(world, failure.seed, kept) is None


@pytest.mark.parametrize("world", ["world", "lockstep", "setbacks", "schema", "field"])
def test_a_history_of_all_its_steps_is_the_whole_one(world: str) -> None:
    whole = outcome(world, 3)
    assert whole.failure is None
    again = outcome(world, 3, range(whole.steps))
    assert (again.steps, again.failure) == (whole.steps, None)


def test_steps_are_left_out_as_long_as_the_rest_fails_in_the_same_way() -> None:
    def fails(steps: Sequence[int]) -> str | None:
        return "wrong" if {3, 11} <= set(steps) else "otherwise" if 5 in steps else None

    assert shrunk(range(40), fails) == [3, 11]
