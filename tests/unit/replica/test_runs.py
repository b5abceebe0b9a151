"""The runs of a change log tell what its entries would, one by one, and a bulk insert is read by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.protocol.body import undelta
from syncline.replica import identity, runs
from syncline.replica.clocks import make_clock
from syncline.replica.freeze import freeze
from syncline.replica.identity import provenance
from syncline.replica.pending import settle
from syncline.replica.runs import Clocks, Run, find_runs
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from tests.support.device import Bench

NOW = 2461366.25
FLOORS = [(100, "w", 0), (101, "x", 0), (102, "y", 1_767_225_600_000 << 16)]
TIMES = st.sampled_from([NOW, NOW + 1e-6, NOW - 1.0])
ENTRIES = st.lists(st.tuples(TIMES, st.integers(100, 102)), min_size=1, max_size=30)
SHAPES = st.sampled_from([("I", None), ("U", 1), ("U", 2), ("D", None)])
Entry = tuple[str, int | None, float, int]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("runs") / "a.db", "CREATE TABLE t (id TEXT PRIMARY KEY, a, b)")
    made.store.executemany("INSERT INTO _sync_checkpoint (id, watermark, hlc) VALUES (?, ?, ?)", FLOORS)
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def _all_are_worth_it() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "FEW", 0)
        patch.setattr(runs, "LENGTH", 1)
        yield


def entered(store: Store, t: Statements, entries: Sequence[Entry], first: int = 1) -> list[int]:
    """The log has these entries and no others; their numbers."""
    numbers = list(range(first, first + len(entries)))
    store.execute(f"DELETE FROM {t.log}")
    store.executemany(
        f"INSERT INTO {t.log} (seq, op, mask1, at, checkpoint, k0) VALUES (?1, ?2, ?3, ?4, ?5, ?1)",
        [(seq, *entry) for seq, entry in zip(numbers, entries, strict=True)],
    )
    return numbers


@settings(max_examples=200, deadline=None)
@given(ENTRIES, SHAPES, st.integers(1, 50), st.integers(0, 30))
def test_every_entry_is_of_a_run_that_says_the_same(
    bench: Bench, entries: list[tuple[float, int]], shape: tuple[str, int | None], first: int, beyond: int
) -> None:
    t = bench.table("t")
    with bench.store.transaction() as store:
        cut = max(first, entered(store, t, [(*shape, *entry) for entry in entries], first)[-1] - beyond)
        found = find_runs(store, t, cut)
    assert found is not None and found.shape == (shape[0], shape[1] or 0)
    ends = [*(run.first for run in found.all[1:]), cut + 1]
    told = [run[1:] for run, end in zip(found.all, ends, strict=True) for _ in range(run.first, end)]
    assert told == entries[: cut - first + 1]
    assert all(one[1:] != other[1:] for one, other in pairwise(found.all))


@settings(max_examples=200, deadline=None)
@given(ENTRIES, st.integers(1, 50), st.integers(1, 30))
def test_l7_clocks_by_the_run_are_those_of_sql(
    bench: Bench, entries: list[tuple[float, int]], first: int, size: int
) -> None:
    t = bench.table("t")
    with bench.store.transaction() as store:
        cut = entered(store, t, [("I", None, *entry) for entry in entries], first)[-1]
        make_clock(store, t, cut)
        expected = store.rows("SELECT hlc, checkpoint FROM temp._sync_clock ORDER BY seq")
        found = find_runs(store, t, cut)
        assert found is not None
        clocks, told = Clocks(store, found.all, cut), list[tuple[int, int]]()
        for start in range(0, len(entries), size):
            told += zip(*clocks.of(min(size, len(entries) - start)), strict=True)
    assert told == expected


@pytest.mark.parametrize(
    ("name", "value", "removed"),
    [("FEW", 21, 0), ("LENGTH", 11, 0), ("MOST", 1, 0), ("FEW", 0, 10)],
    ids=["short", "many runs", "more runs than may be in memory", "a number is missing"],
)
def test_a_log_that_is_better_read_by_the_entry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: int, removed: int
) -> None:
    t, entries = bench.table("t"), [("I", None, NOW + i // 10, 100) for i in range(20)]
    with bench.store.transaction() as store:
        entered(store, t, entries)
        assert find_runs(store, t, 20) == (("I", 0), [Run(1, NOW, 100), Run(11, NOW + 1, 100)])
        monkeypatch.setattr(runs, name, value)
        store.execute(f"DELETE FROM {t.log} WHERE seq = ?", (removed,))
        assert find_runs(store, t, 20) is None


@pytest.mark.parametrize("some", [1, 3, 200])
@pytest.mark.parametrize(
    "other", ["op = 'D'", "mask1 = 2", "mask1 = NULL", f"at = {1_767_225_700_000 << 16}"]
)
def test_an_entry_that_is_not_like_the_others_is_seen_wherever_it_stands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, other: str, some: int
) -> None:
    monkeypatch.setattr(runs, "SOME", some)
    t, entries = bench.table("t"), [("U", 1, NOW + i // 4, 100) for i in range(20)]
    for place in range(1, 21):
        with bench.store.transaction() as store:
            entered(store, t, entries)
            assert find_runs(store, t, 20) is not None
            store.execute(f"UPDATE {t.log} SET {other} WHERE seq = ?", (place,))
            assert find_runs(store, t, 20) is None
            if place > 1:
                assert find_runs(store, t, place - 1) is not None


def test_numbers_that_are_missing_are_seen_wherever_they_were(bench: Bench) -> None:
    t = bench.table("t")
    for gone in range(2, 20):
        with bench.store.transaction() as store:
            entered(store, t, [("I", None, NOW, 100)] * 20)
            store.execute(f"DELETE FROM {t.log} WHERE seq = ?", (gone,))
            assert find_runs(store, t, 20) is None


def test_a_bulk_insert_is_frozen_alike_by_the_run_and_by_the_entry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    t, frozen = bench.table("t"), []
    bench.app.execute(f"DELETE FROM {t.log}")
    bench.app.executemany("INSERT INTO t VALUES (?, ?, ?)", [(f"{i}", i, -i) for i in range(40)])
    bench.app.execute(f"UPDATE {t.log} SET at = {NOW} + (k0 / 10) * 1e-6, checkpoint = 100 + k0 / 15")
    for few in (0, 41):
        monkeypatch.setattr(runs, "FEW", few)
        assert freeze(bench.device) is not None
        frozen.append(bench.chunks())
        with bench.store.transaction() as store:
            for table in ("_sync_outbox", "_sync_outbox_cut"):
                store.execute(f"DELETE FROM {table}")
    assert frozen[0] == frozen[1]
    ((group,), *others) = frozen[0]
    place = 1 + [t.table.values[number].name for number in group.columns].index("a")
    assert not others and [row[place] for row in group.rows] == list(range(40))
    assert sorted(set(group.base)) == [0, 1, 2]
    clocks = undelta(group.hlc)
    assert clocks == sorted(set(clocks))
    bench.app.execute("DELETE FROM t")
    bench.app.execute(f"DELETE FROM {t.log}")


# What a bulk insert costs --------------------------------------------------------------------------------

ROWS = 5_000

STEPS_OF_STAMPS = 12
"""Instructions of SQLite's machine for each entry, at most, to tell who it is."""


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "b.db", "CREATE TABLE t (id TEXT PRIMARY KEY, a, b)")
    with made.app:
        made.app.execute("BEGIN")
        made.app.executemany("INSERT INTO t VALUES (?, 1, 2)", [(f"{i}",) for i in range(ROWS)])
    made.app.execute(f"UPDATE {made.log('t')} SET at = {NOW}")
    yield made
    made.close()


