"""The application takes the key of a row that is hidden with pending edits: these are kept (law L2), and what
travels is the row that replaces the other (law L6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import UsageError
from syncline.protocol.messages import Rejection
from syncline.replica.displaced import keep_displaced, keep_uncovered
from syncline.replica.freeze import freeze
from syncline.replica.offer import take_apart
from syncline.replica.rejected import rejected, retry, wait
from syncline.replica.reports import RejectedEdit
from tests.support.device import Bench

DDL = """
CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, n INTEGER);
INSERT INTO job VALUES (1, 'a', 'x', 10);
"""
TAKES = {
    "insert": ["INSERT INTO job VALUES (2, 'other', NULL, 7)"],
    "replace": ["REPLACE INTO job VALUES (2, 'other', NULL, 7)"],
    "rekey": ["INSERT INTO job VALUES (9, 'other', NULL, 7)", "UPDATE job SET id = 2 WHERE id = 9"],
    "again": ["INSERT INTO job VALUES (2, 'once', NULL, 0)", "REPLACE INTO job VALUES (2, 'other', NULL, 7)"],
    "renamed": ["INSERT INTO job VALUES (2, 'once', NULL, 7)", "UPDATE job SET name = 'other' WHERE id = 2"],
}
DETAIL = "given its key to another"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"])
    made.pull(made.put("job", [2, "b", "y", 20]))
    yield made
    made.close()


def edit(bench: Bench, *statements: str) -> None:
    for sql in statements:
        bench.app.execute(sql)


def hide(bench: Bench) -> None:
    bench.pull(bench.gone("job", 2), watermark="w2")
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(1,)]


def kept(bench: Bench) -> list[RejectedEdit]:
    """What is kept, all of it because the key is another's; nothing is hidden any more."""
    found = rejected(bench.device)
    assert {one.code for one in found} <= {"key_taken"}
    assert all(DETAIL in one.detail and one.remedy for one in found)
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(0,)]
    return found


def sent(bench: Bench) -> list[tuple[str, list[Any]]]:
    assert freeze(bench.device) is not None
    groups = [group for chunk in bench.chunks() for group in chunk]
    return [
        (group.op, row)
        for group in groups
        for row in (bench.declared(group) if group.columns else group.rows)
    ]


@pytest.mark.parametrize("how", TAKES)
def test_l2_what_was_written_into_a_hidden_row_is_kept_when_its_key_is_given_to_another(
    bench: Bench, how: str
) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2", "UPDATE job SET n = n + 3 WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES[how])
    assert ("R", [2, "other", None, 7]) in sent(bench)
    (one,) = kept(bench)
    assert (one.op, one.key, one.base["note"]) == ("U", (2,), "y")
    assert one.values == {"note": "mine", "n": 3}  # of a counter what was added
    bench.verdict()
    assert bench.all("job") == [(1, "a", "x", 10), (2, "other", None, 7)]
    assert len(kept(bench)) == 1


