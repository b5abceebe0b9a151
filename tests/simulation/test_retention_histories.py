"""Histories in which the centre compacts and prunes its log lawfully: nobody notices (laws L2 to L5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from syncline.errors import WatermarkRefused
from syncline.hub.retention import Retention
from syncline.model.scope import UNBOUNDED
from syncline.testing.outside import outside
from syncline.testing.setbacks import Setbacks
from syncline.testing.world import Phone, World

NOBODY_IS_STALE = Retention(stale=1e12, keep=0)


@contextmanager
def refusals(world: World) -> Iterator[list[str]]:
    """The codes with which the hub refuses watermarks meanwhile."""
    found: list[str] = []
    answer = world.hub.handle

    def handle(actor: Any, request: Any) -> Any:
        try:
            return answer(actor, request)
        except WatermarkRefused as refused:
            found.append(refused.code)
            raise

    world.hub.handle = handle  # type: ignore[method-assign]
    yield found


class Compacted(World):
    """A few rows are written again and again; now and then the log is compacted as far as it goes."""

    removed = 0

    def exchange(self, phone: Phone, faults: bool) -> None:
        if faults:
            self.write_again()
        more = self.rng.random() < 0.15
        while more:
            with self.database.write(UNBOUNDED) as transaction:
                step = transaction.log.compact(self.rng.choice([10, 1000]))
            self.removed, more = self.removed + step.entries, step.more
        super().exchange(phone, faults)

    def write_again(self) -> None:
        with outside(self.database) as connection:
            connection.execute("UPDATE farm SET note = note || ? WHERE id = 'home'", (self.rng.choice("ab"),))
            connection.execute("UPDATE farm SET note = ?", (self.rng.choice("cd"),))


class Pruned(Setbacks):
    """The log is pruned to what the replicas have confirmed; the centre does not go back."""

    removed = 0

    def prune(self) -> None:
        self.hub.retention = NOBODY_IS_STALE
        self.removed += self.hub.prune().pruned

    def keep(self) -> None:
        self.kept = b""

    def restore(self) -> None:
        self.prune()


@pytest.mark.parametrize("kind", [Compacted, Pruned])
def test_lawful_retention_is_noticed_by_nobody(kind: type[Compacted] | type[Pruned]) -> None:
    removed = 0
    for seed in range(40):
        world = kind(seed)
        try:
            with refusals(world) as refused:
                world.run()
            assert refused == [], f"seed {seed}"
            removed += world.removed
        finally:
            world.close()
    assert removed > 100
