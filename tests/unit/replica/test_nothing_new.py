"""An answer that brings nothing is taken in without a transaction; whatever it does bring is noted (L13)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Raw

from syncline.protocol.messages import Changes
from syncline.replica.apply import NOTED_SECONDS, Answer, apply
from syncline.replica.freeze import freeze, in_flight
from tests.support.device import Bench

DDL = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A file that has all that the hub has, up to `w1`, and was synced half a minute ago."""
    made = Bench(tmp_path / "device.db", DDL)
    made.pull(made.put("parent", [1, "a"]), hlc=5)
    synced(made, NOTED_SECONDS / 2)
    yield made
    made.close()


def synced(bench: Bench, seconds: float) -> str:
    """Say that the file was synced so many seconds ago."""
    moment = datetime.fromisoformat(bench.store.utc()) - timedelta(seconds=seconds)
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with bench.store.transaction() as store:
        store.set_state(last_sync=text)
    return text


@pytest.mark.parametrize("watermark", ["w1", "", None])
@pytest.mark.parametrize("hlc", [0, 5])
def test_nothing_new_does_not_wait_for_a_program_that_writes(
    bench: Bench, watermark: str | None, hlc: int
) -> None:
    before = bench.store.state()
    bench.app.execute("BEGIN IMMEDIATE")
    for groups, digest in ((b"\x90", "d"), (b"", "")):
        applied = apply(bench.device, Answer(last=Changes(watermark, False, hlc, digest, Raw(groups))))
        assert (applied.written, applied.removed) == ({}, {})
    bench.app.execute("ROLLBACK")
    assert bench.store.state() == before


def test_a_new_position_and_a_newer_clock_are_noted_though_no_row_came(bench: Bench) -> None:
    bench.pull(watermark="w2", hlc=5)
    state = bench.store.state()
    assert (state.watermark, state.horizon, state.hlc) == ("w2", "w2", 5)
    bench.pull(watermark="w2", hlc=6)
    assert bench.store.state().hlc == 6


def test_a_position_that_only_a_verdict_has_told_is_left_for_that_of_a_pull(bench: Bench) -> None:
    with bench.store.transaction() as store:
        store.set_state(horizon="further")
    bench.pull(watermark="w1", hlc=5)
    assert bench.store.state().horizon == "w1"


@pytest.mark.parametrize("seconds", [NOTED_SECONDS + 1, -5])
def test_that_the_file_was_synced_is_noted_again_after_a_while_and_where_the_clock_went_back(
    bench: Bench, seconds: float
) -> None:
    before = synced(bench, seconds)
    bench.pull(watermark="w1", hlc=5)
    assert bench.store.state().last_sync not in (None, before)


def test_that_a_file_was_synced_for_the_first_time_is_noted(bench: Bench) -> None:
    with bench.store.transaction() as store:
        store.set_state(last_sync=None)
    bench.pull(watermark="w1", hlc=5)
    assert bench.store.state().last_sync is not None


def test_what_could_not_be_shown_is_tried_again_though_nothing_came(bench: Bench) -> None:
    bench.pull(bench.put("child", [1, 7]), watermark="w2", hlc=5)
    assert bench.all("child") == []
    with bench.store.transaction() as store:
        store.set_state(suppressed=1)
        store.execute("INSERT INTO parent VALUES (7, 'late')")
        store.set_state(suppressed=0)
    bench.pull(watermark="w2", hlc=5)
    assert bench.all("child") == [(1, 7)]


def test_a_verdict_is_entered_though_it_brings_no_rows(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET name = 'mine'")
    assert freeze(bench.device) is not None
    bench.verdict()
    assert in_flight(bench.store) is None
