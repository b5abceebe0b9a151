"""The answer to a push is entered into the file: what leaves the log, is kept, and is shown (L2, L6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import UsageError
from syncline.model.schema import Schema
from syncline.protocol.body import chained
from syncline.protocol.messages import Group, Rejection
from syncline.replica import apply
from syncline.replica.answers import groups_of
from syncline.replica.freeze import Frozen, freeze, in_flight
from syncline.replica.identity import told
from syncline.replica.rejected import (
    HELD,
    SLICE,
    Made,
    Reason,
    discard,
    keep_rejected,
    newest_rejected,
    rejected,
    retry,
    wait,
)
from syncline.replica.sent import kept_pushes, kept_stamps, sweep_sent
from syncline.replica.settled import known_refused
from syncline.replica.store import unpack
from syncline.replica.verdict import MANY
from tests.support.device import Bench

DDL = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, n INTEGER);
CREATE TABLE pet (id TEXT, place TEXT, owner INTEGER REFERENCES owner, word TEXT, PRIMARY KEY (id, place));
"""
OWNERS = ([1, "a", "x", 10], [2, "b", "y", 20], [3, "c", None, 30])
PETS = (["p", "here", 1, "k"],)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"])
    made.pull(made.put("owner", *OWNERS), made.put("pet", *PETS))
    yield made
    made.close()


def frozen(bench: Bench) -> Frozen:
    found = freeze(bench.device)
    assert found is not None
    return found


def refusal(bench: Bench, table: str, *key: Any, **fields: Any) -> Rejection:
    words: dict[str, Any] = {"code": "check", "detail": f"{table} {key}", "remedy": "Mend it.", **fields}
    return Rejection(bench.schema.number_of(table), list(key), **words)


def logged(bench: Bench, table: str) -> list[str]:
    return [op for (op,) in bench.rows(f"SELECT op FROM {bench.log(table)} ORDER BY seq")]


# What is rejected


def test_every_kind_of_refused_edit_is_kept_as_it_was_sent(bench: Bench) -> None:
    sql = bench.app.execute
    sql("INSERT INTO owner VALUES (4, 'd', 'new', 1)")
    sql("UPDATE owner SET note = 'mine', n = n + 5 WHERE id = 1")
    sql("DELETE FROM pet")
    sql("DELETE FROM owner WHERE id = 2")
    sql("DELETE FROM owner WHERE id = 3")
    sql("INSERT INTO owner VALUES (3, 'cc', 'again', 7)")
    number = frozen(bench).number
    sql("UPDATE owner SET note = 'later' WHERE id = 1")  # no part of what was refused
    refused = [refusal(bench, "owner", key, code=f"code-{key}") for key in (1, 2, 3, 4)]
    refused.append(refusal(bench, "pet", "p", "here", parent=[bench.schema.number_of("owner"), [1]]))
    bench.verdict(
        bench.put("owner", *OWNERS), bench.gone("owner", 4), bench.put("pet", *PETS), rejected=refused
    )
    found = {(edit.table, *edit.key): edit for edit in rejected(bench.device)}
    told = {place: (edit.op, edit.values, edit.base) for place, edit in found.items()}
    old = [dict(zip(("name", "note", "n"), row[1:], strict=True)) for row in OWNERS]
    nothing = dict.fromkeys(("name", "note", "n"))
    assert told == {
        ("owner", 1): ("U", {"note": "mine", "n": 5}, {"note": "x", "n": 10}),
        ("owner", 2): ("D", {}, old[1]),
        ("owner", 3): ("R", {"name": "cc", "note": "again", "n": 7}, old[2]),
        ("owner", 4): ("I", {"name": "d", "note": "new", "n": 1}, nothing),
        ("pet", "p", "here"): ("D", {}, {"owner": 1, "word": "k"}),
    }
    assert all(edit.push == number and edit.remedy == "Mend it." for edit in found.values())
    assert found["owner", 3].code == "code-3" and found["owner", 3].detail == "owner (3,)"
    assert found["pet", "p", "here"].parent == ("owner", (1,))
    assert found["owner", 1].parent is None
    assert newest_rejected(bench.store) == max(edit.id for edit in found.values())
    assert [edit.id for edit in rejected(bench.device, newest_rejected(bench.store) - 1)] == [
        newest_rejected(bench.store)
    ]
    assert kept_pushes(bench.store) == []  # nothing of it is to be offered again
    (packed,) = bench.store.row("SELECT refused FROM _sync_sent") or (None,)
    assert sorted(map(repr, unpack(packed))) == sorted(repr([one.table, one.key]) for one in refused)


