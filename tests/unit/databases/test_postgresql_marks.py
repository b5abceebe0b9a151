"""What a mark proves, against plain sets of transactions (law L4)."""

from __future__ import annotations

import random

import pytest

from syncline.databases.postgresql.position import Proof, Snapshot


def snapshot(rng: random.Random) -> tuple[Snapshot, set[int]]:
    """One, and the transactions that it sees."""
    xmax = rng.randint(3, 12)
    running = sorted(rng.sample(range(3, 15), rng.randint(0, 4)))
    below = [xid for xid in running if xid < xmax]
    text = f"{below[0] if below else xmax}:{xmax}:{','.join(map(str, running))}"
    return Snapshot(text), {xid for xid in range(1, xmax) if xid not in running}


@pytest.mark.parametrize("batch", range(4))
def test_a_mark_covers_a_position_that_has_seen_nothing_else(batch: int) -> None:
    rng, found = random.Random(batch), set()
    for _ in range(5_000):
        (known, before), (position, seen) = snapshot(rng), snapshot(rng)
        own = rng.choice([xid for xid in range(3, 15) if xid not in before])
        covers = Proof((own, 1), known).covers(position)
        assert covers == (seen <= before | {own}), (known.text, own, position.text)
        found.add((covers, own in seen))
    assert len(found) == 4
