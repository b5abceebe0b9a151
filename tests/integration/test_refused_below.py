"""Edits that cannot travel, of rows that point at new rows which cannot either: none takes another along, and
all can be retried, whichever first (laws L2, L5)."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

import syncline
from syncline.errors import UsageError
from tests.support.application import sql

NO_TEXT = "CAST(x'ff' AS TEXT)"
LARGE = "printf('%.*c', 200000, 'x')"
SELF = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER DEFAULT 1 REFERENCES t {action}, v TEXT, w TEXT)",
    "CREATE TABLE below (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id) {action})",
    "INSERT INTO t VALUES (1, NULL, 'a', 'b'), (3, 1, 'c', 'd')", "INSERT INTO below VALUES (1, 3)",
)  # fmt: skip
CYCLE = (
    "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b (id) {action}, v TEXT, w TEXT)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id) {action}, v TEXT, w TEXT)",
    "INSERT INTO a VALUES (1, NULL, 'x', 'y')", "INSERT INTO b VALUES (1, 1, 'x', 'y')",
)  # fmt: skip
EDITS = {
    "self": (SELF, ["INSERT INTO t VALUES (2, NULL, {v}, 'x')", "UPDATE t SET up = 2, v = {v} WHERE id = 3"]),
    "self, moved first": (
        SELF,
        ["INSERT INTO t VALUES (9, NULL, 'x', 'x')", "UPDATE t SET up = 9, v = {v} WHERE id = 3",
         "UPDATE t SET v = {v} WHERE id = 9"],
    ),
    "cycle": (
        CYCLE,
        ["INSERT INTO a VALUES (2, 1, {v}, 'x')", "INSERT INTO b VALUES (2, 2, {v}, 'x')",
         "UPDATE b SET a = 2, v = {v} WHERE id = 1", "UPDATE a SET b = 2, v = {v} WHERE id = 1"],
    ),
}  # fmt: skip


class Place:
    """A centre and a device file of it."""

    def __init__(self, folder: Path, made: tuple[str, ...], action: str) -> None:
        self.centre, self.device = folder / "centre.db", folder / "device.db"
        sql(self.centre, *(statement.format(action=action) for statement in made))
        self.tables = [
            name for (name,) in sql(self.centre, "SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        syncline.clone(self.hub, self.device).close()

    def has_equal_rows(self) -> bool:
        rows = [f"SELECT * FROM {name} ORDER BY 1" for name in self.tables]
        return all(sql(self.device, one) == sql(self.centre, one) for one in rows)


@pytest.mark.parametrize("action", ["", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"])
@pytest.mark.parametrize("kind", EDITS)
def test_l5_a_row_that_stays_does_not_go_with_the_new_row_that_it_was_moved_to(
    tmp_path: Path, kind: str, action: str
) -> None:
    made, edits = EDITS[kind]
    place = Place(tmp_path, made, f"ON DELETE {action}" if action else "")
    sql(place.device, *(edit.format(v=NO_TEXT) for edit in edits))
    with place.hub, syncline.connect(place.device, place.hub) as replica:
        replica.sync()
        assert place.has_equal_rows()
        assert len(replica.rejected()) == len({(edit.table, edit.key) for edit in replica.rejected()})
        assert {edit.op for edit in replica.rejected()} == {"I", "U"}
        assert replica.verify().equal


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1])))
def test_l2_both_can_be_retried_whichever_first(tmp_path: Path, order: tuple[int, int]) -> None:
    made, edits = EDITS["self"]
    place = Place(tmp_path, made, "ON DELETE CASCADE")
    limits = place.hub.limits
    place.hub.limits = msgspec.structs.replace(limits, bytes=70_000)
    syncline.clone(place.hub, tmp_path / "small.db").close()
    place.device = tmp_path / "small.db"
    sql(place.device, *(edit.format(v=LARGE) for edit in edits))
    with place.hub, syncline.connect(place.device, place.hub) as replica:
        replica.sync()
        assert place.has_equal_rows()
        kept = replica.rejected()
        assert [edit.op for edit in kept] == ["I", "U"]
        for number in (kept[place_of].id for place_of in order):
            try:
                replica.retry(number)
            except UsageError as error:
                assert error.remedy.startswith(f"Retry edit {kept[0].id} first, of the row of t that")
                replica.retry(kept[0].id)
                replica.retry(number)
                break
        assert replica.rejected() == []
        sql(place.device, "UPDATE t SET v = 'small enough' WHERE id IN (2, 3)")
        replica.sync()
        assert place.has_equal_rows() and replica.rejected() == []
    assert sql(place.centre, "SELECT id, up, v, w FROM t ORDER BY id")[1:] == [
        (2, None, "small enough", "x"), (3, 2, "small enough", "d"),
    ]  # fmt: skip