def test_l13_the_rows_that_come_with_a_verdict_are_read_once_where_nothing_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be a million, and nobody else can write meanwhile."""
    read: list[str] = []

    def counted(body: bytes, digest: str, schema: Schema | None) -> list[Group]:
        read.append(digest)
        return groups_of(body, digest, schema)

    monkeypatch.setattr(apply, "groups_of", counted)
    bench.app.execute("UPDATE owner SET n = n + 5 WHERE id = 1")
    frozen(bench)
    bench.verdict(bench.put("owner", [1, 16], columns=["n"]))
    assert len(read) == 1
    assert bench.rows("SELECT n FROM owner WHERE id = 1") == [(16,)]


def test_where_only_some_columns_are_refused_these_are_kept_once(bench: Bench) -> None:
    columns = {column.name: number for number, column in bench.table("owner").table.values.items()}
    for _ in range(2):  # the second is of a push that was offered again
        bench.app.execute("UPDATE owner SET name = 'z', note = 'mine', n = n + 5 WHERE id = 1")
        frozen(bench)
        part = refusal(bench, "owner", 1, columns=[columns["note"], columns["n"]])
        bench.verdict(bench.put("owner", *OWNERS), rejected=[part])
        (edit,) = rejected(bench.device)
        assert (edit.op, edit.values, edit.base) == (
            "U",
            {"note": "mine", "n": 5},
            {"note": "x", "n": 10},
        )
    (refused,) = set(bench.store.rows("SELECT refused FROM _sync_sent"))
    assert refused == (None,)  # the rest of the change was taken


def test_an_inserted_row_of_which_columns_are_refused_keeps_them_as_an_update(bench: Bench) -> None:
    columns = {column.name: number for number, column in bench.table("owner").table.values.items()}
    bench.app.execute("INSERT INTO owner VALUES (4, 'd', 'new', 1)")
    frozen(bench)
    bench.verdict(rejected=[refusal(bench, "owner", 4, columns=[columns["note"]])])
    (edit,) = rejected(bench.device)
    assert (edit.op, edit.values) == ("U", {"note": "new"})
    assert (4, "d", "new", 1) in bench.all("owner")


def test_what_is_refused_of_a_table_that_takes_part_no_longer_is_kept_without_what_it_held(
    bench: Bench,
) -> None:
    bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = 1")
    frozen(bench)
    one = refusal(bench, "owner", 1)
    number = bench.schema.number_of("owner")
    del bench.device.tables[number]
    bench.verdict(rejected=[one])
    (edit,) = rejected(bench.device)
    assert (edit.table, edit.key, list(edit.values.values())) == ("owner", (1,), ["mine"])
    assert edit.base == {}


def test_rows_that_the_hub_could_not_read_are_shown_as_they_were_before_what_it_refused(bench: Bench) -> None:
    sql = bench.app.execute
    sql("INSERT INTO owner VALUES (4, 'd', 'new', 1)")
    sql("UPDATE owner SET note = 'mine', n = n + 5 WHERE id = 1")
    sql("DELETE FROM owner WHERE id = 2")
    sql("UPDATE owner SET note = 'mine' WHERE id = 3")
    sql("UPDATE pet SET word = 'mine'")
    sql("INSERT INTO pet VALUES ('q', 'here', 4, 'below')")
    frozen(bench)
    sql("UPDATE pet SET owner = 3 WHERE id = 'p'")  # no part of what was refused
    keys = [
        ("owner", 1),
        ("owner", 2),
        ("owner", 3),
        ("owner", 4),
        ("pet", "p", "here"),
        ("pet", "q", "here"),
    ]
    refused = [refusal(bench, *key, code=HELD) for key in keys]
    bench.verdict(bench.put("owner", [3, "c", "theirs", 30]), rejected=refused)
    assert bench.all("owner") == [(1, "a", "x", 10), (2, "b", "y", 20), (3, "c", "theirs", 30)]
    assert bench.all("pet") == [("p", "here", 3, "k")]
    assert {(edit.table, *edit.key) for edit in rejected(bench.device)} == set(keys)
    assert (logged(bench, "owner"), logged(bench, "pet")) == ([], ["U"])


def test_what_was_made_since_under_a_row_whose_key_is_taken_is_refused_with_it(bench: Bench) -> None:
    bench.app.execute("INSERT INTO owner VALUES (4, 'd', NULL, 0)")
    bench.app.execute("INSERT INTO owner VALUES (5, 'e', NULL, 0)")
    frozen(bench)
    bench.app.execute("INSERT INTO pet VALUES ('q', 'here', 4, 'late'), ('r', 'here', 5, 'late')")
    taken = refusal(bench, "owner", 4, code="key_taken")
    other = refusal(bench, "owner", 5)
    bench.verdict(bench.put("owner", [4, "theirs", None, 0], [5, "e", None, 0]), rejected=[taken, other])
    assert [(edit.table, edit.key, edit.code) for edit in rejected(bench.device)] == [
        ("owner", (4,), "key_taken"),
        ("owner", (5,), "check"),
        ("pet", ("q", "here"), "parent_rejected"),
    ]
    assert [row[0] for row in bench.all("pet")] == ["p", "r"]


def test_a_refusal_for_the_sake_of_a_row_of_an_unknown_table_names_that_by_its_number(bench: Bench) -> None:
    """A hub may have a table that the file has not heard of yet; the reason is kept all the same (L12)."""
    bench.app.execute("UPDATE pet SET word = 'mine'")
    frozen(bench)
    number = 1 + max(bench.schema.by_number)
    bench.verdict(rejected=[refusal(bench, "pet", "p", "here", parent=[number, [5]])])
    (edit,) = rejected(bench.device)
    assert edit.parent == (str(number), (5,))


# What becomes of the push in flight


def test_the_file_remembers_which_pushes_it_has_made(bench: Bench) -> None:
    chain = bench.store.state().chain or ""
    for round_, note in enumerate("abc"):
        bench.app.execute("UPDATE owner SET note = ? WHERE id = 1", (note,))
        flying = frozen(bench)
        bench.verdict(horizon=f"h{round_}")
        chain = chained(chain, flying.digest)
        assert bench.store.state().chain == chain
        assert bench.store.state().horizon == f"h{round_}"
        assert in_flight(bench.store) is None
        newest = kept_pushes(bench.store)[0]
        assert (newest.number, newest.horizon) == (flying.number, f"h{round_}")


def test_an_answer_without_a_position_leaves_the_one_that_is_known(bench: Bench) -> None:
    for note, fields in (("a", {"horizon": "h"}), ("b", {})):
        bench.app.execute("UPDATE owner SET note = ? WHERE id = 1", (note,))
        frozen(bench)
        bench.verdict(**fields)
        assert bench.store.state().horizon == "h"


@pytest.mark.parametrize("many", [3, MANY + 1])
@pytest.mark.parametrize("later", [0, 1])
def test_few_or_many_covered_edits_leave_the_log_and_later_ones_stay(
    bench: Bench, many: int, later: int
) -> None:
    with bench.app:
        bench.app.executemany(
            "INSERT INTO owner VALUES (?, ?, NULL, 0)", ((100 + i, f"n{i}") for i in range(many))
        )
    bench.app.execute("UPDATE pet SET word = 'mine'")
    frozen(bench)
    for i in range(later):
        bench.app.execute("UPDATE owner SET note = 'later' WHERE id = ?", (100 + i,))
    bench.verdict()
    assert logged(bench, "owner") == ["U"] * later
    assert logged(bench, "pet") == []
    assert len(bench.all("owner")) == len(OWNERS) + many


# Rows that are hidden while the push is under way


@pytest.mark.parametrize("covered", ["note", "n"])
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("answer", ["accepted", "gone", "theirs"])
def test_a_hidden_row_is_shown_as_the_verdict_says(
    bench: Bench, covered: str, more: bool, answer: str
) -> None:
    """The hub deletes a row that has edits; they are sent, and perhaps others made before the answer."""
    change = {"note": "note = 'mine'", "n": "n = n + 5"}[covered]
    bench.app.execute(f"UPDATE owner SET {change} WHERE id = 2")
    frozen(bench)
    if more:
        bench.app.execute("UPDATE owner SET name = 'later' WHERE id = 2")
    bench.pull(bench.gone("owner", 2))
    assert [row[0] for row in bench.all("owner")] == [1, 3]
    theirs = bench.put("owner", [2, "t", "theirs", 7])
    bench.verdict(*{"accepted": [], "gone": [bench.gone("owner", 2)], "theirs": [theirs]}[answer])
    shown = {row[0]: row[1:] for row in bench.all("owner")}
    parked = bench.rows("SELECT key FROM _sync_parked")
    mine = ("b", "mine", 20) if covered == "note" else ("b", "y", 25)
    if answer == "theirs":
        assert shown[2] == ("later" if more else "t", "theirs", 7) and not parked
    elif answer == "gone":
        assert 2 not in shown and bool(parked) is more
    elif more:
        assert 2 not in shown and parked  # the edit that is left waits for its own verdict
    else:
        assert shown[2] == mine and not parked
    assert logged(bench, "owner") == (["U"] if more else [])
    assert shown.keys() >= {1, 3}


NEWS: dict[str, dict[str, Any]] = {
    "row": {"name": "wanted", "note": "news", "n": 21},
    "columns": {"name": "wanted", "note": "news"},
}
EDITS: dict[str, tuple[list[str], dict[str, Any] | None]] = {
    "note": (["UPDATE owner SET note = 'mine' WHERE id = 2"], {"note": "mine"}),
    "name": (["UPDATE owner SET name = 'mine' WHERE id = 2"], {"name": "mine"}),
    "both": (
        [
            "UPDATE owner SET name = 'm' WHERE id = 2",
            "UPDATE owner SET name = 'mine', note = 'mine' WHERE id = 2",
        ],
        {"name": "mine", "note": "mine"},
    ),
    "delete": (["DELETE FROM owner WHERE id = 2"], None),
    "replace": (
        ["DELETE FROM owner WHERE id = 2", "INSERT INTO owner VALUES (2, 'mine', 'mine', 0)"],
        {"name": "mine", "note": "mine", "n": 0},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("news", NEWS)
def test_what_is_held_of_a_row_is_older_than_its_accepted_edits_column_by_column(
    bench: Bench, news: str, edit: str
) -> None:
    """News that cannot be shown, for their name is another row's here, wait while the row is edited."""
    sql = bench.app.execute
    sql("INSERT INTO owner VALUES (9, 'wanted', NULL, 0)")
    bench.pull(bench.put("owner", [2, *NEWS[news].values()], columns=list(NEWS[news])))
    assert bench.all("owner")[1] == (2, "b", "y", 20)
    statements, made = EDITS[edit]
    for statement in statements:
        sql(statement)
    frozen(bench)
    bench.verdict()
    sql("UPDATE owner SET name = 'free' WHERE id = 9")
    frozen(bench)
    bench.verdict()
    expected = (
        None if made is None else (2, *({"name": "b", "note": "y", "n": 20} | NEWS[news] | made).values())
    )
    assert [row for row in bench.all("owner") if row[0] == 2] == ([] if expected is None else [expected])
    assert bench.rows("SELECT * FROM _sync_held") == []