def test_l2_it_is_kept_before_the_other_row_is_gone_again(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"], "DELETE FROM job WHERE id = 2")
    bench.pull(watermark="w3")
    assert [one.values for one in kept(bench)] == [{"note": "mine"}]
    assert [op for op, _ in sent(bench)] == ["D"]


def test_a_replace_that_takes_the_other_row_away_again_does_not_bring_the_hidden_one_back(
    bench: Bench,
) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"], "REPLACE INTO job VALUES (3, 'other', NULL, 0)")
    assert sorted(sent(bench)) == [("D", [2]), ("I", [3, "other", None, 0])]
    assert [one.values for one in kept(bench)] == [{"note": "mine"}]


@pytest.mark.parametrize("is_in_flight", [False, True])
def test_the_log_is_not_read_again_for_each_of_many_hidden_rows(bench: Bench, is_in_flight: bool) -> None:
    """It has no index by the key."""
    asked: list[str] = []

    def readings() -> int:
        found = sum(bench.log("job") in sql for sql in asked)
        asked.clear()
        return found

    many = range(10, 40)
    bench.pull(bench.put("job", *([i, f"m{i}", "y", 0] for i in many)), watermark="w2")
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    bench.store._connection.set_trace_callback(asked.append)
    with bench.store.transaction():
        keep_displaced(bench.device, bench.table("job"))
        keep_uncovered(bench.device, bench.table("job"), [(2,)], 0)
    before = readings()
    edit(bench, "UPDATE job SET note = 'mine' WHERE id >= 10")
    if is_in_flight:
        assert freeze(bench.device) is not None
    bench.pull(bench.gone("job", *many), watermark="w3")
    asked.clear()
    with bench.store.transaction():
        keep_displaced(bench.device, bench.table("job"))
        keep_uncovered(bench.device, bench.table("job"), [(i,) for i in many], 0)
    assert readings() == before
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(31,)]
    assert rejected(bench.device) == []


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("more", [True, False])
def test_what_a_push_in_flight_covers_has_its_verdict_and_the_rest_is_kept(
    bench: Bench, more: bool, is_there: bool
) -> None:
    """`more`: written into the row after the push and before it was hidden."""
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    assert freeze(bench.device) is not None
    if more:
        edit(bench, "UPDATE job SET name = 'later' WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"])
    if not is_there:
        edit(bench, "DELETE FROM job WHERE id = 2")
    bench.pull(watermark="w3")
    assert rejected(bench.device) == []
    number = bench.schema.number_of("job")
    bench.verdict(bench.gone("job", 2), rejected=[Rejection(number, [2], "check_violation", "no", "mend it")])
    found = {one.code: one.values for one in rejected(bench.device)}
    assert found == {"check_violation": {"note": "mine"}} | ({"key_taken": {"name": "later"}} if more else {})
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(0,)]
    if is_there:
        assert sent(bench) == [("R" if more else "I", [2, "other", None, 7])]
    else:
        assert sent(bench) == [("D" if more else "-", [2])]


def test_the_edits_of_a_push_that_is_taken_apart_are_kept(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    assert freeze(bench.device) is not None
    hide(bench)
    edit(bench, *TAKES["insert"])
    with bench.store.transaction() as store:
        take_apart(store)
    assert sent(bench) == [("R", [2, "other", None, 7])]
    assert [one.values for one in kept(bench)] == [{"note": "mine"}]


def test_the_edits_of_a_file_that_asks_the_hub_what_became_of_them_are_kept(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"])
    stamps = bench.rows(f"SELECT stamp FROM {bench.log('job')} WHERE op = 'I'")
    bench.entered(done={stamps[0][0]})
    assert [one.values for one in kept(bench)] == [{"note": "mine"}]


def test_a_text_that_is_not_utf_8_is_kept_as_its_bytes(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = CAST(x'ff41' AS TEXT) WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"])
    sent(bench)
    assert [one.values for one in kept(bench)] == [{"note": b"\xffA"}]


def test_a_retry_of_what_was_kept_is_not_put_over_the_other_row(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    edit(bench, *TAKES["insert"])
    sent(bench)
    bench.verdict()
    with pytest.raises(UsageError, match="the key is another row's"):
        retry(bench.device, kept(bench)[0].id)


def test_a_row_that_comes_back_before_its_key_is_taken_is_edited_as_ever(bench: Bench) -> None:
    edit(bench, "UPDATE job SET note = 'mine' WHERE id = 2")
    hide(bench)
    bench.pull(bench.put("job", [2, "B", "theirs", 9]), watermark="w3")
    edit(bench, "DELETE FROM job WHERE id = 2", *TAKES["insert"])
    assert sent(bench) == [("R", [2, "other", None, 7])]
    assert kept(bench) == []


def test_an_insert_that_a_lock_refused_is_put_back_with_what_was_written_into_its_row_since(
    bench: Bench,
) -> None:
    edit(bench, "INSERT INTO job VALUES (5, 'n', 'first', 1)")
    assert freeze(bench.device) is not None
    edit(bench, "UPDATE job SET note = 'later', n = n + 1 WHERE id = 5")
    number = bench.schema.number_of("job")
    bench.verdict(rejected=[Rejection(number, [5], "row_locked", "held", "wait")])
    assert [row[0] for row in bench.all("job")] == [1, 2]
    wait(bench.device, rejected(bench.device))
    assert bench.all("job")[2] == (5, "n", "later", 2)
    assert sent(bench) == [("I", [5, "n", "later", 2])]
    assert kept(bench) == []
    bench.verdict()
    assert bench.all("job")[2] == (5, "n", "later", 2)
