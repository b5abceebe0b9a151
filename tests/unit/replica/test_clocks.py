"""The clocks of pending edits are the same whoever computes them (law L7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.replica.clocks import EPOCH, Stamps, make_clock
from tests.support.device import Bench

NOW = 2461366.25
TIMES = st.one_of(
    st.floats(NOW - 1e-6, NOW + 1e-6),
    st.floats(EPOCH - 2.0, EPOCH + 2.0),
    st.sampled_from([0.0, EPOCH, EPOCH + 0.5 / 86400000.0, NOW, 5e6]),
)
ENTRIES = st.lists(st.tuples(st.integers(1, 3), TIMES, st.integers(0, 2)), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path: Path = tmp_path_factory.mktemp("clocks") / "a.db"
    made = Bench(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    yield made
    made.close()


@settings(max_examples=200, deadline=None)
@given(ENTRIES, st.integers(1, 30))
def test_in_python_as_in_sql(bench: Bench, entries: list[tuple[int, float, int]], size: int) -> None:
    t = bench.table("t")
    with bench.store.transaction() as store:
        store.execute(f"DELETE FROM {t.log}")
        store.execute("DELETE FROM _sync_checkpoint WHERE id > 100")
        store.executemany(
            "INSERT INTO _sync_checkpoint (id, watermark, hlc) VALUES (?, ?, ?)",
            [(101, "x", 0), (102, "y", 1_767_225_600_000 << 16)],
        )
        seq, rows = 0, []
        for step, at, checkpoint in entries:
            seq += step
            rows.append((seq, at, 100 + checkpoint))
        store.executemany(
            f"INSERT INTO {t.log} (seq, op, at, checkpoint, k0) VALUES (?1, 'I', ?2, ?3, ?1)", rows
        )
        make_clock(store, t, seq)
        expected = [hlc for (hlc,) in store.rows("SELECT hlc FROM temp._sync_clock ORDER BY seq")]
        stamps, found = Stamps(store), list[int]()
        for start in range(0, len(rows), size):
            seqs, times, checkpoints = zip(*rows[start : start + size], strict=True)
            found += stamps.of(seqs, times, checkpoints)
    assert found == expected
    assert found == sorted(set(found))