@pytest.mark.parametrize("edit", ["note", "delete", "replace"])
def test_a_row_that_is_gone_and_stays_for_a_childs_sake_goes_unless_it_was_made_anew(
    bench: Bench, edit: str
) -> None:
    bench.app.execute("INSERT INTO pet VALUES ('mine', 'here', 2, NULL)")
    bench.pull(bench.gone("owner", 2))
    assert bench.all("owner")[1] == (2, "b", "y", 20)
    bench.app.execute("DELETE FROM pet WHERE owner = 2")
    for statement in EDITS[edit][0]:
        bench.app.execute(statement)
    frozen(bench)
    bench.verdict()
    there = [row for row in bench.all("owner") if row[0] == 2]
    assert there == ([(2, "mine", "mine", 0)] if edit == "replace" else [])
    assert bench.rows("SELECT * FROM _sync_held") == []


def test_a_row_that_was_made_and_removed_here_and_is_shown_for_a_childs_sake_goes_with_its_verdict(
    bench: Bench,
) -> None:
    bench.app.execute("INSERT INTO owner VALUES (7, 'mine', NULL, 0)")
    bench.app.execute("DELETE FROM owner WHERE id = 7")
    bench.pull(bench.put("pet", ["q", "here", 7, "theirs"]))
    assert (7, "mine", None, 0) in bench.all("owner")
    frozen(bench)
    bench.verdict()
    assert bench.all("owner") == [tuple(row) for row in OWNERS]
    assert [row[0] for row in bench.all("pet")] == ["p"]
    bench.pull(bench.put("owner", [7, "theirs", None, 1]), watermark="w2")
    assert (7, "theirs", None, 1) in bench.all("owner")
    assert ("q", "here", 7, "theirs") in bench.all("pet")


