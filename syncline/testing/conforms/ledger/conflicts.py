"""Conflicts that are kept."""

from __future__ import annotations

from syncline.hub.contract import ConflictRow
from syncline.hub.retention import DAY
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World


class ConflictConformance:
    """`conflicts`, `add_conflicts`, `resolve_conflict`, `save_resolution`, `drop_conflicts`."""

    def test_conflicts_are_kept_listed_and_resolved(self, world: World) -> None:
        data = {"table": "customer", "key": ["a"], "sent": {"$blob": "AA=="}, "outcome": "open", "hub": 0.1}
        with world.database.write(UNBOUNDED) as transaction:
            ids = transaction.ledger.add_conflicts(
                [
                    ConflictRow(0, "r1", 1, True, data),
                    ConflictRow(0, "r2", 1, False, {**data, "outcome": "hub"}),
                    ConflictRow(0, "r1", 2, True, {**data, "column": "\u05e9"}),
                ]
            )
            assert transaction.ledger.add_conflicts([]) == []
        assert ids == sorted(ids)
        assert len(set(ids)) == 3

        def listed(replica: str | None, open_only: bool, after: int, limit: int) -> list[int]:
            with world.database.read(UNBOUNDED) as reading:
                return [
                    conflict.id for conflict in reading.ledger.conflicts(replica, open_only, after, limit)
                ]

        assert listed(None, False, 0, 10) == ids
        assert listed("r1", False, 0, 10) == [ids[0], ids[2]]
        assert listed(None, True, 0, 10) == [ids[0], ids[2]]
        assert listed(None, False, ids[0], 1) == [ids[1]]
        with world.database.write(UNBOUNDED) as transaction:
            held = transaction.ledger.resolve_conflict(ids[0])
            assert held == ConflictRow(ids[0], "r1", 1, True, data)
            transaction.ledger.save_resolution(ids[0], "resolved", {"take": "sent"})
            assert transaction.ledger.resolve_conflict(ids[2] + 1000) is None
        assert listed(None, True, 0, 10) == [ids[2]]
        with world.database.read(UNBOUNDED) as reading:
            resolved = reading.ledger.conflicts(None, False, 0, 1)[0]
        assert not resolved.open
        assert resolved.data == {**data, "outcome": "resolved", "resolution": {"take": "sent"}}

    def test_old_conflicts_are_dropped_when_they_are_closed(self, world: World) -> None:
        old, new = {"at": "2020-01-01T00:00:00.000Z"}, {"at": "2999-01-01T00:00:00.000Z"}
        with world.database.write(UNBOUNDED) as transaction:
            kept = [(False, old), (True, old), (False, new)]
            transaction.ledger.add_conflicts(
                [ConflictRow(0, "r", 1, is_open, data) for is_open, data in kept]
            )
            assert transaction.ledger.drop_conflicts(365 * DAY, 10) == 1
        with world.database.read(UNBOUNDED) as transaction:
            assert len(transaction.ledger.conflicts(None, False, 0, 10)) == 2

    def test_l11_old_conflicts_are_dropped_in_bounded_steps(self, world: World) -> None:
        old = ConflictRow(0, "r", 1, False, {"at": "2020-01-01T00:00:00.000Z"})
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.add_conflicts([old] * 5)
            assert [transaction.ledger.drop_conflicts(365 * DAY, 2) for _ in range(4)] == [2, 2, 1, 0]
