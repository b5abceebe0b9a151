"""A table of the file and the hub's rows of it become one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.replica import join
from syncline.replica.apply import Answer, keep_held, run_steps, show_held, take_held
from syncline.replica.conflicts import conflicts
from syncline.replica.freeze import freeze
from syncline.replica.work import Work
from tests.support.device import Bench

KEYS = (
    "id INTEGER PRIMARY KEY, a TEXT",
    "id BIGINT, a TEXT, PRIMARY KEY (id)",
    "id NUMERIC PRIMARY KEY, a TEXT",
    "id TEXT PRIMARY KEY, a TEXT",
    "id REAL PRIMARY KEY, a TEXT",
    "id TEXT COLLATE NOCASE PRIMARY KEY, a TEXT",
    "id PRIMARY KEY, a",
)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    columns = getattr(request, "param", "id INTEGER PRIMARY KEY, a TEXT")
    bench = Bench(tmp_path / "device.db", f"CREATE TABLE item ({columns});")
    yield bench
    bench.close()


def compare(bench: Bench, *rows: tuple[object, ...]) -> None:
    t = bench.table("item")
    with bench.store.aside():
        join.begin(bench.store, t)
        join.note_rows(bench.store, t, bench.put("item", *rows))
        join.compare(bench.store, t)


def finish(bench: Bench) -> None:
    t = bench.table("item")

    def both(work: Work, answer: object) -> None:
        join.add_edited(work, t)
        join.log_own_rows(work, t)
        work.overlay.forget()
        join.lay_over(work, t)

    run_steps(bench.device, Answer(), (take_held, both, show_held, keep_held))
    join.end(bench.store, t)


def fill_unseen(bench: Bench, *rows: tuple[object, ...]) -> None:
    """Rows from before the table was captured."""
    bench.app.execute("BEGIN")
    bench.app.executemany("INSERT INTO item VALUES (?, ?)", rows)
    bench.app.execute(f"DELETE FROM {bench.log('item')}")
    bench.app.execute("COMMIT")


def steps_of(bench: Bench, rows: int) -> int:
    """How many steps of SQLite's machine, in hundreds, it takes to compare so many rows that differ, and as
    many that one side alone has."""
    t, steps = bench.table("item"), [0]
    key = str if "TEXT" in t.table.keys[0].declared else int
    bench.app.execute("DELETE FROM item")
    fill_unseen(bench, *((key(i), "mine") for i in range(2 * rows)))

    def count() -> int:
        steps[0] += 1
        return 0

    bench.store._connection.set_progress_handler(count, 100)
    compare(bench, *((key(i), "hub") for i in range(rows, 3 * rows)))
    finish(bench)
    bench.store._connection.set_progress_handler(None, 0)
    return steps[0]


@pytest.mark.parametrize("bench", KEYS, indirect=True)
def test_l1_twice_the_rows_take_about_twice_the_steps_whatever_the_type_of_the_key(bench: Bench) -> None:
    assert steps_of(bench, 400) < 2.6 * steps_of(bench, 200)


def test_rows_that_differ_are_the_hubs_and_own_ones_are_kept_or_pending(bench: Bench) -> None:
    fill_unseen(bench, (1, "same"), (2, "mine"), (3, "own"), (5, 1.0))
    compare(bench, (1, "same"), (2, "hub"), (4, "new"), (5, "1.0"))
    finish(bench)
    assert bench.all("item") == [(1, "same"), (2, "hub"), (3, "own"), (4, "new"), (5, "1.0")]
    assert [(note.key, note.sent, note.hub) for note in conflicts(bench.store, open_only=False)] == [
        ([2], ["mine"], ["hub"])
    ]
    assert freeze(bench.device) is not None
    ((group,),) = bench.chunks()
    assert (group.op, bench.declared(group)) == ("I", [[3, "own"]])


def test_l2_what_is_edited_while_the_two_are_compared_is_pending_and_stays_on_top(bench: Bench) -> None:
    fill_unseen(bench, (1, "same"), (2, "same"), (3, "own"), (6, "own"), (7, "own"))
    compare(bench, (1, "same"), (2, "same"), (4, "new"))
    bench.app.execute("UPDATE item SET a = 'edited' WHERE id IN (1, 3)")
    bench.app.execute("DELETE FROM item WHERE id IN (2, 6)")
    bench.app.execute("INSERT INTO item VALUES (5, 'made')")
    bench.app.execute("DELETE FROM item WHERE id = 7")
    bench.app.execute("INSERT INTO item VALUES (7, 'again')")
    finish(bench)
    assert bench.all("item") == [(1, "edited"), (3, "edited"), (4, "new"), (5, "made"), (7, "again")]
    freeze(bench.device)
    (groups,) = bench.chunks()
    assert sorted((group.op, row) for group in groups for row in bench.declared(group)) == [
        ("D", [2]),
        ("I", [3, "edited"]),
        ("I", [5, "made"]),
        ("I", [7, "again"]),
        ("U", [1, "edited"]),
    ]
