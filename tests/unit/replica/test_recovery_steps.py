"""How far a recovery is stands in the file, and what an earlier one has found out is kept in mind (L2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.protocol.messages import Limits, Reconcile, Reconciled, Register, Registered
from syncline.replica.freeze import freeze
from syncline.replica.identity import Learned
from syncline.replica.recovery import LOST, PRUNED, RESTORED, Recovery, _entered, begin, load, recover, save
from syncline.replica.sent import kept_pushes
from syncline.replica.tally import Tally
from tests.support.device import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A file that has made three pushes, of which it keeps what it sent."""
    made = Bench(tmp_path / "device.db", "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    for key in (1, 2, 3):
        made.app.execute("INSERT INTO item VALUES (?, 'mine')", (key,))
        assert freeze(made.device) is not None
        made.verdict()
    yield made
    made.close()


def test_a_file_that_needs_none_has_no_recovery(bench: Bench) -> None:
    assert load(bench.store) is None


def test_a_recovery_begins_with_the_question_what_became_of_the_edits(bench: Bench) -> None:
    begin(bench.store, PRUNED)
    assert load(bench.store) == Recovery(PRUNED, "ask", rejected=0)


def test_one_that_begins_again_asks_again_and_keeps_what_was_done(bench: Bench) -> None:
    before = Recovery(PRUNED, "fill", "w7", 3, 2, "fresh", {"print": None}, "w5")
    with bench.store.transaction():
        assert save(bench.store, before) == before
    assert load(bench.store) == before
    begin(bench.store, LOST)
    assert load(bench.store) == Recovery(LOST, "ask", "w7", 3, 2, "fresh", {"print": None}, "w5")


@pytest.mark.parametrize(("before", "then"), [(RESTORED, PRUNED), (PRUNED, RESTORED), (RESTORED, RESTORED)])
def test_that_the_centre_went_back_in_time_is_not_forgotten(bench: Bench, before: str, then: str) -> None:
    begin(bench.store, before)
    begin(bench.store, then)
    found = load(bench.store)
    assert found is not None and found.reason == RESTORED


def learned(bench: Bench, push: int, **fields: Any) -> Learned:
    plain: dict[str, Any] = {"replica": bench.store.state().replica, "taken": False, "since": 0}
    return Learned(push=push, **(plain | fields))


@pytest.mark.parametrize(
    ("push", "lost", "missing", "reason"),
    [
        (3, 0, 0, PRUNED),
        (4, 0, 0, PRUNED),  # a copy of the file has pushed on
        (-1, 0, 0, PRUNED),  # the hub does not know the file: nothing can be said
        (2, 1, 0, RESTORED),
        (0, 1, 2, RESTORED),
        (1, 0, 2, RESTORED),
        (2, 0, 1, RESTORED),
    ],
)
def test_pushes_that_the_centre_has_lost_and_the_file_no_longer_keeps_are_missing(
    bench: Bench, caplog: pytest.LogCaptureFixture, push: int, lost: int, missing: int, reason: str
) -> None:
    kept = kept_pushes(bench.store)
    with bench.store.transaction(), caplog.at_level(logging.WARNING, "syncline.replica"):
        found = _entered(
            bench.device, Recovery(PRUNED, missing=5), learned(bench, push, lost=kept[3 - lost :])
        )
    assert (found.reason, found.missing) == (reason, 5 + missing)
    said = [record.getMessage() for record in caplog.records]
    assert said == (
        [f"the centre has lost {missing} pushes that this device no longer keeps"] if missing else []
    )


@pytest.mark.parametrize("taken", [True, False])
def test_an_id_that_the_file_has_taken_is_not_taken_a_second_time(bench: Bench, taken: bool) -> None:
    heard = learned(bench, 3, **({"replica": "fresh"} if taken else {}))
    with bench.store.transaction():
        found = _entered(bench.device, Recovery(PRUNED, fresh="fresh"), heard)
    assert found.fresh == ("" if taken else "fresh")
    assert bench.store.state().replica == ("fresh" if taken else "replica-1")


@pytest.mark.parametrize("seen", ["", "w5"])
def test_what_the_hub_has_answered_stands_in_the_file_before_anything_else_is_asked(
    bench: Bench, seen: str
) -> None:
    begin(bench.store, PRUNED)
    flow = recover(bench.device, Tally(), lambda stage, done, total: None)
    asked = next(flow)
    assert isinstance(asked, Reconcile)
    found = load(bench.store)
    assert found is not None and (found.step, found.fresh) == ("ask", asked.replica)
    unknown = [bench.device.hub.fingerprint]
    answer = Reconciled("hub-1", asked.previous, False, 3, b"", [], [], 0, unknown=unknown, seen=seen)
    assert isinstance(flow.send(answer), Register)
    found = load(bench.store)
    assert found is not None and (found.step, found.seen, list(found.past)) == ("ask", seen, unknown)
    flow.close()


@pytest.mark.parametrize(("floor", "base"), [("floor", "floor"), ("", "now")])
def test_what_is_offered_again_stands_on_where_the_log_begins_or_on_now(
    bench: Bench, floor: str, base: str
) -> None:
    begin(bench.store, PRUNED)
    flow = recover(bench.device, Tally(), lambda stage, done, total: None)
    asked = next(flow)
    assert isinstance(asked, Reconcile)
    flow.send(Reconciled("hub-1", asked.previous, False, 3, b"", [], [], 0))
    schema = bench.device.hub.fingerprint
    flow.send(Registered("hub-1", schema, "", [], Limits(), "now", 3, 0, floor))
    found = load(bench.store)
    assert found is not None and (found.step, found.base) == ("fill", base)
    flow.close()
