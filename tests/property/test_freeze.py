"""What is frozen is what the merge rules say (law L6), all at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.model.values import Value
from syncline.protocol.body import open_push, undelta
from syncline.protocol.messages import Limits
from syncline.replica import alike, runs, verdict
from syncline.replica.draft import sealed
from syncline.replica.freeze import Frozen, freeze, is_complete
from syncline.replica.store import Store
from syncline.testing.reference import Change, ReferenceReplica, Rules
from tests.support.device import Bench
from tests.support.numbering import using

KEYED = {
    "the key is the row's number": ("INTEGER PRIMARY KEY", "dense"),
    "rows have numbers besides": ("INT PRIMARY KEY NOT NULL", "gapped"),
}
COLUMNS = ["a", "b", "n"]
KEYS = st.integers(1, 5)
NUMBERS = st.integers(1, 99)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.sampled_from(COLUMNS), NUMBERS),
        st.tuples(st.just("both"), KEYS, NUMBERS),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("replace"), KEYS, NUMBERS),
        st.tuples(st.just("move"), KEYS, KEYS),
        st.tuples(st.just("pull"), KEYS, st.one_of(st.none(), NUMBERS)),
        st.tuples(st.just("answer")),
        st.tuples(st.just("freeze")),
    ),
    min_size=1,
    max_size=40,
)


class Pair:
    """A device and the reference, fed with the same edits."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.mark, self.clock = bench, 0, 0
        self.reference = ReferenceReplica("r", Rules(dict.fromkeys("ab", "lww") | {"n": "sum"}))

    def write(self, op: str, key: int, values: dict[str, Value]) -> None:
        self.clock += 1
        self.reference.write(op, key, values, self.clock)

    def take(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def set(self, key: int, column: str, number: int) -> None:
        rows, sql = self.reference.rows, self.bench.app.execute
        if key in rows:
            sql(f"UPDATE t SET {column} = ? WHERE id = ?", (number, key))
            if rows[key][column] != number:
                self.write("U", key, {column: number})
        else:
            sql(
                f"INSERT INTO t (id, n, {column}) VALUES (?1, 0, ?2)"
                if column != "n"
                else "INSERT INTO t (id, n) VALUES (?1, ?2)",
                (key, number),
            )
            self.write("I", key, {"a": None, "b": None, "n": 0} | {column: number})

    def both(self, key: int, number: int) -> None:
        self.bench.app.execute("UPDATE t SET a = ?2, n = n + ?2 WHERE id = ?1", (key, number))
        row = self.reference.rows.get(key)
        if row is not None:
            changed = {"a": number} if row["a"] != number else {}
            self.write("U", key, changed | {"n": row["n"] + number})

    def delete(self, key: int) -> None:
        self.bench.app.execute("DELETE FROM t WHERE id = ?", (key,))
        if key in self.reference.rows:
            self.write("D", key, {})

    def replace(self, key: int, number: int) -> None:
        self.bench.app.execute("REPLACE INTO t VALUES (?1, ?2, NULL, ?2)", (key, number))
        if key in self.reference.rows:
            self.write("D", key, {})
        self.write("I", key, {"a": number, "b": None, "n": number})

    def move(self, key: int, to: int) -> None:
        rows = self.reference.rows
        self.bench.app.execute("UPDATE OR REPLACE t SET id = ?2 WHERE id = ?1", (key, to))
        if key in rows and key != to:
            image = dict(rows[key])
            if to in rows:
                self.write("D", to, {})
            self.write("D", key, {})
            self.write("I", to, image)

    def pull(self, key: int, number: int | None) -> None:
        if self.reference.flight is not None:
            return
        self.mark += 1
        row = None if number is None else {"a": number, "b": -number, "n": number * 1000}
        group = self.bench.put("t", [key, *row.values()]) if row else self.bench.gone("t", key)
        self.bench.pull(group, watermark=f"w{self.mark}")
        self.reference.apply({key: row}, {key: set(COLUMNS)}, self.mark)

    def freeze(self) -> None:
        frozen = freeze(self.bench.device)
        flight = self.reference.freeze()
        assert (frozen is None) == (flight is None)
        if frozen is not None and flight is not None:
            assert frozen.number == flight[0]
            assert_same(changes(frozen, self.bench), {change.key: change for change in flight[1]})

    def answer(self) -> None:
        if self.reference.flight is not None:
            self.bench.verdict()
            self.reference.verdict({})


def changes(frozen: Frozen, bench: Bench) -> dict[int, Change]:
    """The push in the reference's form; watermark w5 is 5."""
    found = {}
    names = {number: column.name for number, column in bench.schema.table("t").values.items()}
    marks = [int(mark[1:]) for mark in frozen.bases]
    for group in (group for _, digest, body in sealed(bench.store) for group in open_push(body, digest)):
        clocks = undelta(group.hlc)
        for i, (key, *values) in enumerate(group.rows):
            base = marks[group.base[i] if group.base else 0]
            columns, image = {}, None
            for j, column in enumerate(group.columns if group.op == "U" else []):
                hlc = group.column_hlc[i][j] if group.column_hlc else clocks[i]
                seen = marks[group.column_base[i][j]] if group.column_base else base
                columns[names[column]] = (values[j], hlc, seen, None)
            if group.op in "IR":
                image = {names[column]: value for column, value in zip(group.columns, values, strict=True)}
            assert key not in found
            found[key] = Change(key, group.op, base, clocks[i], columns, image)
    return found


def assert_same(ours: dict[int, Change], theirs: dict[int, Change]) -> None:
    """Equal but for the clocks, which must rank the edits alike."""
    assert ours.keys() == theirs.keys()
    clocks = set()
    for key, change in theirs.items():
        mine = ours[key]
        assert (mine.kind, mine.base) == (change.kind, change.base)
        if change.kind in "IR":
            assert mine.image == change.image
        assert mine.columns.keys() == change.columns.keys()
        clocks.add((change.hlc, mine.hlc))
        for name, (value, hlc, base, _) in change.columns.items():
            assert mine.columns[name][0] == value and mine.columns[name][2] == base
            clocks.add((hlc, mine.columns[name][1]))
    ranked = sorted(clocks)
    assert [hlc for _, hlc in ranked] == sorted({hlc for _, hlc in clocks})


@pytest.fixture(scope="module", autouse=True)
def _as_with_large_backlogs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "FEW", 0)
        patch.setattr(runs, "FEW", 0)
        patch.setattr(runs, "LENGTH", 1)
        patch.setattr(verdict, "MANY", 0)
        yield