# Putting back


def test_every_kind_of_rejected_edit_can_be_put_back_as_a_fresh_edit(bench: Bench) -> None:
    sql = bench.app.execute
    sql("INSERT INTO owner VALUES (4, 'd', 'new', 1)")
    sql("UPDATE owner SET note = 'mine', n = n + 5 WHERE id = 1")
    sql("DELETE FROM owner WHERE id = 2")
    sql("DELETE FROM owner WHERE id = 3")
    sql("INSERT INTO owner VALUES (3, 'cc', 'again', 7)")
    frozen(bench)
    changed = ([1, "a", "x", 100], *OWNERS[1:])  # increments go onto whatever there is
    refused = [refusal(bench, "owner", key) for key in (1, 2, 3, 4)]
    bench.verdict(bench.put("owner", *changed), bench.gone("owner", 4), rejected=refused)
    assert bench.all("owner") == [tuple(row) for row in changed]
    for edit in rejected(bench.device):
        retry(bench.device, edit.id)
    assert bench.all("owner") == [(1, "a", "mine", 105), (3, "cc", "again", 7), (4, "d", "new", 1)]
    assert sorted(logged(bench, "owner")) == ["D", "I", "U", "U"]
    assert rejected(bench.device) == []


@pytest.mark.parametrize(
    ("meanwhile", "code", "words"),
    [
        (
            "DELETE FROM owner WHERE id = 1",
            "row_gone",
            "table owner: the row [1] that the edit changes is gone",
        ),
        (
            "UPDATE owner SET note = 'other' WHERE id = 1",
            "retry_refused",
            "the row was changed since, in note",
        ),
        (
            "UPDATE owner SET name = 'mine' WHERE id = 2",
            "retry_refused",
            "table owner: the edit of [1] cannot be put back: UNIQUE constraint failed: owner.name",
        ),
    ],
)
def test_an_edit_that_cannot_be_put_back_says_why_and_is_still_kept(
    bench: Bench, meanwhile: str, code: str, words: str
) -> None:
    bench.app.execute("UPDATE owner SET name = 'mine', note = 'mine' WHERE id = 1")
    frozen(bench)
    bench.verdict(bench.put("owner", *OWNERS), rejected=[refusal(bench, "owner", 1)])
    bench.app.execute("DELETE FROM pet")
    bench.app.execute(meanwhile)
    before, (edit,) = bench.all("owner"), rejected(bench.device)
    with pytest.raises(UsageError) as caught:
        retry(bench.device, edit.id)
    assert caught.value.code == code and words in caught.value.detail and caught.value.remedy
    assert bench.all("owner") == before and rejected(bench.device) == [edit]


