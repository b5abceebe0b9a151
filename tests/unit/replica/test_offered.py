"""What a device says of a push that the centre has lost, and that it offers again (L2, L6, L8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncline.model.schema import Schema
from syncline.protocol.messages import Rejection
from syncline.replica.details import details
from syncline.replica.device import Device
from syncline.replica.forms import Forms, written_forms
from syncline.replica.freeze import freeze
from syncline.replica.offer import offer_next
from syncline.replica.parted import Past
from syncline.replica.rejected import rejected
from syncline.replica.sent import kept_pushes, lose
from tests.support.device import Bench

KEYS = [f"{n}a0eebc9-9c0b-4ef8-bb6d-6bb9bd380a11" for n in range(5)]
DDL = """
CREATE TABLE t (id TEXT PRIMARY KEY, note, n INTEGER);
CREATE TABLE u (id TEXT PRIMARY KEY, note TEXT, n INTEGER);
CREATE TABLE v (id TEXT PRIMARY KEY, note TEXT, n INTEGER);
"""


def hexed(key: str) -> str:
    return key.replace("-", "")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The centre spells keys with hyphens, the file without."""
    made = Bench(tmp_path / "device.db", DDL, increments=["n"], types={"id": "uuid"})
    with made.store.transaction() as store:
        forms = Forms({"uuids": "hex"})
        store.set_state(forms=written_forms(forms.having(made.schema.tables)))
    made.device = Device.load(made.store)
    for table in ("t", "u", "v"):
        made.pull(made.put(table, *([key, "old", 10] for key in KEYS)), watermark=table)
    assert made.rows("SELECT id FROM t ORDER BY id") == [(hexed(key),) for key in KEYS]
    yield made
    made.close()


def pushed(bench: Bench, *statements: tuple[str, *tuple[str, ...]], refused: str | None = None) -> None:
    for sql, *keys in statements:
        bench.app.execute(sql, [hexed(key) for key in keys])
    assert freeze(bench.device) is not None
    n = bench.schema.number_of("t")
    one = [] if refused is None else [Rejection(n, [refused], "check", "no", "Mend it.")]
    bench.verdict(rejected=one)


def test_what_later_pushes_counted_is_taken_off_the_rows_of_the_one_that_is_offered(bench: Bench) -> None:
    first, second, third, fourth, new = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[0]
    pushed(
        bench,
        ("UPDATE t SET n = n + 5, note = 'mine'",),
        ("DELETE FROM t WHERE id = ?", new),
        ("UPDATE t SET note = 'only' WHERE id = ?", third),
    )
    pushed(
        bench,
        ("INSERT INTO t VALUES (?, 'again', 7)", new),
        ("UPDATE t SET n = n + 100",),
        ("UPDATE u SET n = n + 1000",),
        ("DELETE FROM t WHERE id = ?", third),
        ("UPDATE v SET note = 'more'",),
    )
    pushed(
        bench,
        ("UPDATE t SET n = n + 10000 WHERE id IN (?, ?)", second, first),
        ("UPDATE t SET note = 5 WHERE id = ?", fourth),
    )
    bench.app.execute("UPDATE t SET n = n + 100000 WHERE id = ?", (hexed(second),))  # is pending
    with bench.store.transaction() as store:
        lose(store, [kept.number for kept in kept_pushes(store)])
        assert offer_next(bench.device, "w0")
    n, t = bench.schema.number_of("t"), bench.schema.table("t")
    asked = [(n, (key,)) for key in (second, third, fourth, new)]
    found = {}
    for detail in details(bench.device, asked):
        assert detail.columns == [] and detail.base == []
        columns = [t.values[i].name for i in detail.image_columns or t.values]
        assert detail.image is not None and len(columns) == len(detail.image)
        found[detail.key[0]] = dict(zip(columns, detail.image, strict=True))
    assert found == {
        second: {"note": "mine", "n": 15},
        third: {"note": "only", "n": 5},
        fourth: {"note": 5, "n": 15},
        new: {"note": "again", "n": 107},
    }


def test_what_a_lost_schema_had_beyond_the_present_one_is_kept_but_for_what_was_rejected(
    bench: Bench,
) -> None:
    pushed(bench, ("UPDATE t SET note = 'mine', n = n + 1",), refused=KEYS[1])
    (edit,) = rejected(bench.device)
    assert edit.key == (hexed(KEYS[1]),)
    t = bench.schema.table("t")
    columns = tuple(column for column in t.columns if column.name != "note")
    rest = [table for table in bench.schema.tables if table != t]
    bench.device.hub = Schema((replace(t, columns=columns), *rest))
    with bench.store.transaction() as store:
        lose(store, [kept.number for kept in kept_pushes(store)])
        assert offer_next(bench.device, "w0", Past({bench.schema.fingerprint: bench.schema}))
    kept = rejected(bench.device)
    assert kept[0] == edit
    assert [(one.key[0], one.values) for one in kept[1:]] == [
        (hexed(key), {"note": "mine"}) for key in KEYS if key != KEYS[1]
    ]
    (group,) = bench.chunks()[0]
    assert sorted(row[0] for row in group.rows) == [key for key in KEYS if key != KEYS[1]]
    assert group.columns == [t.column("n").number]
    assert bench.rows("SELECT fingerprint FROM _sync_outbox") == [(bench.device.hub.fingerprint,)]
