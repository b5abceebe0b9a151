"""Rows that are hidden, held back, refused or about to leave: four times as many take about four times as
many steps of SQLite (laws L1 and L13)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.protocol.messages import Group, Rejection
from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.freeze import freeze
from syncline.replica.rejected import rejected, wait
from tests.support.device import Bench
from tests.support.steps import steps_of

DDL = """
CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, n INTEGER);
CREATE TABLE task (id INTEGER PRIMARY KEY, job INTEGER REFERENCES job,
    called TEXT REFERENCES job (name), up INTEGER REFERENCES task);
CREATE INDEX task_job ON task (job);
CREATE INDEX task_called ON task (called);
CREATE INDEX task_up ON task (up);
CREATE TABLE leaf (id INTEGER PRIMARY KEY, up INTEGER);
"""
OWN = """
DROP TABLE leaf;
CREATE TABLE leaf (id INTEGER PRIMARY KEY, up INTEGER REFERENCES leaf (ID) ON DELETE CASCADE);
CREATE INDEX leaf_up ON leaf (up);
"""
Verb = Callable[[], object]
FEW, TIMES, MOST = 100, 4, 5.5
"""So many rows, and that many times as many, which take at most so many times the steps of the few."""


def empty(folder: Path) -> Bench:
    return Bench(folder / f"{len(list(folder.glob('*.db')))}.db", DDL, increments=["n"])


def filled(folder: Path, rows: int) -> Bench:
    bench = empty(folder)
    bench.pull(bench.put("job", *([i, f"name {i}", "note", 0] for i in range(1, rows + 1))))
    return bench


def edit(bench: Bench, *statements: str) -> None:
    for sql in statements:
        bench.app.execute(sql)


def hidden(folder: Path, rows: int) -> Bench:
    """Rows with pending edits that the centre has deleted."""
    bench = filled(folder, rows)
    edit(bench, "UPDATE job SET note = 'mine'")
    bench.pull(bench.gone("job", *range(1, rows + 1)), watermark="w2")
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(rows,)]
    return bench


def stamps(bench: Bench, where: str = "1") -> set[bytes]:
    return {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {bench.log('job')} WHERE {where}")}


def refusals(bench: Bench, table: str, rows: int, code: str) -> list[Rejection]:
    number = bench.schema.number_of(table)
    return [Rejection(number, [i], code, "no", "Mend it.") for i in range(1, rows + 1)]


def a_push_of_another_table(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = hidden(folder, rows)
    edit(bench, "INSERT INTO task (id) VALUES (1)")
    return bench, lambda: freeze(bench.device)


def what_a_copy_has_brought(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = hidden(folder, rows)
    done = stamps(bench)
    return bench, lambda: bench.entered(done=done, horizon="w2")


def one_of_them_done(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = hidden(folder, rows)
    done = stamps(bench, "k0 = 1")
    return bench, lambda: bench.entered(done=done, horizon="w2")


def edits_that_nobody_can_tell(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = hidden(folder, rows)
    return bench, lambda: bench.entered(replica="replica-2", since=2**60)


def edits_that_a_copy_had_refused(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = filled(folder, rows)
    edit(bench, "UPDATE job SET note = 'mine'")
    told = frozenset(stamps(bench)), refusals(bench, "job", rows, "unique")
    return bench, lambda: bench.entered(done=set(told[0]), rejected=[told], horizon="w2")


def children_of_taken_keys(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = empty(folder)
    edit(bench, *(f"INSERT INTO job VALUES ({i}, 'name {i}', '', 0)" for i in range(1, rows + 1)))
    told = frozenset(stamps(bench)), refusals(bench, "job", rows, "key_taken")
    edit(bench, "INSERT INTO task (id, job) SELECT id, id FROM job")
    return bench, lambda: bench.entered(done=set(told[0]), rejected=[told], horizon="w2")


def keys_given_to_others(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = hidden(folder, rows)
    edit(bench, f"INSERT INTO job SELECT k0, 'other ' || k0, NULL, 1 FROM {bench.log('job')}")
    return bench, lambda: freeze(bench.device)


def keys_given_to_others_in_flight(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = filled(folder, rows)
    edit(bench, "UPDATE job SET note = 'mine'")
    assert freeze(bench.device) is not None
    edit(bench, "UPDATE job SET name = 'later ' || id")
    gone = bench.gone("job", *range(1, rows + 1))
    bench.pull(gone, watermark="w2")
    edit(bench, f"INSERT INTO job SELECT DISTINCT k0, 'other ' || k0, NULL, 1 FROM {bench.log('job')}")
    return bench, lambda: bench.verdict(gone)


def parents_of_own_rows_leave(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = filled(folder, rows)
    edit(bench, "INSERT INTO task (id, job) SELECT id, id FROM job")
    return bench, lambda: bench.pull(bench.gone("job", *range(1, rows + 1)), watermark="w3")


def parents_and_edited_children_leave(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = filled(folder, rows)
    bench.pull(bench.put("task", *([i, i, None, None] for i in range(1, rows + 1))), watermark="w2")
    edit(bench, "UPDATE task SET up = id")
    gone = [bench.gone(name, *range(1, rows + 1)) for name in ("task", "job")]
    return bench, lambda: bench.pull(*gone, watermark="w3")


def children_of_rows_deleted_here(folder: Path, rows: int) -> tuple[Bench, Verb]:
    """By a value that is not the key."""
    bench = filled(folder, rows)
    edit(bench, "DELETE FROM job")
    called = bench.put("task", *([i, None, f"name {i}", None] for i in range(1, rows + 1)))
    return bench, lambda: bench.pull(called, watermark="w3")


def a_chain_that_waits_for_its_first(folder: Path, rows: int) -> tuple[Bench, Verb]:
    """The last of which comes first by its key."""
    bench = filled(folder, 1)
    edit(bench, "UPDATE job SET name = 'wanted'")
    first = bench.put("job", [2, "wanted", None, 0])
    chain = [[i, 2, None, i + 1 if i < rows else None] for i in range(1, rows + 1)]
    bench.pull(first, bench.put("task", *chain), watermark="w2")
    assert bench.rows("SELECT count(*) FROM _sync_held") == [(rows + 1,)]
    edit(bench, "UPDATE job SET name = 'free' WHERE id = 1")
    return bench, lambda: bench.pull(watermark="w3")


def a_chain_below_a_taken_key(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = empty(folder)
    edit(bench, "INSERT INTO task (id) VALUES (1)")
    assert freeze(bench.device) is not None
    edit(bench, *(f"INSERT INTO task (id, up) VALUES ({i + 1}, {i})" for i in range(1, rows + 1)))
    theirs = bench.put("task", [1, None, None, 1])
    told = refusals(bench, "task", 1, "key_taken")
    return bench, lambda: bench.verdict(theirs, rejected=told)


def leaves(bench: Bench, rows: int) -> Group:
    """A chain, the last of which comes first by its key; the first refers to a row that is not there."""
    return bench.put("leaf", *([i, i + 1] for i in range(1, rows + 1)))


def a_chain_that_waits_by_a_foreign_key_of_the_file(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench = empty(folder)
    bench.app.executescript(OWN)
    with bench.store.transaction() as store:
        bench.device = Device.load(store)
        capture.install(store, bench.table("leaf"))
    return bench, lambda: bench.pull(leaves(bench, rows))


def a_chain_that_has_waited_so(folder: Path, rows: int) -> tuple[Bench, Verb]:
    bench, verb = a_chain_that_waits_by_a_foreign_key_of_the_file(folder, rows)
    verb()
    assert bench.rows("SELECT count(*) FROM _sync_held WHERE reason IS NOT NULL") == [(rows,)]
    assert bench.all("leaf") == []
    return bench, lambda: bench.pull(bench.put("leaf", [rows + 1, None]), watermark="w2")


@pytest.mark.parametrize(
    "prepare",
    [
        a_push_of_another_table,
        what_a_copy_has_brought,
        one_of_them_done,
        edits_that_nobody_can_tell,
        edits_that_a_copy_had_refused,
        children_of_taken_keys,
        keys_given_to_others,
        keys_given_to_others_in_flight,
        parents_of_own_rows_leave,
        parents_and_edited_children_leave,
        children_of_rows_deleted_here,
        a_chain_that_waits_for_its_first,
        a_chain_below_a_taken_key,
        a_chain_that_waits_by_a_foreign_key_of_the_file,
        a_chain_that_has_waited_so,
    ],
)
def test_l13_it_takes_a_number_of_rows_as_many_steps_as_there_are_rows(
    tmp_path: Path, prepare: Callable[[Path, int], tuple[Bench, Verb]]
) -> None:
    counts = []
    for rows in (FEW, TIMES * FEW):
        bench, verb = prepare(tmp_path, rows)
        counts.append(steps_of(bench.store, verb))
        bench.close()
    assert counts[1] < MOST * counts[0], counts


def test_l12_rows_that_hang_from_each_other_more_than_python_goes_deep_are_refused_together(
    tmp_path: Path,
) -> None:
    rows = 1_200
    bench, verb = a_chain_below_a_taken_key(tmp_path, rows)
    verb()
    kept = rejected(bench.device)
    assert [one.code for one in kept] == ["key_taken", *["parent_rejected"] * rows]
    assert [one.parent for one in kept[1:]] == [("task", (i,)) for i in range(1, rows + 1)]
    assert bench.all("task") == [(1, None, None, 1)]
    bench.close()


def test_l12_edits_below_one_that_was_held_up_are_put_back_with_it_however_deep(tmp_path: Path) -> None:
    bench = empty(tmp_path)
    edit(bench, *(f"INSERT INTO task (id, up) VALUES ({i}, {i - 1 or 'NULL'})" for i in range(1, 41)))
    assert freeze(bench.device) is not None
    (first,) = refusals(bench, "task", 1, "row_locked")
    number = first.table
    below = [
        Rejection(number, [i], "parent_rejected", "no", "Wait.", parent=[number, [i - 1]])
        for i in range(2, 41)
    ]
    bench.verdict(bench.gone("task", *range(1, 41)), rejected=[*reversed(below), first])
    assert bench.all("task") == []
    wait(bench.device, rejected(bench.device))
    assert [row[0] for row in bench.all("task")] == list(range(1, 41))
    assert rejected(bench.device) == []
    bench.close()


def test_l5_all_children_of_a_row_that_comes_back_for_them_are_there_at_once(tmp_path: Path) -> None:
    """The row was deleted here, which the centre does not know yet, and gives it three children."""
    bench = filled(tmp_path, 1)
    edit(bench, "DELETE FROM job")
    children = bench.put("task", *([i, 1, None, None] for i in (1, 2, 3)))
    bench.pull(children, watermark="w2")
    assert [row[0] for row in bench.all("job")] == [1]
    assert [row[0] for row in bench.all("task")] == [1, 2, 3]
    bench.close()