def test_an_edit_whose_parent_is_not_there_cannot_be_put_back(bench: Bench) -> None:
    bench.app.execute("INSERT INTO owner VALUES (4, 'd', NULL, 0)")
    bench.app.execute("INSERT INTO pet VALUES ('q', 'here', 4, 'mine')")
    frozen(bench)
    parent = [bench.schema.number_of("owner"), [4]]
    refused = [refusal(bench, "owner", 4), refusal(bench, "pet", "q", "here", parent=parent)]
    bench.verdict(bench.gone("owner", 4), bench.gone("pet", ("q", "here")), rejected=refused)
    owner, pet = rejected(bench.device)
    with pytest.raises(UsageError) as caught:
        retry(bench.device, pet.id)
    assert caught.value.code == "retry_refused" and rejected(bench.device) == [owner, pet]
    assert caught.value.detail == (
        "table pet: the edit of ['q', 'here'] cannot be put back: the row of owner that it points at, id 4,"
        " is not here"
    )
    assert caught.value.remedy.startswith(f"Retry edit {owner.id} first, of the row of owner")
    retry(bench.device, owner.id)
    retry(bench.device, pet.id)
    assert ("q", "here", 4, "mine") in bench.all("pet") and rejected(bench.device) == []


def test_an_id_that_no_kept_edit_has_is_said_and_nothing_is_discarded(bench: Bench) -> None:
    bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = 1")
    frozen(bench)
    bench.verdict(bench.put("owner", *OWNERS), rejected=[refusal(bench, "owner", 1)])
    (edit,) = rejected(bench.device)
    for forget in (discard, retry):
        with pytest.raises(UsageError, match="there is no rejected edit") as caught:
            forget(bench.device, edit.id + 1)
        assert caught.value.code == "no_such_edit"
    assert rejected(bench.device) == [edit]
    discard(bench.device, edit.id)
    assert rejected(bench.device) == [] and newest_rejected(bench.store) == edit.id


