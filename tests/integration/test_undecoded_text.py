"""Rows of a device that hold text which is not UTF-8: no hub can have it. What can be done with them is done
or refused in words, and they hide no others (laws L2, L8, L12)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import UsageError
from syncline.replica.examine import examine
from tests.support.application import sql

TABLES = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "CREATE TABLE k (id TEXT PRIMARY KEY, v TEXT)",
    "INSERT INTO t VALUES (1, 'x')", "INSERT INTO k VALUES ('a', 'x')",
)  # fmt: skip
NO_TEXT = "CAST(x'636166e9' AS TEXT)"


class Place:
    """A centre and a device file of it."""

    def __init__(self, folder: Path) -> None:
        self.centre, self.device = folder / "centre.db", folder / "device.db"
        sql(self.centre, *TABLES)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", {"t": syncline.Table(), "k": syncline.Table()})
        self.hub.init()
        syncline.clone(self.hub, self.device).close()

    def open(self) -> Any:
        return syncline.connect(self.device, self.hub)

    def equal(self) -> None:
        for table in ("t", "k"):
            rows = f"SELECT *, typeof(v), typeof(id) FROM {table} ORDER BY id"
            assert sql(self.device, rows) == sql(self.centre, rows)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.hub.close()


EDITS = {
    "update": f"UPDATE t SET v = {NO_TEXT}",
    "insert": f"INSERT INTO t VALUES (2, {NO_TEXT})",
    "key": f"INSERT INTO k VALUES ({NO_TEXT}, 'y')",
    "replaced": f"INSERT INTO k VALUES ({NO_TEXT}, 'y'); REPLACE INTO k VALUES ({NO_TEXT}, 'z')",
    "former value": f"UPDATE t SET v = {NO_TEXT}; UPDATE t SET v = 'good'",
}


@pytest.mark.parametrize("edit", ["update", "insert", "key", "replaced"])
def test_l2_a_rejected_text_that_is_not_utf_8_is_not_put_back_as_a_blob(place: Place, edit: str) -> None:
    sql(place.device, *EDITS[edit].split("; "))
    with place.open() as replica:
        replica.sync()
        (kept,) = replica.rejected()
        with pytest.raises(UsageError, match="not valid UTF-8") as refused:
            replica.retry(kept.id)
        assert refused.value.code == "retry_refused" and refused.value.remedy
        replica.sync()
        assert replica.rejected() == [kept]
        place.equal()
        replica.discard(kept.id)
        assert replica.rejected() == []


def test_l2_a_blob_beside_it_can_be_retried(place: Place) -> None:
    """Only what is no text is refused: bytes that an application has stored as such go as such."""
    refusing = "BEGIN SELECT RAISE(ABORT, 'no'); END"
    sql(place.centre, f"CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 7 {refusing}")
    sql(place.device, "INSERT INTO t VALUES (7, x'636166e9')")
    with place.open() as replica:
        replica.sync()
        (kept,) = replica.rejected()
        sql(place.centre, "DROP TRIGGER no")
        replica.retry(kept.id)
        replica.sync()
        assert replica.rejected() == []
    assert sql(place.centre, "SELECT v FROM t WHERE id = 7") == [(b"caf\xe9",)]


@pytest.mark.parametrize("edit", EDITS)
def test_l12_one_text_that_is_not_utf_8_hides_no_other_edit(place: Place, edit: str) -> None:
    sql(place.device, *EDITS[edit].split("; "), "INSERT INTO k VALUES ('good', 'y')")
    with place.open() as replica:
        log = replica.log()
        assert ("k", ("good",)) in [(entry.table, entry.key) for entry in log]
        assert len(log) >= len(EDITS[edit].split("; ")) + 1
        assert [entry.as_dict() for entry in log]
        if edit == "key":
            assert (b"caf\xe9",) in [entry.key for entry in log]
        if edit == "former value":
            assert {"v": b"caf\xe9"} in [entry.old for entry in log]
        assert replica.status().pending and replica.preview().rows
        assert not replica.verify().left
        assert not [finding for finding in examine(place.device) if finding.code == "value_refused"]
        replica.sync()
        assert len(replica.rejected()) == (edit != "former value")
        place.equal()
