"""Edits of a file that was copied or put back, which nobody can tell: what is kept of them (law L2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.replica.overlay import Overlay
from syncline.replica.reconciled import UNTOLD, _keep_edit
from syncline.replica.rejected import rejected
from tests.support.device import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)")
    made.pull(made.put("person", (1, "before")))
    made.app.execute("UPDATE person SET name = 'mine' WHERE id = 1")
    yield made
    made.close()


@pytest.mark.parametrize(("is_parked", "values"), [(True, {"name": "mine"}), (False, {})])
def test_l2_an_edit_of_a_row_that_is_not_in_its_table_is_kept_with_its_values_or_none(
    bench: Bench, is_parked: bool, values: dict[str, str]
) -> None:
    t = bench.table("person")
    with bench.store.transaction() as store:
        store.set_state(suppressed=1)
        if is_parked:
            overlay = Overlay(store)
            overlay.park(t, overlay.pending(t, [(1,)]))
        store.execute(t.delete, (1,))
        store.set_state(suppressed=0)
        _keep_edit(bench.device, t, (1,), "1", UNTOLD)
    (kept,) = rejected(bench.device)
    assert (kept.op, kept.values, kept.base) == ("U", values, {"name": "before"})