def test_of_an_edit_whose_column_is_gone_the_rest_is_put_back_and_that_value_stays(bench: Bench) -> None:
    t, gone = bench.table("owner"), 60
    note = next(number for number, column in t.table.values.items() if column.name == "note")
    reason = Reason("check", "no", "Mend it.")
    with bench.store.transaction():
        edit = [note, gone], ["mine", "lost"], ["x", "old"]
        number = keep_rejected(bench.device, t.n, (1,), "U", edit, reason, Made(4))
        whole = [gone], ["lost"], ["old"]
        other = keep_rejected(bench.device, t.n, (2,), "U", whole, reason, Made(4))
    retry(bench.device, number)
    assert bench.all("owner")[0] == (1, "a", "mine", 10)
    kept = {edit.id: edit for edit in rejected(bench.device)}
    assert kept.keys() == {number, other}
    assert (kept[number].op, kept[number].code) == ("U", "column_dropped")
    assert list(kept[number].values.values()) == ["lost"] and list(kept[number].base.values()) == ["old"]
    for one in (number, other):
        with pytest.raises(UsageError) as caught:
            retry(bench.device, one)
        assert caught.value.code == "column_dropped"
    assert rejected(bench.device) == [kept[number], kept[other]]


@pytest.mark.parametrize(("op", "columns"), [("U", ["note"]), ("I", ["name", "note", "n"]), ("U", [])])
def test_an_edit_whose_values_are_nowhere_any_more_cannot_be_put_back(
    bench: Bench, op: str, columns: list[str]
) -> None:
    t = bench.table("owner")
    numbers = [number for number, column in t.table.values.items() if column.name in columns]
    with bench.store.transaction():
        number = keep_rejected(bench.device, t.n, (1,), op, (numbers, [], []), Reason("c", "d", "r"))
    with pytest.raises(UsageError) as caught:
        retry(bench.device, number)
    assert caught.value.code == "values_gone" and "table owner" in caught.value.detail
    assert [edit.id for edit in rejected(bench.device)] == [number]


def scans(bench: Bench, asked: list[str]) -> list[str]:
    """Those of these statements that look through all kept edits."""
    looking = [sql for sql in asked if "FROM _sync_rejected" in sql]
    assert looking
    plans = {sql: bench.rows(f"EXPLAIN QUERY PLAN {sql}") for sql in looking}
    return [sql for sql, plan in plans.items() if any("SCAN" in str(step[3]) for step in plan)]


def test_whether_an_edit_is_kept_and_whether_a_key_is_taken_is_found_without_reading_all_kept_edits(
    bench: Bench,
) -> None:
    asked: list[str] = []
    bench.app.execute("UPDATE owner SET note = 'mine'")
    frozen(bench)
    note = next(i for i, column in bench.table("owner").table.values.items() if column.name == "note")
    refused = [refusal(bench, "owner", i, code="column_dropped", columns=[note]) for i in (1, 2, 3)]
    bench.store._connection.set_trace_callback(asked.append)
    bench.verdict(rejected=refused)
    bench.store._connection.set_trace_callback(None)
    assert scans(bench, [sql for sql in asked if "WHERE" in sql]) == []
    bench.app.execute("INSERT INTO owner VALUES (4, 'd', NULL, 0)")
    bench.app.execute("INSERT INTO pet VALUES ('q', 'here', 4, 'child')")
    frozen(bench)
    owner = bench.schema.number_of("owner")
    below = refusal(bench, "pet", "q", "here", code="parent_rejected", parent=[owner, [4]])
    taken = refusal(bench, "owner", 4, code="key_taken")
    bench.verdict(bench.put("owner", [4, "other", "o", 0]), rejected=[below, taken])
    edit = next(edit for edit in rejected(bench.device) if edit.table == "pet")
    asked.clear()
    bench.store._connection.set_trace_callback(asked.append)
    with pytest.raises(UsageError, match="is another's"):
        retry(bench.device, edit.id)
    bench.store._connection.set_trace_callback(None)
    assert scans(bench, asked) == []


