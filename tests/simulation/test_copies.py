"""Histories of files that are copied and put back, against a book of what each has seen (L2, L3, L5).

Replay one: python -m syncline.testing.simulate --world copies --seed N
"""

from __future__ import annotations

import pytest

from syncline.testing.simulate import play_of

BATCHES, BATCH = 4, 20
"""In 26, 30, 56, 65 and 68 an edit met its file's own earlier one, under a former id, as another's."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_unseen_is_overwritten_unsaid_and_nothing_of_ones_own_is_a_rival(batch: int) -> None:
    failures = play_of("copies", (batch * BATCH, (batch + 1) * BATCH))
    assert not failures, "\n".join(f"--world {f.world} --seed {f.seed}\n{f.text}" for f in failures)
