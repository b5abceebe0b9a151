"""The scope of a transaction."""

from __future__ import annotations

import pytest

from syncline.errors import ScopeUnsupported
from syncline.model.scope import UNBOUNDED, Rule, Scope, TableScope
from syncline.testing.conforms.centre import World


class ScopeConformance:
    """Law L10: what is read through a transaction is within the scope it was given."""

    def test_a_transaction_says_what_its_scope_is(self, world: World) -> None:
        with world.database.read(UNBOUNDED) as reading:
            assert reading.scope == UNBOUNDED
        with world.database.write(UNBOUNDED) as writing:
            assert writing.scope == UNBOUNDED

    def test_l10_a_scope_is_kept_within_or_refused(self, world: World) -> None:
        """Never passed over: a database that cannot filter rows reads none."""
        world.run("INSERT INTO tree VALUES (1, NULL)")
        start, number = world.now(), world.number("tree")
        world.run("INSERT INTO tree VALUES (2, NULL)")
        nothing = Scope((TableScope(world.number("noted"), (Rule(),)),))
        try:
            with world.database.read(nothing) as transaction:
                assert transaction.rows.chunk(number, None, 9) == []
                assert transaction.rows.find(number, [(1,)], []) == []
                assert transaction.log.entries(start, "", 9).touched.get(number, []) == []
                with transaction.rows.scan(number, None, None) as take:
                    assert list(take(9)) == []
        except ScopeUnsupported:
            with pytest.raises(ScopeUnsupported), world.database.write(nothing):
                pass