def test_what_a_lock_in_the_centre_refused_is_made_again_with_what_hangs_on_it(bench: Bench) -> None:
    sql = bench.app.execute
    sql("INSERT INTO owner VALUES (4, 'd', NULL, 0), (5, 'e', NULL, 0), (6, 'f', NULL, 0)")
    sql("INSERT INTO pet VALUES ('q', 'here', 4, 'child'), ('r', 'here', 5, 'child'), ('s', 'here', 4, 'a')")
    sql("UPDATE owner SET note = 'mine' WHERE id = 3")
    frozen(bench)
    owner = bench.schema.number_of("owner")
    refused = [
        refusal(bench, "pet", "q", "here", code="parent_rejected", parent=[owner, [4]]),
        refusal(bench, "owner", 4, code="row_locked"),
        refusal(bench, "owner", 5),
        refusal(bench, "pet", "r", "here", code="parent_rejected", parent=[owner, [5]]),
        refusal(bench, "pet", "s", "here"),
        refusal(bench, "owner", 3, code="row_locked"),
    ]
    gone = [bench.gone("owner", 4, 5, 3)]
    pet = bench.schema.number_of("pet")
    gone.append(Group(pet, "D", [], [["q", "here"], ["r", "here"], ["s", "here"]]))
    bench.verdict(*gone, rejected=refused)
    wait(bench.device, rejected(bench.device))
    left = {(edit.table, *edit.key) for edit in rejected(bench.device)}
    # Those that nobody waits for, and an edit whose row is gone by now.
    assert left == {("owner", 5), ("pet", "r", "here"), ("pet", "s", "here"), ("owner", 3)}
    assert [row[0] for row in bench.all("pet")] == ["p", "q"]
    assert [row[0] for row in bench.all("owner")] == [1, 2, 4, 6]
    assert logged(bench, "owner") == ["I"] and logged(bench, "pet") == ["I"]


def held(bench: Bench, many: int) -> None:
    """So many owners are refused since their rows are locked."""
    bench.app.executemany(
        "INSERT INTO owner VALUES (?, ?, NULL, 0)", [(10 + i, f"o{i}") for i in range(many)]
    )
    bench.app.commit()
    frozen(bench)
    refused = [refusal(bench, "owner", 10 + i, code="row_locked") for i in range(many)]
    bench.verdict(bench.gone("owner", *range(10, 10 + many)), rejected=refused)


def put_back(bench: Bench) -> int:
    """Make what waits pending again; in how many transactions."""
    asked: list[str] = []
    bench.store._connection.set_trace_callback(asked.append)
    wait(bench.device, rejected(bench.device))
    bench.store._connection.set_trace_callback(None)
    return asked.count("BEGIN IMMEDIATE")


@pytest.mark.parametrize("many", [3, SLICE])
def test_many_edits_that_a_lock_refused_are_made_again_in_one_transaction(bench: Bench, many: int) -> None:
    held(bench, many)
    assert put_back(bench) == 1
    assert rejected(bench.device) == [] and logged(bench, "owner") == ["I"] * many


@pytest.mark.parametrize("how", ["ABORT", "ROLLBACK", "FAIL"])
def test_an_edit_that_cannot_be_made_again_keeps_no_other_from_it(bench: Bench, how: str) -> None:
    held(bench, 40)
    bench.app.execute(
        f"CREATE TRIGGER guard AFTER INSERT ON owner WHEN NEW.id = 20 BEGIN SELECT RAISE ({how}, 'no'); END"
    )
    assert put_back(bench) == (11 if how == "ROLLBACK" else 1)
    assert [edit.key for edit in rejected(bench.device)] == [(20,)]
    assert [row[0] for row in bench.all("owner")] == [1, 2, 3, *range(10, 20), *range(21, 50)]
    assert not bench.store.in_transaction


def test_a_foreign_key_that_is_broken_at_the_end_keeps_one_edit_alone_back(tmp_path: Path) -> None:
    ddl = (
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);"
        "CREATE TABLE pet (id INTEGER PRIMARY KEY,"
        " owner INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED)"
    )
    bench = Bench(tmp_path / "later.db", ddl)
    bench.pull(bench.put("owner", [1, "a"], [2, "b"]))
    bench.app.executemany("INSERT INTO pet VALUES (?, ?)", [(i, 1 + (i == 7)) for i in range(10)])
    bench.app.commit()
    frozen(bench)
    refused = [refusal(bench, "pet", i, code="row_locked") for i in range(10)]
    bench.verdict(bench.gone("pet", *range(10)), bench.gone("owner", 2), rejected=refused)
    wait(bench.device, rejected(bench.device))
    assert [edit.key for edit in rejected(bench.device)] == [(7,)]
    assert [row[0] for row in bench.all("pet")] == [i for i in range(10) if i != 7]
    bench.close()


