"""Histories in which the centre goes back in time and prunes its log (laws L2, L3, L5, L9).

Replay one: python -m syncline.testing.simulate --world setbacks --seed N
"""

from __future__ import annotations

import pytest

from syncline.testing.simulate import play, play_of

BATCHES, BATCH = 5, 25

ONCE_FAILED = [242, 294, 335, 349, 67]
"""A row deleted here, but shown for a child's sake, of which the hub says something before its verdict; two
rows that wait for each other, for the parent and for a unique value."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_replica_finds_its_place_again_and_nothing_pending_is_lost(batch: int) -> None:
    failures = play_of("setbacks", (batch * BATCH, (batch + 1) * BATCH))
    assert not failures, "\n".join(f"--world {f.world} --seed {f.seed}\n{f.text}" for f in failures)


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed_ends_as_it_must(seed: int) -> None:
    failure = play("setbacks", seed)
    assert failure is None, failure
