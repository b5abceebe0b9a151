"""Edits of a file that was copied or put back, which nobody can tell: what is kept of them (law L2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.replica.overlay import Overlay
from syncline.replica.reconciled import UNTOLD, _keep_edit
from syncline.replica.rejected import newest_rejected, rejected
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


STATEMENTS = {
    "note": "UPDATE owner SET note = note || '!' WHERE id = ?",
    "both": "UPDATE owner SET note = 'both', name = name || '.' WHERE id = ?",
    "count": "UPDATE owner SET n = n + 5 WHERE id = ?",
    "delete": "DELETE FROM owner WHERE id = ?",
    "insert": "INSERT INTO owner VALUES (?, 'new', 'made', 1)",
}
TOUCHED = {"note": {"note"}, "both": {"note", "name"}, "count": {"n"}}
COLUMNS = ("name", "note", "n")


def histories(is_there: bool, length: int) -> Iterator[tuple[str, ...]]:
    """All edits of one row that can follow each other."""
    if length == 0:
        yield ()
        return
    for edit in STATEMENTS:
        if (edit == "insert") != is_there:
            for rest in histories(edit != "delete", length - 1):
                yield (edit, *rest)


def test_l2_edits_that_nobody_can_tell_are_kept_as_they_would_have_been_sent_whatever_came_later(
    tmp_path: Path,
) -> None:
    """Of every row the first edits are set aside and the later ones are not, which may hide what the first
    had made of it."""
    ddl = "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, note TEXT, n INTEGER)"
    bench = Bench(tmp_path / "owners.db", ddl, increments=["n"])
    plans: dict[int, tuple[tuple[str, ...], int]] = {}
    for is_there in (True, False):
        for length, told in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2)):
            for edits in histories(is_there, length):
                key = len(plans) + 1 + (0 if is_there else 1000)
                plans[key] = edits, told
    there = [key for key in plans if key < 1000]
    bench.pull(bench.put("owner", *([key, "name", "old", 10 * key] for key in there)))
    before = {row[0]: row[1:] for row in bench.all("owner")}
    run(bench, [(key, edit) for key, (edits, told) in plans.items() for edit in edits[:told]])
    sent = {row[0]: row[1:] for row in bench.all("owner")}
    (last,) = bench.rows(f"SELECT max(seq) FROM {bench.log('owner')}")[0]
    run(bench, [(key, edit) for key, (edits, told) in plans.items() for edit in edits[told:]])
    t = bench.table("owner")
    for key, (edits, told) in plans.items():
        number = newest_rejected(bench.store)
        with bench.store.transaction():
            _keep_edit(bench.device, t, (key,), f"seq <= {last}", UNTOLD)
        (kept,) = rejected(bench.device, number)
        assert (kept.table, kept.key, kept.code, kept.push) == ("owner", (key,), "edit_untold", None)
        first = edits[:told]
        old = dict(zip(COLUMNS, before.get(key, ()), strict=False))
        new = dict(zip(COLUMNS, sent.get(key, ()), strict=False))
        if first[-1] == "delete":
            assert (kept.op, kept.values) == ("D", {}), edits
            if key in before:
                assert kept.base == old, edits
        elif first[0] == "insert":
            assert (kept.op, kept.values, kept.base) == ("I", new, {}), edits
        else:
            touched = set().union(*(TOUCHED.get(edit, set(COLUMNS)) for edit in first))
            assert kept.op == "U" and kept.base == {name: old[name] for name in touched}, edits
            counted = {**new, "n": new["n"] - old["n"]}  # an increment travels
            assert kept.values == {name: counted[name] for name in touched}, edits
    bench.close()


def run(bench: Bench, edits: list[tuple[int, str]]) -> None:
    bench.app.execute("BEGIN")
    for key, edit in edits:
        bench.app.execute(STATEMENTS[edit], (key,))
    bench.app.execute("COMMIT")


def test_edits_that_are_not_meant_are_not_kept(bench: Bench) -> None:
    with bench.store.transaction():
        _keep_edit(bench.device, bench.table("person"), (1,), "seq < 0", UNTOLD)
        _keep_edit(bench.device, bench.table("person"), (2,), "1", UNTOLD)
    assert rejected(bench.device) == []
