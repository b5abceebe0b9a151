"""Positions in a log that has one order, as text."""

from __future__ import annotations

import pytest

from syncline.databases.base.ordered import Upto, own, parse
from syncline.databases.postgresql.position import Snapshot, SnapshotPosition
from syncline.errors import WatermarkRefused


@pytest.mark.parametrize("position", [Upto(0), Upto(7), Upto(10**18 - 1, 2**63 - 1)])
def test_a_position_comes_back_from_its_text(position: Upto) -> None:
    assert parse(position.token()) == position


@pytest.mark.parametrize("text", ["", "7", "s", "s-1", "s7.", "s7.x", "s7.1.1", "s7\n", "s٣", "s" + "1" * 19])
def test_other_texts_are_no_positions(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        parse(text)


def test_a_position_of_another_kind_of_database_is_refused() -> None:
    with pytest.raises(WatermarkRefused):
        own(SnapshotPosition("1/00000001/1", Snapshot("1:1:")))
    assert own(Upto(3)).sees(3) and not Upto(3).sees(4)
