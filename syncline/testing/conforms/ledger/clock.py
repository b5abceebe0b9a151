"""The clock, and turns at pruning."""

from __future__ import annotations

from syncline.model.scope import UNBOUNDED
from syncline.testing.centre import World


class ClockConformance:
    """`clock`, `raise_clock`, `milliseconds`, `take_turn`."""

    def test_the_clock_never_goes_back(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.raise_clock(1 << 60)
            transaction.ledger.raise_clock(5)
            assert transaction.ledger.clock() == 1 << 60
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.clock() == 1 << 60

    def test_of_many_one_gets_the_turn(self, world: World) -> None:
        def turn(interval: float) -> bool:
            with world.database.write(UNBOUNDED) as transaction:
                return transaction.ledger.take_turn(interval)

        assert [turn(3600), turn(3600), turn(0)] == [True, False, True]

    def test_the_wall_clock_goes_on(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            before = transaction.ledger.milliseconds()
            assert isinstance(before, int)
            assert 1_700_000_000_000 < before <= transaction.ledger.milliseconds()
