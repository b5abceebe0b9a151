"""Simulated histories over the real engine: 1,200 of them, and every seed that ever failed (laws L2 to L9).

50,000 more: python -m syncline.testing.simulate 50000
"""

from __future__ import annotations

import pytest

from syncline.testing.simulate import main, play, play_range

BATCHES = 12
BATCH = 100

ONCE_FAILED = [
    ("lockstep", 211),  # an edit between verdict and pull
    ("lockstep", 1784),  # a parked row created again after the freeze
    ("world", 12),  # a delete whose cascade leaves somebody without a parent in the centre
    ("world", 90),  # an edited child of a row that was held for want of its own parent
    ("world", 121),
    ("world", 518),
    ("world", 600),  # a row deleted, shown again for a child's sake, and deleted again
    ("world", 2763),  # a foreign-key action on a row that a REPLACE was removing
    ("world", 1195),  # a row put aside while a stand-in was shown for a unique value of it
]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_histories_with_every_fault_end_as_they_must(batch: int) -> None:
    failures = play_range((batch * BATCH, (batch + 1) * BATCH))
    assert not failures, "\n".join(f"--world {f.world} --seed {f.seed}\n{f.text}" for f in failures)


@pytest.mark.parametrize(("world", "seed"), ONCE_FAILED)
def test_a_seed_that_once_failed_ends_as_it_must(world: str, seed: int) -> None:
    failure = play(world, seed)
    assert failure is None, failure


def test_the_command_says_how_many_histories_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["20", "--workers", "1"]) == 0
    assert capsys.readouterr().out == "20 histories, 0 failed\n"