def steps(store: Store) -> Counter[str]:
    """Counts hundreds of instructions from now on."""
    counted: Counter[str] = Counter()

    def count() -> int:
        counted["steps"] += 100
        return 0

    store._connection.set_progress_handler(count, 100)
    return counted


def test_nothing_but_the_rows_of_a_bulk_insert_is_read_one_by_one(
    bulk: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    rows, batches = Store.rows, Store.batches

    def counted_rows(self: Store, *arguments: Any) -> list[tuple[Any, ...]]:
        found = rows(self, *arguments)
        read["values"] += sum(map(len, found))
        return found

    def counted_batches(self: Store, *arguments: Any) -> Iterator[list[tuple[Any, ...]]]:
        for batch in batches(self, *arguments):
            read["values"] += sum(map(len, batch))
            yield batch

    monkeypatch.setattr(Store, "rows", counted_rows)
    monkeypatch.setattr(Store, "batches", counted_batches)
    assert freeze(bulk.device) is not None
    assert len(bulk.chunks()[0][0].rows) == ROWS
    assert 3 * ROWS <= read["values"] < 3 * ROWS + 200


def test_whether_a_replace_may_have_deleted_rows_is_seen_without_the_log_being_read(bulk: Bench) -> None:
    counted = steps(bulk.store)
    with bulk.store.transaction() as store:
        settle(store, bulk.device.tables.values())
    assert counted["steps"] < ROWS / 10
    bulk.app.execute("REPLACE INTO t VALUES ('7', 1, 3)")
    bulk.app.execute("INSERT OR IGNORE INTO t VALUES ('8', 1, 2)")
    bulk.app.execute("INSERT OR IGNORE INTO t VALUES ('7', 1, 2)")
    with bulk.store.transaction() as store:
        settle(store, bulk.device.tables.values())
    later = bulk.rows(f"SELECT op, k0, o1 FROM {bulk.log('t')} WHERE seq > {ROWS}")
    assert [entry[:2] for entry in later] == [("D", "7"), ("I", "7")]


def test_the_stamps_of_a_large_push_are_read_in_one_pass_in_the_order_of_its_edits(
    bulk: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.app.execute(f"DELETE FROM {bulk.log('t')} WHERE seq IN (2, 3, 5)")
    stamps = [stamp for (stamp,) in bulk.rows(f"SELECT stamp FROM {bulk.log('t')} ORDER BY seq")]
    assert freeze(bulk.device) is not None
    counted = steps(bulk.store)
    assert provenance(bulk.device).stamps == b"".join(stamps)
    assert counted["steps"] / ROWS <= STEPS_OF_STAMPS
    for most in (1, 3, len(stamps) - 1, len(stamps), ROWS):
        monkeypatch.setattr(identity, "MOST", most)
        assert provenance(bulk.device).stamps == b"".join(stamps[:most])
