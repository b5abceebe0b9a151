"""What was edited, altered or given up while an insert waits whose key is another's (laws L2 and L3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import syncline
from tests.support.application import sql

DDL = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, customer INTEGER REFERENCES customer (id), note TEXT,"
    " n INTEGER NOT NULL DEFAULT 0)",
    "INSERT INTO customer VALUES (1, 'of both')",
    "INSERT INTO visit VALUES ('old', 1, 'of the centre', 1000)",
)


class Site:
    """A centre with customers and visits, whose counter is `n`, and one device."""

    def __init__(self, folder: Path) -> None:
        self.central, self.file = folder / "central.db", folder / "device.db"
        sql(self.central, *DDL)
        with self._hub() as hub:
            hub.init()
            syncline.clone(hub, str(self.file)).close()

    @contextmanager
    def _hub(self) -> Iterator[syncline.Hub]:
        tables = {"customer": syncline.Table(), "visit": syncline.Table(merge={"n": "sum"})}
        names = {name for (name,) in sql(self.central, "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "client" in names:
            tables["client"] = tables.pop("customer")
        hub = syncline.Hub(f"sqlite:///{self.central}", tables)
        try:
            yield hub
        finally:
            hub.close()

    @contextmanager
    def device(self) -> Iterator[syncline.Replica]:
        """The device with the centre as it is now."""
        with self._hub() as hub, syncline.connect(str(self.file), hub=hub) as replica:
            yield replica

    def visits(self) -> list[tuple[object, ...]]:
        return sql(self.central, "SELECT id, customer, note, n FROM visit ORDER BY id")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def take_key_two(site: Site) -> None:
    """Device and centre each make a customer 2."""
    sql(site.central, "INSERT INTO customer VALUES (2, 'of the centre')")
    sql(site.file, "INSERT INTO customer VALUES (2, 'of the device')")


def push_and_meanwhile(replica: syncline.Replica, *statements: str) -> None:
    """Push; the application runs these once the push is frozen."""
    later = list(statements)

    def meanwhile(stage: str, done: int, total: int | None) -> None:
        if stage == "push" and later:
            sql(replica.file, *later)
            later.clear()

    replica.push(progress=meanwhile)


def test_l3_a_counter_that_was_edited_meanwhile_is_kept_as_its_increment(site: Site) -> None:
    take_key_two(site)
    sql(site.file, "INSERT INTO visit VALUES ('own', 2, 'of the device', 1000)")
    with site.device() as a:
        push_and_meanwhile(
            a,
            "UPDATE visit SET n = n + 4, note = 'edited' WHERE id = 'own'",
            "UPDATE visit SET n = n + 4, customer = 2 WHERE id = 'old'",
        )
        kept = {(edit.key[0], edit.op): edit for edit in a.rejected() if edit.table == "visit"}
        assert {place: edit.values["n"] for place, edit in kept.items()} == {
            ("own", "I"): 1000,
            ("own", "U"): 4,
            ("old", "U"): 4,
        }
        assert [kept[place, "U"].base["n"] for place in ("own", "old")] == [1000, 1000]
        a.retry(next(edit.id for edit in a.rejected() if edit.code == "key_taken"), new_key=True)
        for edit in a.rejected():
            a.retry(edit.id)
        assert sql(site.file, "SELECT id, n FROM visit ORDER BY id") == [("old", 1004), ("own", 1004)]
        a.sync()
        assert site.visits() == [("old", 3, "of the centre", 1004), ("own", 3, "edited", 1004)]
        assert a.rejected() == []
        assert a.verify().equal


def test_l2_a_counter_beside_text_that_cannot_travel_is_kept_as_its_increment(site: Site) -> None:
    sql(site.file, "UPDATE visit SET n = n + 4, note = CAST(x'ff' AS TEXT)")
    with site.device() as a:
        a.sync()
        (edit,) = a.rejected()
        assert (edit.values["n"], edit.base["n"]) == (4, 1000)
        assert sql(site.file, "SELECT n FROM visit") == [(1000,)]
