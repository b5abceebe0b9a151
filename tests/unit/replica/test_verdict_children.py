"""What was made after a push was frozen, under rows that its verdict says are another's (laws L2 and L6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.errors import UsageError
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.protocol.messages import Rejection
from syncline.replica.freeze import freeze
from syncline.replica.rejected import discard, rejected, retry
from tests.support.device import Bench

DDL = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, boss INTEGER REFERENCES owner);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner);
CREATE TABLE toy (id INTEGER PRIMARY KEY, pet INTEGER REFERENCES pet);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A push in flight of new owners (10 below 9, 12 below 11) and their pets; then each pet gets a toy."""
    made = Bench(tmp_path / "device.db", DDL)
    made.pull(made.put("owner", [1, "old", None]), made.put("pet", [1, 1]))
    made.app.execute("INSERT INTO owner VALUES (9, 'mine', NULL), (10, 'below', 9), (11, 'free', NULL)")
    made.app.execute("INSERT INTO owner VALUES (12, 'below', 11)")
    made.app.execute("INSERT INTO pet VALUES (5, 9), (6, 10), (7, 11), (8, 12)")
    made.app.execute("UPDATE pet SET owner = 9 WHERE id = 1")
    assert freeze(made.device) is not None
    made.app.execute("INSERT INTO toy VALUES (1, 1), (5, 5), (6, 6), (7, 7), (8, 8)")
    yield made
    made.close()


def refusal(
    bench: Bench, table: str, key: int, code: str, parent: tuple[str, int] | None = None
) -> Rejection:
    number = bench.schema.number_of
    above = None if parent is None else [number(parent[0]), [parent[1]]]
    return Rejection(number(table), [key], code, f"{table} {key}", "Mend it.", above)


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_made_since_below_new_rows_that_hang_on_a_taken_key_is_refused(
    bench: Bench, turned: bool
) -> None:
    told = [
        refusal(bench, "owner", 9, KEY_TAKEN),
        refusal(bench, "owner", 10, PARENT_REJECTED, ("owner", 9)),
        refusal(bench, "owner", 11, "check"),
        refusal(bench, "owner", 12, PARENT_REJECTED, ("owner", 11)),
        refusal(bench, "pet", 1, PARENT_REJECTED, ("owner", 9)),
        refusal(bench, "pet", 5, PARENT_REJECTED, ("owner", 9)),
        refusal(bench, "pet", 6, PARENT_REJECTED, ("owner", 10)),
        refusal(bench, "pet", 7, PARENT_REJECTED, ("owner", 11)),
        refusal(bench, "pet", 8, PARENT_REJECTED, ("owner", 12)),
    ]
    theirs = bench.put("owner", [9, "theirs", None])
    bench.verdict(theirs, bench.put("pet", [1, 1]), rejected=told[::-1] if turned else told)
    toys = [(edit.key, edit.code, edit.parent) for edit in rejected(bench.device) if edit.table == "toy"]
    assert sorted(toys) == [
        ((5,), PARENT_REJECTED, ("pet", (5,))),
        ((6,), PARENT_REJECTED, ("pet", (6,))),
    ]
    # The old pet is there as before, and the others may come in yet: no key of theirs is another's.
    assert [key for (key,) in bench.rows("SELECT id FROM toy ORDER BY 1")] == [1, 7, 8]
    assert len(rejected(bench.device)) == len(told) + 2


def test_where_no_key_is_taken_nothing_that_was_made_since_is_refused(bench: Bench) -> None:
    told = [
        refusal(bench, "owner", 9, "check"),
        refusal(bench, "pet", 5, PARENT_REJECTED, ("owner", 9)),
    ]
    bench.verdict(rejected=told)
    assert {edit.table for edit in rejected(bench.device)} == {"owner", "pet"}
    assert len(bench.all("toy")) == 5


def told_of_all(bench: Bench) -> list[Rejection]:
    return [
        refusal(bench, "owner", 9, KEY_TAKEN),
        refusal(bench, "owner", 10, PARENT_REJECTED, ("owner", 9)),
        refusal(bench, "owner", 11, "check"),
        refusal(bench, "pet", 5, PARENT_REJECTED, ("owner", 9)),
        refusal(bench, "pet", 6, PARENT_REJECTED, ("owner", 10)),
        refusal(bench, "pet", 7, PARENT_REJECTED, ("owner", 11)),
    ]


@pytest.mark.parametrize(
    "order", [[("owner", 9)], [("owner", 9), ("owner", 10)], [("owner", 10), ("owner", 9)]]
)
def test_what_hangs_on_a_discarded_row_whose_key_is_taken_is_not_given_to_the_other_s(
    bench: Bench, order: list[tuple[str, int]]
) -> None:
    """Others have rows of these keys by now. Where what was discarded had a key of its own, the edit goes to
    the row that it names."""
    theirs = [bench.put("owner", [9, "theirs", None], [10, "theirs", None], [11, "theirs", None])]
    bench.verdict(*theirs, rejected=told_of_all(bench))
    ids = {(edit.table, edit.key[0]): edit.id for edit in rejected(bench.device)}
    for place in [*order, ("owner", 11)]:
        discard(bench.device, ids[place])
    for key in (5, 6):
        with pytest.raises(UsageError) as caught:
            retry(bench.device, ids["pet", key])
        assert caught.value.code == "retry_refused"
        assert "is another's" in caught.value.detail
    bench.app.execute("DELETE FROM toy WHERE pet = 7")
    bench.app.execute("DELETE FROM pet WHERE id = 7")
    retry(bench.device, ids["pet", 7])
    assert bench.rows("SELECT owner FROM pet WHERE id = 7") == [(11,)]
