"""What was edited, altered or given up while an insert waits whose key is another's (laws L2 and L3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from syncline.replica.store import pack
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
            ("own", "I"): 1004,
            ("old", "U"): 4,
        }
        assert kept["old", "U"].base["n"] == 1000
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


def rename_parent(site: Site, where: str) -> str:
    """Another name for the table of customers, by the application or in the centre; that on the device."""
    if where == "device":
        sql(site.file, "ALTER TABLE customer RENAME TO client")
        return "client"
    sql(site.central, "ALTER TABLE customer RENAME TO client")
    with site.device() as a:
        a.sync()
        a.upgrade()
    return "client"


@pytest.mark.parametrize("where", ["device", "centre"])
def test_l2_a_child_of_a_discarded_row_is_not_the_other_s_after_the_table_has_another_name(
    site: Site, where: str
) -> None:
    take_key_two(site)
    sql(site.file, "INSERT INTO visit VALUES ('own', 2, 'of the device', 0)")
    with site.device() as a:
        a.sync()
        a.discard(next(edit.id for edit in a.rejected() if edit.code == "key_taken"))
    name = rename_parent(site, where)
    with site.device() as a:
        (edit,) = a.rejected()
        assert edit.parent == (name, (2,))
        with pytest.raises(
            UsageError, match=f"the row of {name} \\[2\\] that it would point at is another's"
        ):
            a.retry(edit.id)
        a.sync()
        assert [edit.key for edit in a.rejected()] == [("own",)]
    assert [visit[0] for visit in site.visits()] == ["old"]


@pytest.mark.parametrize("where", ["device", "centre"])
def test_l2_a_child_goes_with_its_row_under_a_new_key_after_the_table_has_another_name(
    site: Site, where: str
) -> None:
    take_key_two(site)
    with site.device() as a:
        push_and_meanwhile(a, "INSERT INTO visit VALUES ('own', 2, 'of the device', 0)")
        a.sync()
    rename_parent(site, where)
    with site.device() as a:
        taken = next(edit.id for edit in a.rejected() if edit.code == "key_taken")
        assert [(one.table, one.key) for one in a.retry(taken, new_key=True)] == [
            ("client", (2,)),
            ("visit", ("own",)),
        ]
        a.sync()
    assert ("own", 3, "of the device", 0) in site.visits()


@pytest.mark.parametrize("is_discarded", [False, True])
def test_l2_a_child_is_not_the_other_s_after_the_table_was_made_anew(site: Site, is_discarded: bool) -> None:
    take_key_two(site)
    sql(site.file, "INSERT INTO visit VALUES ('own', 2, 'of the device', 0)")
    with site.device() as a:
        a.sync()
        if is_discarded:
            a.discard(next(edit.id for edit in a.rejected() if edit.code == "key_taken"))
    sql(site.central, "CREATE TABLE kept AS SELECT * FROM customer", "DROP TABLE customer")
    with site.device() as a:
        a.sync()
        a.upgrade()
        assert a.rejected()[-1].parent == ("customer", (2,)) or not is_discarded
    sql(site.central, DDL[0], "INSERT INTO customer SELECT * FROM kept")
    with site.device() as a:
        a.upgrade()
        a.sync()
        child = next(edit.id for edit in a.rejected() if edit.table == "visit")
        with pytest.raises(UsageError, match="that it would point at is another's"):
            a.retry(child)


def test_l2_a_file_from_before_has_the_discarded_row_by_the_name_of_its_table(site: Site) -> None:
    take_key_two(site)
    sql(site.file, "INSERT INTO visit VALUES ('own', 2, 'of the device', 0)")
    with site.device() as a:
        a.sync()
        a.discard(next(edit.id for edit in a.rejected() if edit.code == "key_taken"))
        with a._store.transaction() as store:
            store.execute("UPDATE _sync_rejected SET parent = ?", (pack(["customer", [2], True]),))
        (edit,) = a.rejected()
        assert edit.parent == ("customer", (2,))
        with pytest.raises(UsageError, match="was discarded"):
            a.retry(edit.id)


def test_l2_an_edit_meanwhile_of_what_points_at_the_other_s_row_in_the_centre_is_sent(site: Site) -> None:
    """The file shows the row below the device's customer until then, but it was always the other's."""
    take_key_two(site)
    sql(site.central, "INSERT INTO visit VALUES ('theirs', 2, 'of the centre', 1000)")
    with site.device() as a:
        a.pull()
        assert sql(site.file, "SELECT name FROM customer WHERE id = 2") == [("of the device",)]
        push_and_meanwhile(
            a,
            "UPDATE visit SET n = n + 4, note = 'edited' WHERE id = 'theirs'",
            "INSERT INTO visit VALUES ('own', 2, 'of the device', 0)",
        )
        assert [(edit.table, edit.key[0]) for edit in a.rejected()] == [("customer", 2), ("visit", "own")]
        a.sync()
        a.retry(a.rejected()[0].id, new_key=True)
        a.sync()
        assert a.rejected() == []
        assert a.verify().equal
    assert site.visits() == [
        ("old", 1, "of the centre", 1000),
        ("own", 3, "of the device", 0),
        ("theirs", 2, "edited", 1004),
    ]
