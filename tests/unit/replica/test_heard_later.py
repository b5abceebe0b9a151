"""What a file hears of its edits later than by their verdict: refusals, and what they take with them (L2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.protocol.body import each_stamp, open_push
from syncline.protocol.messages import Rejection
from syncline.replica.freeze import freeze
from syncline.replica.rejected import rejected
from syncline.replica.sent import kept_pushes, kept_stamps, parts_of, read_part, waiting
from tests.support.device import Bench

DDL = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, boss INTEGER REFERENCES owner);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner);
CREATE TABLE toy (id INTEGER PRIMARY KEY, pet INTEGER REFERENCES pet);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"])
    made.pull(made.put("owner", [1, "old", 10, None]), made.put("pet", [1, 1], [2, 1]))
    yield made
    made.close()


def refusal(bench: Bench, table: str, key: int, code: str, **fields: Any) -> Rejection:
    return Rejection(bench.schema.number_of(table), [key], code, f"{table} {key}", "Mend it.", **fields)


def stamps_of(bench: Bench, table: str, key: int) -> frozenset[bytes]:
    found = bench.rows(f"SELECT stamp FROM {bench.log(table)} WHERE k0 = {key}")
    return frozenset(stamp for (stamp,) in found)


def pending(bench: Bench, table: str) -> list[int]:
    return [key for (key,) in bench.rows(f"SELECT DISTINCT k0 FROM {bench.log(table)} ORDER BY 1")]


def test_what_was_made_since_and_points_at_a_row_whose_key_is_taken_is_kept_with_it(bench: Bench) -> None:
    for statement in (
        "INSERT INTO owner VALUES (9, 'mine', 1, NULL), (8, 'free', 1, NULL)",
        "INSERT INTO owner VALUES (10, 'below', 1, 9), (11, 'far below', 1, 10)",
        "INSERT INTO pet VALUES (5, 9), (6, 8), (7, 11)",
        "UPDATE pet SET owner = 9 WHERE id = 1",  # an old one moves there
        "INSERT INTO toy VALUES (1, 5), (2, 1), (3, 6), (4, 7)",
    ):
        bench.app.execute(statement)
    done = stamps_of(bench, "owner", 9) | stamps_of(bench, "owner", 8)
    told = [refusal(bench, "owner", 9, KEY_TAKEN), refusal(bench, "owner", 8, "check")]
    assert not bench.entered(done=set(done), rejected=[(done, told)])
    kept = {(edit.table, edit.key[0]): (edit.op, edit.code, edit.parent) for edit in rejected(bench.device)}
    assert kept == {
        ("owner", 9): ("I", KEY_TAKEN, None),
        ("owner", 8): ("I", "check", None),  # its key is free: what points at it is for the centre to judge
        ("owner", 10): ("I", PARENT_REJECTED, ("owner", (9,))),
        ("owner", 11): ("I", PARENT_REJECTED, ("owner", (10,))),
        ("pet", 5): ("I", PARENT_REJECTED, ("owner", (9,))),
        ("pet", 1): ("U", PARENT_REJECTED, ("owner", (9,))),
        ("pet", 7): ("I", PARENT_REJECTED, ("owner", (11,))),
        ("toy", 1): ("I", PARENT_REJECTED, ("pet", (5,))),
        ("toy", 4): ("I", PARENT_REJECTED, ("pet", (7,))),
    }
    assert (pending(bench, "owner"), pending(bench, "pet"), pending(bench, "toy")) == ([], [6], [2, 3])
    by_key = {(edit.table, edit.key[0]): edit for edit in rejected(bench.device)}
    assert by_key["pet", 1].values == {"owner": 9} and by_key["pet", 1].base == {"owner": 1}
    assert by_key["owner", 10].values == {"name": "below", "n": 1, "boss": 9}


def test_rows_that_point_at_each_other_are_kept_once(bench: Bench) -> None:
    bench.app.execute("INSERT INTO owner VALUES (9, 'mine', 1, NULL), (10, 'other', 1, 9)")
    done = stamps_of(bench, "owner", 9) | stamps_of(bench, "owner", 10)
    bench.app.execute("UPDATE owner SET boss = 10 WHERE id = 9")
    told = [refusal(bench, "owner", 9, KEY_TAKEN), refusal(bench, "owner", 10, KEY_TAKEN)]
    assert not bench.entered(done=set(done), rejected=[(done, told)])
    kept = [(edit.key, edit.op, edit.code) for edit in rejected(bench.device)]
    assert kept == [((9,), "I", KEY_TAKEN), ((10,), "I", KEY_TAKEN)]


def test_of_an_edit_that_was_refused_in_some_columns_only_these_are_kept(bench: Bench) -> None:
    bench.app.execute("UPDATE owner SET name = 'mine', n = n + 5, boss = 1 WHERE id = 1")
    numbers = {column.name: number for number, column in bench.table("owner").table.values.items()}
    done = stamps_of(bench, "owner", 1)
    gone = refusal(bench, "owner", 1, "column_dropped", columns=[numbers["name"], numbers["n"]])
    assert not bench.entered(done=set(done), rejected=[(done, [gone])], horizon="later")
    (edit,) = rejected(bench.device)
    assert (edit.op, edit.code) == ("U", "column_dropped")
    assert (edit.values, edit.base) == ({"name": "mine", "n": 5}, {"name": "old", "n": 10})
    assert pending(bench, "owner") == []
    (kept,) = kept_pushes(bench.store)  # what was taken of it: the centre may lose it
    (place,) = parts_of(bench.store, kept.number)
    part = read_part(bench.store, place)
    (group,) = open_push(part.body, part.digest)
    assert numbers["boss"] in group.columns and group.rows[0][0] == 1


def test_what_points_at_a_row_of_which_nothing_was_sent_stays_whatever_is_said_of_its_key(
    bench: Bench,
) -> None:
    bench.app.execute("INSERT INTO owner VALUES (9, 'mine', 1, NULL)")
    bench.app.execute("UPDATE pet SET owner = NULL WHERE id = 1")
    bench.app.execute("UPDATE pet SET owner = 1 WHERE id = 1")
    done = stamps_of(bench, "owner", 9)
    told = [refusal(bench, "owner", 1, KEY_TAKEN)]
    assert not bench.entered(done=set(done), rejected=[(done, told)])
    assert (rejected(bench.device), pending(bench, "pet")) == ([], [1])


def test_what_was_refused_of_a_push_that_came_to_the_centre_by_a_copy_is_kept_with_its_reason(
    bench: Bench,
) -> None:
    """The verdict of this file's own push told of one refusal; the centre has lost that, and has refused more
    when a copy of the file offered it again."""
    bench.app.execute("UPDATE owner SET name = 'mine', n = n + 5 WHERE id = 1")
    bench.app.execute("INSERT INTO pet VALUES (5, 1), (6, 1)")
    bench.app.execute("DELETE FROM pet WHERE id = 2")
    assert freeze(bench.device) is not None
    known = refusal(bench, "pet", 5, "check")
    bench.verdict(bench.gone("pet", 5), rejected=[known])
    (kept,) = kept_pushes(bench.store)
    stamps = frozenset(each_stamp(kept_stamps(bench.store, kept.number)))
    told = [
        refusal(bench, "owner", 1, "unique", parent=None),
        refusal(bench, "pet", 2, "locked"),
        known,
        refusal(bench, "pet", 6, "column_dropped", columns=[0]),
    ]
    others = [refusal(bench, "pet", 6, "of another push")]
    heard = [(frozenset(list(stamps)[:1]), told), (frozenset({b"another's"}), others)]
    assert not bench.entered(lost=[kept], done=set(stamps), rejected=heard, horizon="later")
    found = [(edit.table, edit.key, edit.op, edit.code, edit.values) for edit in rejected(bench.device)]
    assert found == [
        ("pet", (5,), "I", "check", {"owner": 1}),
        ("owner", (1,), "U", "unique", {"name": "mine", "n": 5}),
        ("pet", (2,), "D", "locked", {}),
    ]
    assert waiting(bench.store) == []
    (again,) = kept_pushes(bench.store)
    refused = [
        one for place in parts_of(bench.store, again.number) for one in read_part(bench.store, place).refused
    ]
    owner, pet = bench.schema.number_of("owner"), bench.schema.number_of("pet")
    assert sorted(refused) == sorted([[pet, [5]], [owner, [1]], [pet, [2]]])
    # Whoever hears it once more keeps it once.
    assert not bench.entered(lost=[again], done=set(stamps), rejected=heard, horizon="later")
    assert len(rejected(bench.device)) == 3
