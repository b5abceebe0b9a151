"""The bodies of a large push are in the file once, as long as it is in flight or kept (L2, L11)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncline.protocol.body import open_push
from syncline.protocol.messages import Limits, Rejection
from syncline.replica import sent, verdict
from syncline.replica.draft import sealed
from syncline.replica.freeze import clear_outbox, freeze, in_flight
from syncline.replica.offer import offer_next, take_apart
from syncline.replica.sent import lose, lost_bodies, next_lost, read_part, sweep_sent
from tests.support.device import Bench

DDL = "CREATE TABLE word (id TEXT PRIMARY KEY, n INTEGER);"
WEEK = 7 * 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL)
    made.store.set_state(limits=msgspec.json.encode(Limits(push_rows=3)).decode())
    yield made
    made.close()


def insert(bench: Bench, name: str, rows: int) -> None:
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [(f"{name} {i}", i) for i in range(rows)])


def push(bench: Bench, name: str, rows: int = 8, **fields: Any) -> list[tuple[int, str, bytes]]:
    """Push new rows and take the verdict; the chunks as they went."""
    insert(bench, name, rows)
    assert freeze(bench.device) is not None
    chunks = list(sealed(bench.store))
    bench.verdict(**fields)
    return chunks


def bodies(bench: Bench) -> list[int]:
    """The bodies in the file. None of them is without a name, and no name without its body."""
    present = [number for (number,) in bench.rows("SELECT id FROM _sync_body ORDER BY id")]
    chunks = bench.rows("SELECT body_id FROM _sync_outbox_chunk")
    kept = bench.rows("SELECT body_id FROM _sync_sent WHERE body_id IS NOT NULL")
    assert sorted(number for (number,) in chunks + kept) == present
    return present


def test_a_verdict_leaves_the_bodies_of_a_large_push_where_they_are(bench: Bench) -> None:
    insert(bench, "a", 8)
    freeze(bench.device)
    chunks, before = list(sealed(bench.store)), bodies(bench)
    assert len(before) == len(chunks) == 3
    bench.verdict()
    assert bodies(bench) == before
    assert bench.rows("SELECT * FROM _sync_outbox_chunk") == []
    kept = [read_part(bench.store, (1, part)) for part in (1, 2, 3)]
    assert [(part.digest, part.body) for part in kept] == [(digest, body) for _, digest, body in chunks]


def test_a_small_push_has_its_body_with_it(bench: Bench) -> None:
    ((_, digest, body),) = push(bench, "a", 2)
    assert bodies(bench) == []
    kept = read_part(bench.store, (1, 0))
    assert (kept.digest, kept.body) == (digest, body)


def test_l11_bodies_go_with_the_pushes_that_are_kept_no_longer(bench: Bench) -> None:
    push(bench, "a")
    newest = push(bench, "b")
    assert len(bodies(bench)) == 6
    bench.app.execute("UPDATE _sync_sent SET at = '2020' WHERE number = 1")
    sweep_sent(bench.store, WEEK)
    assert len(bodies(bench)) == 3
    assert [read_part(bench.store, (2, part)).body for part in (1, 2, 3)] == [body for *_, body in newest]
    sweep_sent(bench.store, WEEK, largest=1)
    assert bodies(bench) == []


def test_l11_large_and_small_pushes_count_together(bench: Bench) -> None:
    for name, rows in (("a", 8), ("b", 2), ("c", 8)):
        push(bench, name, rows)
    newest: int = bench.rows("SELECT sum(length(body)) FROM _sync_body WHERE id > 3")[0][0]
    sweep_sent(bench.store, WEEK, largest=newest)
    assert bench.rows("SELECT DISTINCT number FROM _sync_sent") == [(3,)]
    assert len(bodies(bench)) == 3


@pytest.mark.parametrize(("number", "largest"), [(98, 0), (98, 1 << 20), (99, 1 << 20)])
def test_l11_old_pushes_are_forgotten_with_every_hundredth_push_and_with_a_large_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, largest: int
) -> None:
    push(bench, "a", 2)
    bench.app.execute("UPDATE _sync_sent SET at = '2020'")
    monkeypatch.setattr(sent, "LARGE", largest)
    bench.store.set_state(push=number)
    push(bench, "b", 2)
    assert len(bench.rows("SELECT * FROM _sync_sent")) == (2 if number == 98 and largest else 1)


def test_l11_a_push_too_large_to_keep_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "LARGEST", 10)
    push(bench, "a")
    assert bodies(bench) == []


def test_a_push_taken_apart_leaves_no_body(bench: Bench) -> None:
    insert(bench, "a", 8)
    freeze(bench.device)
    with bench.store.transaction() as store:
        clear_outbox(store)
    assert bodies(bench) == []
    frozen = freeze(bench.device)
    assert frozen is not None and frozen.rows == 8


def test_a_draft_that_is_made_again_leaves_no_body(bench: Bench) -> None:
    insert(bench, "a", 8)
    bench.app.execute("INSERT INTO word VALUES ('odd', CAST(x'ff' AS TEXT))")
    frozen = freeze(bench.device)
    assert frozen is not None and frozen.rows == 8
    assert len(bodies(bench)) == frozen.chunks


def test_l2_a_large_push_that_was_lost_is_offered_again_and_put_back_and_kept(bench: Bench) -> None:
    refused = [Rejection(bench.schema.number_of("word"), ["a 7"], "code", "detail", "remedy")]
    chunks = push(bench, "a", rejected=refused)
    insert(bench, "later", 1)
    store, device = bench.store, bench.device
    with store.transaction():
        lose(store, [1])
        assert [body for _, body in lost_bodies(store)] == [body for *_, body in chunks]
        assert offer_next(device, "w1")
    assert len(bodies(bench)) == 3
    offered = [body for *_, body in sealed(store)]
    with store.transaction():
        take_apart(store)
    assert in_flight(store) is None
    assert [read_part(store, place).body for place in next_lost(store)] == offered
    assert len(bodies(bench)) == 3
    with store.transaction():
        assert offer_next(device, "w2")
    bench.verdict()
    assert next_lost(store) == []
    kept = bench.rows("SELECT number, part FROM _sync_sent ORDER BY part")
    keys = [
        row[0]
        for place in kept
        for part in [read_part(store, place)]
        for group in open_push(part.body, part.digest)
        for row in group.rows
    ]
    assert keys == [f"a {i}" for i in range(7)]
    assert len(bodies(bench)) == 3
    frozen = freeze(device)
    assert frozen is not None and frozen.number == 4
    assert [group.rows for group in open_push(frozen.body, frozen.digest)] == [[["later 0", 0]]]


def test_edits_after_the_cut_stay_in_the_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "MANY", 1)
    insert(bench, "a", 8)
    freeze(bench.device)
    insert(bench, "b", 2)
    bench.verdict()
    assert bench.rows(f"SELECT k0 FROM {bench.log('word')} ORDER BY seq") == [("b 0",), ("b 1",)]
    freeze(bench.device)
    bench.verdict()
    assert bench.rows(f"SELECT * FROM {bench.log('word')}") == []