def test_a_delete_is_put_back_also_where_a_column_of_its_row_is_gone(bench: Bench) -> None:
    t, gone = bench.table("owner"), 60
    note = next(number for number, column in t.table.values.items() if column.name == "note")
    with bench.store.transaction():
        edit = [note, gone], [], ["y", "old"]
        number = keep_rejected(bench.device, t.n, (2,), "D", edit, Reason("check", "no", "Mend it."), Made(4))
    retry(bench.device, number)
    assert [row[0] for row in bench.all("owner")] == [1, 3] and rejected(bench.device) == []


def test_an_edit_of_a_table_that_takes_part_no_longer_cannot_be_put_back_and_says_of_which(
    bench: Bench,
) -> None:
    bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = 1")
    frozen(bench)
    bench.verdict(bench.put("owner", *OWNERS), rejected=[refusal(bench, "owner", 1)])
    del bench.device.tables[bench.schema.number_of("owner")]
    (edit,) = rejected(bench.device)
    with pytest.raises(UsageError, match="the centre's table owner takes no part any more") as caught:
        retry(bench.device, edit.id)
    assert caught.value.code == "table_dropped" and rejected(bench.device) == [edit]


def test_an_edit_whose_table_takes_part_again_as_another_cannot_be_put_back(bench: Bench) -> None:
    bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = 1")
    frozen(bench)
    bench.verdict(bench.put("owner", *OWNERS), rejected=[refusal(bench, "owner", 1)])
    bench.app.execute("UPDATE _sync_rejected SET n = 99")
    (edit,) = rejected(bench.device)
    with pytest.raises(UsageError, match="its key is id now") as caught:
        retry(bench.device, edit.id)
    assert caught.value.code == "table_again" and rejected(bench.device) == [edit]


def test_a_row_that_was_not_sent_stays_as_it_is_whatever_is_refused_of_it(bench: Bench) -> None:
    bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = 1")
    frozen(bench)
    bench.verdict(rejected=[refusal(bench, "owner", 2, code=HELD)])
    assert bench.all("owner") == [(1, "a", "mine", 10), (2, "b", "y", 20), (3, "c", None, 30)]


@pytest.mark.parametrize("some", [False, True])
def test_what_was_accepted_of_an_edit_is_told_when_its_push_is_offered_again_and_the_rest_by_its_retry(
    bench: Bench, some: bool
) -> None:
    """A copy of the file that retries it makes the same stamps: the hub takes the two for one (L3)."""
    sql, note = bench.app.execute, bench.schema.table("owner").column("note").number
    sql("UPDATE owner SET note = 'mine', name = 'A' WHERE id = 1")
    sql("UPDATE owner SET note = 'mine' WHERE id = 2")
    number = frozen(bench).number
    all_stamps = told(bench.device, in_flight(bench.store)).stamps
    columns = {"columns": [note]} if some else {}
    theirs = bench.put("owner", [1, "A" if some else "a", "x", 10])
    bench.verdict(theirs, rejected=[refusal(bench, "owner", 1, **columns)])
    (known,) = known_refused(bench.device)
    (edit,) = rejected(bench.device)
    assert (edit.values, edit.base) == (
        ({"note": "mine"}, {"note": "x"})
        if some
        else ({"name": "A", "note": "mine"}, {"name": "a", "note": "x"})
    )
    (kept,) = kept_pushes(bench.store)
    assert len(kept_stamps(bench.store, kept.number)) == len(all_stamps) // (1 if some else 2)
    assert (known.refusal is None) == some  # what was accepted in part must not be told as refused
    retry(bench.device, edit.id)
    assert frozen(bench).number == number + 1
    stamps = told(bench.device, in_flight(bench.store)).stamps
    assert stamps in known.asked and stamps not in all_stamps


def test_what_was_discarded_long_ago_is_known_no_longer(bench: Bench) -> None:
    for name, week in (("mine", 7), ("more", 8)):
        bench.app.execute("UPDATE owner SET note = ? WHERE id = 1", (name,))
        frozen(bench)
        bench.verdict(bench.put("owner", *OWNERS), rejected=[refusal(bench, "owner", 1)])
        discard(bench.device, newest_rejected(bench.store))
        bench.app.execute(
            "UPDATE _sync_settled SET at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)"
            " WHERE id = (SELECT max(id) FROM _sync_settled)",
            (f"-{week} days",),
        )
    day = 24 * 60 * 60
    for days, left in ((9, 2), (7.5, 1), (6, 0)):
        with bench.store.transaction() as store:
            sweep_sent(store, int(days * day))
        assert len(list(known_refused(bench.device))) == left
