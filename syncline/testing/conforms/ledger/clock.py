"""The clock, and turns at pruning."""

from __future__ import annotations

from syncline.hub.contract import Claim
from syncline.model.clock import stamp
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World

AHEAD = 1 << 45
"""Milliseconds: more than the clock is set ahead here."""


class ClockConformance:
    """`clock`, `raise_clock`, `milliseconds`, `take_turn`."""

    def test_the_clock_never_goes_back(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.raise_clock(1 << 60, AHEAD)
            transaction.ledger.raise_clock(5, AHEAD)
            assert transaction.ledger.clock() == 1 << 60
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.clock() == 1 << 60

    def test_a_clock_that_was_wrong_once_is_put_right(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.raise_clock(1 << 60, AHEAD)
            right = stamp(transaction.ledger.milliseconds())
            transaction.ledger.raise_clock(right, 300_000)
            assert right <= transaction.ledger.clock() <= right + stamp(60_000)

    def test_what_stamps_were_before_they_were_cut_is_kept_for_a_while(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.note_claims([Claim("a", 5, 49)])
            transaction.ledger.note_claims([Claim("a", 5, 50), Claim("a", 7, 1 << 62), Claim("b", 5, 51)])
            transaction.ledger.note_claims([])
            assert transaction.ledger.claims("a", 5, 6) == [Claim("a", 5, 50)]
            assert len(transaction.ledger.claims("a", 0, 1 << 62)) == 2
            assert transaction.ledger.forget_claims(3600) == 0
            assert transaction.ledger.forget_claims(-3600) == 3

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
