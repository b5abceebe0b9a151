"""Freezing: one numbered, durable push; limits; rows that cannot travel (L2, L3, L12)."""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncline.errors import UsageError
from syncline.model.clock import milliseconds, stamp
from syncline.protocol.body import open_push, undelta, whole_digest
from syncline.protocol.messages import Limits, PushGroup
from syncline.replica import statements
from syncline.replica.draft import sealed
from syncline.replica.freeze import Frozen, freeze, in_flight, is_complete
from syncline.replica.pending import log_entries, pending_edits
from syncline.replica.rejected import rejected
from tests.support.device import Bench

DDL = """
CREATE TABLE parent (id TEXT PRIMARY KEY, name TEXT UNIQUE, count INTEGER);
CREATE TABLE child (
    id INTEGER PRIMARY KEY,
    parent TEXT REFERENCES parent (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    note
);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, ["count"])
    yield made
    made.close()


def groups(frozen: Frozen | None) -> list[PushGroup]:
    assert frozen is not None
    return open_push(frozen.body, frozen.digest)


def sent(bench: Bench, frozen: Frozen | None) -> dict[tuple[int, str], list[list[Any]]]:
    found: dict[tuple[int, str], list[list[Any]]] = {}
    for group in groups(frozen):
        found.setdefault((group.table, group.op), []).extend(bench.declared(group))
    return found


def limit(bench: Bench, **limits: int) -> None:
    bench.store.set_state(limits=msgspec.json.encode(Limits(**limits)).decode())


def test_nothing_pending_is_no_push(bench: Bench) -> None:
    assert freeze(bench.device) is None
    assert bench.store.state().push == 0


def test_edits_that_came_to_nothing_are_no_push_and_leave_the_log(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    freeze(bench.device)
    bench.verdict()
    bench.app.execute("INSERT OR IGNORE INTO parent VALUES ('a', 'y', 2)")
    assert pending_edits(bench.device) == {}
    assert freeze(bench.device) is None
    assert bench.rows(f"SELECT * FROM {bench.log('parent')}") == []


def test_a_frozen_push_stays_the_same_until_its_verdict(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    first = freeze(bench.device)
    bench.app.execute("UPDATE parent SET name = 'z'")
    assert freeze(bench.device) == in_flight(bench.store) == first
    assert not is_complete(bench.device)
    bench.verdict()
    second = freeze(bench.device)
    assert second is not None and second.number == 2
    assert sent(bench, second) == {(bench.schema.number_of("parent"), "U"): [["a", "z"]]}


def test_the_log_says_what_is_in_flight(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    freeze(bench.device)
    bench.app.execute("UPDATE parent SET name = 'z'")
    listed = list(log_entries(bench.device, "parent", ("a",)))
    assert [(entry.op, entry.in_flight) for entry in listed] == [("I", True), ("U", False)]
    assert pending_edits(bench.device) == {"parent": 2}


def test_the_log_of_an_unknown_table_or_key_is_refused(bench: Bench) -> None:
    for table, key in (("nowhere", None), ("parent", ("a", "b"))):
        with pytest.raises(UsageError):
            list(log_entries(bench.device, table, key))


def test_every_column_of_an_edit_keeps_the_base_it_was_made_on(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    freeze(bench.device)
    bench.verdict()
    bench.store.advance("w1", 0)
    bench.app.execute("UPDATE parent SET name = 'y'")
    bench.store.advance("w2", 0)
    bench.app.execute("UPDATE parent SET count = count + 5")
    frozen = freeze(bench.device)
    (group,) = groups(frozen)
    assert frozen is not None and frozen.bases == ["w1", "w2"]
    assert (bench.declared(group), group.base) == ([["a", "y", 5]], [])
    assert group.column_base is not None and group.column_hlc is not None
    name, count = (
        group.columns.index(bench.schema.table("parent").column(c).number) for c in ("name", "count")
    )
    assert (group.column_base[0][name], group.column_base[0][count]) == (0, 1)
    assert group.column_hlc[0][name] < group.column_hlc[0][count]


def test_the_clock_follows_the_wall_and_stays_above_what_the_hub_had_said(bench: Bench) -> None:
    times = iter([2460000.5, 2460000.5, 2450000.5])
    bench.app.create_function("julianday", 1, lambda _: next(times))
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    bench.app.execute("INSERT INTO parent VALUES ('b', 'y', 1)")
    floor = stamp(1_800_000_000_000) + 7
    bench.store.advance("w1", floor)
    bench.app.execute("INSERT INTO parent VALUES ('c', 'z', 1)")
    (group,) = groups(freeze(bench.device))
    clocks = undelta(group.hlc)
    wall = (2460000.5 - 2440587.5) * 86400000
    assert milliseconds(clocks[0]) == wall and clocks[1] == clocks[0] + 1
    assert clocks[2] == floor + 1
    assert bench.store.state().hlc == bench.store.checkpoint().hlc == floor + 1


def backlog(bench: Bench) -> None:
    """Two rows known to the hub and deleted since, and five new ones."""
    bench.app.executescript(
        "INSERT INTO parent VALUES ('p', 'p', 0); INSERT INTO child VALUES (1, 'p', 'x');"
    )
    freeze(bench.device)
    bench.verdict()
    bench.app.executescript("DELETE FROM child; DELETE FROM parent;")
    bench.app.executemany("INSERT INTO parent VALUES (?1, ?1, 1)", [(str(i),) for i in range(5)])


def test_a_backlog_that_does_not_fit_a_request_is_one_push_in_chunks(bench: Bench) -> None:
    backlog(bench)
    limit(bench, push_rows=3)
    frozen = freeze(bench.device)
    assert frozen is not None and in_flight(bench.store) == frozen
    assert (frozen.number, frozen.body, frozen.rows, frozen.chunks) == (2, b"", 7, len(bench.chunks()))
    shown = [[(group.table, group.op, len(group.rows)) for group in chunk] for chunk in bench.chunks()]
    parent, child = bench.schema.number_of("parent"), bench.schema.number_of("child")
    assert shown[:2] == [[(parent, "I", 3)], [(parent, "I", 2)]]
    assert [one for chunk in shown[2:] for one in chunk] == [(child, "D", 1), (parent, "D", 1)]
    assert is_complete(bench.device)
    assert frozen.digest == whole_digest(digest for _, digest, _ in sealed(bench.store))
    bench.verdict()
    assert in_flight(bench.store) is None
    assert bench.rows("SELECT * FROM _sync_outbox_chunk") == []


class Heard:
    """Who hears of chunks: of the draft that is kept, and how many drafts were begun."""

    def __init__(self) -> None:
        self.begun, self.chunks = 0, list[tuple[int, str, bytes]]()

    def start(self) -> None:
        self.begun += 1
        self.chunks.clear()

    def offer(self, number: int, digest: str, body: bytes) -> None:
        self.chunks.append((number, digest, body))


def test_who_listens_hears_of_each_chunk_as_it_is_drafted_and_of_each_draft_that_begins(bench: Bench) -> None:
    backlog(bench)
    bench.app.execute("INSERT INTO parent VALUES ('zz', ?, 0)", ("x" * 9000,))
    limit(bench, push_rows=3, bytes=8192)
    heard = Heard()
    assert freeze(bench.device, heard) is not None
    assert heard.begun > 1 and heard.chunks == list(sealed(bench.store))[: len(heard.chunks)]
    assert len(heard.chunks) > 1


def test_a_push_is_complete_until_something_is_edited_that_it_does_not_cover(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    freeze(bench.device)
    assert is_complete(bench.device)
    bench.app.execute("INSERT INTO child VALUES (1, 'a', NULL)")
    assert not is_complete(bench.device)


def test_l9_deletes_beyond_a_chunk_go_last_children_first(bench: Bench) -> None:
    rows = [(str(i),) for i in range(20)]
    bench.app.executemany("INSERT INTO parent VALUES (?1, ?1, 1)", rows)
    bench.app.executemany("INSERT INTO child VALUES (?1, ?1, 1)", rows)
    freeze(bench.device)
    bench.verdict()
    bench.app.executescript(
        "DELETE FROM child; DELETE FROM parent; INSERT INTO parent VALUES ('new', 'n', 1);"
    )
    limit(bench, push_rows=6)
    frozen = freeze(bench.device)
    order = [(group.op, group.table, len(group.rows)) for chunk in bench.chunks() for group in chunk]
    parent, child = bench.schema.number_of("parent"), bench.schema.number_of("child")
    assert frozen is not None and frozen.rows == 41
    assert order[0] == ("I", parent, 1)
    ranks = [bench.schema.rank[table] for _, table, _ in order[1:]]
    assert ranks == sorted(ranks, reverse=True)
    assert {op for op, _, _ in order[1:]} == {"D"}
    assert sum(count for op, table, count in order if table == child) == 20
    assert all(sum(len(group.rows) for group in chunk) <= 6 for chunk in bench.chunks())
    assert [number for number, _, _ in sealed(bench.store)] == list(range(1, frozen.chunks + 1))


def test_what_is_beyond_one_push_waits_for_the_next_and_deletes_come_last(bench: Bench) -> None:
    backlog(bench)
    limit(bench, push_total_rows=3)
    pushes = []
    while freeze(bench.device) is not None:
        pushes.append(sent(bench, in_flight(bench.store)))
        bench.verdict()
    parent = bench.schema.number_of("parent")
    assert [sorted(op for _, op in push) for push in pushes][:2] == [["I"], ["I"]]
    assert [sum(map(len, push.values())) for push in pushes[:2]] == [3, 2]
    deletes = [row for push in pushes[2:] for rows in push.values() for row in rows]
    assert sorted(map(str, deletes)) == ["['p']", "[1]"]
    assert all(table == parent for push in pushes[:2] for table, _ in push)


@pytest.mark.parametrize(
    "limits",
    [
        {"push_chunks": 3, "push_rows": 4},
        {"push_total_bytes": 300, "push_rows": 4},
        {"bases": 3},
        {"bases": 1},
    ],
)
def test_l11_a_push_keeps_every_limit_of_the_hub(bench: Bench, limits: dict[str, int]) -> None:
    for number in range(20):
        bench.store.advance(f"w{number}", 0)
        bench.app.execute("INSERT INTO parent VALUES (?1, ?1, 1)", (str(number),))
    limit(bench, **limits)
    rows = 0
    while (frozen := freeze(bench.device)) is not None:
        assert frozen.chunks <= limits.get("push_chunks", 99)
        assert len(frozen.bases) <= limits.get("bases", 99)
        assert sum(len(body) for _, _, body in sealed(bench.store)) <= limits.get("push_total_bytes", 9999)
        rows += sum(len(group.rows) for chunk in bench.chunks() for group in chunk)
        bench.verdict()
    assert rows == 20


def test_a_chunk_holds_as_many_bytes_as_the_hub_takes(bench: Bench) -> None:
    bench.app.executemany("INSERT INTO child VALUES (?, NULL, zeroblob(5000))", [(i,) for i in range(20)])
    limit(bench, bytes=40_000)
    frozen = freeze(bench.device)
    assert frozen is not None and frozen.chunks > 2
    assert all(len(body) < 40_000 for _, _, body in sealed(bench.store))
    assert [row[0] for chunk in bench.chunks() for group in chunk for row in group.rows] == list(range(20))


def test_a_row_larger_than_a_request_is_rejected_and_the_rest_goes_on(bench: Bench) -> None:
    bench.app.execute("INSERT INTO child VALUES (1, NULL, zeroblob(50000)), (2, NULL, 'small')")
    limit(bench, bytes=40_000)
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("child"), "I"): [[2, None, "small"]]}
    (edit,) = rejected(bench.device)
    assert (edit.table, edit.key, edit.op, edit.code) == ("child", (1,), "I", "too_large")
    assert bench.all("child") == [(2, None, "small")]


def test_a_null_in_a_key_is_rejected_and_kept(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES (NULL, 'x', 1), (NULL, 'y', 2), ('a', 'z', 3)")
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("parent"), "I"): [["a", "z", 3]]}
    assert [edit.values["name"] for edit in rejected(bench.device)] == ["x", "y"]
    assert bench.all("parent") == [("a", "z", 3)]
    assert bench.store.state().suppressed == 0


def test_text_that_is_not_utf8_is_rejected_with_its_children(bench: Bench) -> None:
    bench.app.executescript(
        """
        INSERT INTO parent VALUES (CAST(x'6bff' AS TEXT), 'x', 1), ('a', 'z', 3);
        INSERT INTO child VALUES (1, CAST(x'6bff' AS TEXT), 'under'), (2, 'a', 'fine');
        """
    )
    assert sent(bench, freeze(bench.device)) == {
        (bench.schema.number_of("parent"), "I"): [["a", "z", 3]],
        (bench.schema.number_of("child"), "I"): [[2, "a", "fine"]],
    }
    kept = {(edit.table, edit.key): edit for edit in rejected(bench.device)}
    assert kept[("parent", (b"k\xff",))].code == "value_refused"
    assert kept[("child", (1,))].parent == ("parent", (b"k\xff",))
    assert bench.all("child") == [(2, "a", "fine")]


def test_a_row_that_is_refused_with_the_row_it_points_at_is_kept_once(tmp_path: Path) -> None:
    table = "CREATE TABLE t (id INTEGER PRIMARY KEY, above INTEGER REFERENCES t (id), a TEXT)"
    bench = Bench(tmp_path / "tree.db", table)
    bench.app.execute("INSERT INTO t VALUES (1, NULL, CAST(x'ff' AS TEXT)), (2, 1, CAST(x'ff' AS TEXT))")
    bench.app.execute("INSERT INTO t VALUES (3, 2, 'under'), (4, 4, 'own')")
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("t"), "I"): [[4, 4, "own"]]}
    kept = [(edit.key, edit.code, edit.values["a"]) for edit in rejected(bench.device)]
    assert kept == [
        ((1,), "value_refused", b"\xff"),
        ((2,), "value_refused", b"\xff"),
        ((3,), "parent_rejected", "under"),
    ]
    bench.close()


@pytest.mark.parametrize("many", [2, 30])
def test_the_log_is_read_as_often_however_many_rows_are_refused(bench: Bench, many: int) -> None:
    for i in range(many):
        bench.app.execute("INSERT INTO parent VALUES (?, CAST(? AS TEXT), 0)", (f"p{i}", b"%d\xff" % i))
        bench.app.execute("INSERT INTO child VALUES (?, ?, 'under')", (i, f"p{i}"))
    asked: list[str] = []
    bench.store._connection.set_trace_callback(asked.append)
    assert freeze(bench.device) is None
    bench.store._connection.set_trace_callback(None)
    assert len(rejected(bench.device)) == 2 * many
    for name in ("parent", "child"):
        log = bench.device.tables[bench.schema.number_of(name)].log
        reading = [sql for sql in asked if sql.startswith("SELECT") and log in sql]
        assert 0 < len(reading) <= 12
        removing = [sql for sql in asked if sql.startswith(f"DELETE FROM {log}")]
        assert all("WHERE seq" in sql for sql in removing)


def test_a_refused_update_returns_to_what_the_row_was(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1), ('b', 'y', 1)")
    freeze(bench.device)
    bench.verdict()
    bench.app.execute("UPDATE parent SET name = CAST(x'ff' AS TEXT), count = 9 WHERE id = 'a'")
    bench.app.execute("UPDATE parent SET count = 'many' WHERE id = 'b'")
    assert freeze(bench.device) is None
    assert bench.all("parent") == [("a", "x", 1), ("b", "y", 1)]
    kept = {edit.key: (edit.op, edit.values, edit.base) for edit in rejected(bench.device)}
    assert kept[("a",)] == ("U", {"name": b"\xff", "count": 8}, {"name": "x", "count": 1})
    assert kept[("b",)] == ("U", {"count": "many"}, {"count": 1})


def test_a_refused_update_gives_way_where_its_old_unique_value_is_taken(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1), ('b', 'y', 1)")
    freeze(bench.device)
    bench.verdict()
    bench.app.execute("UPDATE parent SET name = CAST(x'ff' AS TEXT), count = 2 WHERE id = 'a'")
    bench.app.execute("UPDATE parent SET name = 'x' WHERE id = 'b'")
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("parent"), "U"): [["b", "x"]]}
    assert [edit.key for edit in rejected(bench.device)] == [("a",)]
    bench.verdict(bench.put("parent", ["a", "x", 1], ["b", "y", 1]))
    assert bench.all("parent") == [("a", "x", 1), ("b", "y", 1)]


def test_a_row_whose_parent_was_deleted_here_returns_to_it(bench: Bench) -> None:
    bench.app.executescript(
        "INSERT INTO parent VALUES ('a', 'x', 1), ('b', 'y', 1); INSERT INTO child VALUES (1, 'a', 'n');"
    )
    freeze(bench.device)
    bench.verdict()
    bench.app.execute("UPDATE child SET parent = 'b', note = CAST(x'ff' AS TEXT)")
    bench.app.execute("DELETE FROM parent WHERE id = 'a'")
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("parent"), "D"): [["a"]]}
    assert bench.all("child") == [(1, "a", "n")]
    assert bench.rows("PRAGMA foreign_key_check") == []


def test_values_are_respelled_before_they_go_and_what_nobody_here_can_read_is_for_the_centre_to_judge(
    tmp_path: Path,
) -> None:
    ddl = "CREATE TABLE weight (id TEXT PRIMARY KEY, v); CREATE TABLE word (id INTEGER PRIMARY KEY, v)"
    bench = Bench(tmp_path / "device.db", ddl, types={"id": "uuid", "v": "float"})
    one, two = "a" * 8 + "-aaaa" * 3 + "-" + "a" * 12, "b" * 8 + "-bbbb" * 3 + "-" + "b" * 12
    bench.app.execute("INSERT INTO weight VALUES (?, ' 2 '), (?, 'heavy')", (one, two.upper()))
    bench.app.execute("INSERT INTO weight VALUES (?, 3)", (one.upper(),))
    frozen = freeze(bench.device)
    (group,) = groups(frozen)
    assert bench.declared(group) == [[one, 2.0], [two, "heavy"]]
    assert bench.all("weight") == [(one, 2.0), (two, "heavy")]
    (edit,) = rejected(bench.device)
    assert (edit.key, edit.op, edit.values) == ((one.upper(),), "I", {"v": 3})
    assert "spelled otherwise" in edit.detail
    assert bench.rows("SELECT suppressed FROM _sync_state") == [(0,)]
    bench.close()


@pytest.mark.parametrize("place", [0, 2, 3, 5, 6, 7])
def test_a_value_that_is_spelled_otherwise_is_found_wherever_it_stands_in_a_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(statements, "STEP", 3)
    ddl = "CREATE TABLE weight (id INTEGER PRIMARY KEY, v, w)"
    bench = Bench(tmp_path / "device.db", ddl, types={"v": "float", "w": "float"})
    rows = [[i, 1.5, " 2 " if i == place else 2.5] for i in range(8)]
    bench.app.executemany("INSERT INTO weight VALUES (?, ?, ?)", rows)
    (group,) = groups(freeze(bench.device))
    assert bench.declared(group) == [[i, 1.5, 2.0 if i == place else 2.5] for i in range(8)]
    bench.close()


def test_a_delete_with_text_that_is_not_utf8_in_it_goes_through(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    freeze(bench.device)
    bench.verdict()
    bench.app.execute("UPDATE parent SET name = CAST(x'ff' AS TEXT)")
    bench.app.execute("DELETE FROM parent")
    assert sent(bench, freeze(bench.device)) == {(bench.schema.number_of("parent"), "D"): [["a"]]}
    assert rejected(bench.device) == []


def test_many_sets_of_changed_columns_are_coalesced_alike(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(80)]
    bench = Bench(
        tmp_path / "wide.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})", ["c3"]
    )
    bench.app.executemany("INSERT INTO t (id, c3) VALUES (?, 1)", [(i,) for i in range(80)])
    freeze(bench.device)
    bench.verdict()
    for i, name in enumerate(names):
        bench.app.execute(f"UPDATE t SET {name} = 5 WHERE id = ?", (i,))
    frozen = groups(freeze(bench.device))
    numbers = [bench.schema.table("t").column(name).number for name in names]
    found = {(row[0], *group.columns): row[1] for group in frozen for row in group.rows}
    assert found == {(i, numbers[i]): 4 if i == 3 else 5 for i in range(80)}
    bench.close()


def test_what_is_in_the_outbox_survives_a_new_connection(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES ('a', 'x', 1)")
    frozen = freeze(bench.device)
    assert frozen is not None
    with sqlite3.connect(bench.store.path) as other:
        number, digest, body, bases = other.execute(
            "SELECT number, digest, body, bases FROM _sync_outbox"
        ).fetchone()
    other.close()
    assert (number, digest, body, json.loads(bases)) == (1, frozen.digest, frozen.body, frozen.bases)


def test_the_cycle_collector_rests_while_a_backlog_is_frozen(bench: Bench) -> None:
    """It would walk over every row that is alive, again and again."""
    rows = [(f"p{n}", f"n{n}", n) for n in range(5_000)]
    bench.app.executemany("INSERT INTO parent VALUES (?, ?, ?)", rows)
    collected: list[str] = []

    def note(phase: str, _: object) -> None:
        collected.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        frozen = freeze(bench.device)
    finally:
        gc.callbacks.remove(note)
    assert sum(len(group.rows) for group in groups(frozen)) == len(rows)
    assert collected.count("start") <= 2
    assert gc.isenabled()