@pytest.fixture(scope="module", params=KEYED.values(), ids=list(KEYED))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    key, numbering = request.param
    ddl = f"CREATE TABLE t (id {key}, a, b, n INTEGER)"
    with using(numbering):
        made = Bench(tmp_path_factory.mktemp("freeze") / "device.db", ddl, ["n"])
    for execute in (made.app.execute, made.store.execute):
        execute("PRAGMA synchronous = OFF")
    yield made
    made.close()


def emptied(bench: Bench) -> Bench:
    """As new: no rows, no edits, no pushes, watermark w0."""
    bench.app.execute("DELETE FROM t")
    with bench.store.transaction() as store:
        store.execute(f"DELETE FROM {bench.log('t')}")
        for table in ("outbox", "outbox_cut", "parked", "held", "conflict"):
            store.execute(f"DELETE FROM _sync_{table}")
        store.set_state(push=0, limits=None)
        store.advance("w0", 0)
    return bench


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_the_push_is_what_the_merge_rules_make_of_the_edits(bench: Bench, steps: list[Any]) -> None:
    pair = Pair(emptied(bench))
    for step in steps:
        pair.take(step)
    pair.answer()
    pair.freeze()


def drain(bench: Bench) -> list[dict[int, Change]]:
    """Push until nothing is pending."""
    pushes = []
    while True:
        frozen = freeze(bench.device)
        if frozen is None:
            return pushes
        pushes.append(changes(frozen, bench))
        assert is_complete(bench.device) == (bench.store.value(BEYOND.format(log=bench.log("t"))) == 0)
        bench.verdict()


BEYOND = "SELECT count(*) FROM {log} WHERE seq > (SELECT max(seq) FROM _sync_outbox_cut)"


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, rows=st.integers(1, 4))
def test_a_backlog_frozen_in_pieces_has_the_same_changes(bench: Bench, steps: list[Any], rows: int) -> None:
    pair = Pair(emptied(bench))
    for step in steps:
        if step[0] not in ("freeze", "answer"):
            pair.take(step)
    present = saved(bench)
    whole = drain(bench)
    restore(bench.store, present)
    bench.store.set_state(limits=msgspec.json.encode(Limits(push_total_rows=rows)).decode())
    pieces = drain(bench)
    assert all(len(piece) <= rows for piece in pieces)
    merged = {key: change for piece in pieces for key, change in piece.items()}
    assert sum(map(len, pieces)) == len(merged)
    assert {key: ranked(change) for key, change in merged.items()} == {
        key: ranked(change) for push in whole for key, change in push.items()
    }
    kinds = [{change.kind for change in piece.values()} for piece in pieces]
    for i, piece in enumerate(kinds):
        later = set().union(*kinds[i + 1 :])
        assert not (piece & set("D-") and later & set("IRU")), "deletes go last"


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, rows=st.integers(1, 4))
def test_a_backlog_frozen_in_chunks_has_the_same_changes(bench: Bench, steps: list[Any], rows: int) -> None:
    pair = Pair(emptied(bench))
    for step in steps:
        if step[0] not in ("freeze", "answer"):
            pair.take(step)
    present = saved(bench)
    whole = drain(bench)
    restore(bench.store, present)
    bench.store.set_state(limits=msgspec.json.encode(Limits(push_rows=rows)).decode())
    freeze(bench.device)
    chunks = bench.chunks()
    assert all(sum(len(group.rows) for group in chunk) <= rows for chunk in chunks)
    ops = [group.op in "D-" for chunk in chunks for group in chunk] if len(chunks) > 1 else []
    assert ops == sorted(ops), "deletes go last"
    assert drain(bench) == whole


def ranked(change: Change) -> Change:
    """With clocks that only rank the edits of the row."""
    clocks = sorted({change.hlc, *(hlc for _, hlc, _, _ in change.columns.values())})
    columns = {
        name: (value, clocks.index(hlc), base, before)
        for name, (value, hlc, base, before) in change.columns.items()
    }
    return replace(change, hlc=clocks.index(change.hlc), columns=columns)


def saved(bench: Bench) -> dict[str, list[Any]]:
    return {
        table: bench.rows(f"SELECT * FROM {table}")
        for table in ("t", bench.log("t"), "_sync_parked", "_sync_checkpoint")
    }


def restore(store: Store, tables: dict[str, list[Any]]) -> None:
    with store.transaction():
        store.set_state(suppressed=1)
        for table, rows in tables.items():
            store.execute(f"DELETE FROM {table}")
            for row in rows:
                store.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        store.set_state(suppressed=0, checkpoint=store.value("SELECT max(id) FROM _sync_checkpoint"))
