"""Histories of files that are copied and put back while the centre is put back, too (laws L2, L3, L5).

Replay one: python -m syncline.testing.simulate --world copies-and-setbacks --seed N
"""

from __future__ import annotations

import pytest

from syncline.testing.simulate import play, play_of
from tests.support.postgres import PostgresServer

BATCHES, BATCH = 4, 12


@pytest.mark.parametrize("batch", range(BATCHES))
def test_whatever_is_put_back_every_edit_counts_once_and_all_end_equal(batch: int) -> None:
    failures = play_of("copies-and-setbacks", (batch * BATCH, (batch + 1) * BATCH))
    assert not failures, "\n".join(f"--world {f.world} --seed {f.seed}\n{f.text}" for f in failures)


@pytest.mark.parametrize("seed", [3, 4])
def test_over_postgresql_too(postgres_server: PostgresServer, seed: int) -> None:
    failure = play("copies-and-setbacks", seed, server=postgres_server.url)
    assert failure is None, failure
