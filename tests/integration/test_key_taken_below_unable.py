"""What points at a new row whose key another's is, in a table that cannot take part when that is found out,
or takes no part for a while (laws L2 and L3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from tests.support.application import sql

VISIT = (
    "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, customer INTEGER REFERENCES customer (id), note TEXT)"
)
PART = "CREATE TABLE part (id TEXT NOT NULL PRIMARY KEY, visit TEXT REFERENCES visit (id))"
DDL = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
    VISIT,
    PART,
    "INSERT INTO customer VALUES (1, 'of both')",
    "INSERT INTO visit VALUES ('old', 1, 'of both')",
)
NEW = (
    "INSERT INTO customer VALUES (2, 'of the device')",
    "INSERT INTO visit VALUES ('v', 2, 'of the device')",
    "INSERT INTO part VALUES ('p', 'v')",
)
POINTS = "SELECT v.id, c.name FROM visit v LEFT JOIN customer c ON c.id = v.customer ORDER BY v.id"


class Site:
    """A centre with customers, visits to them and parts of these, and one device, which has a new customer of
    a number that the centre gives to another."""

    def __init__(self, folder: Path) -> None:
        self.central, self.file = folder / "central.db", folder / "device.db"
        self.tables = ["customer", "visit", "part"]
        sql(self.central, *DDL)
        self.init()
        with self.hub() as hub:
            syncline.clone(hub, str(self.file)).close()
        sql(self.central, "INSERT INTO customer VALUES (2, 'of the centre')")
        sql(self.file, *NEW)

    @contextmanager
    def hub(self) -> Iterator[syncline.Hub]:
        tables = {name: syncline.Table() for name in self.tables}
        hub = syncline.Hub(f"sqlite:///{self.central}", tables)
        try:
            yield hub
        finally:
            hub.close()

    @contextmanager
    def device(self) -> Iterator[syncline.Replica]:
        with self.hub() as hub, syncline.connect(str(self.file), hub=hub) as replica:
            yield replica

    def init(self) -> None:
        with self.hub() as hub:
            hub.init(yes=True)

    def sync(self) -> list[tuple[object, str, str]]:
        """Twice: what is rejected then."""
        with self.device() as replica:
            replica.sync()
            replica.sync()
            found = [(edit.key[0], edit.op, edit.code) for edit in replica.rejected()]
            return sorted(found, key=lambda one: str(one[0]))

    def bring_in(self) -> None:
        """Under a free number."""
        with self.device() as replica:
            taken = next(edit.id for edit in replica.rejected() if edit.code == "key_taken")
            (first, *_) = replica.retry(taken, new_key=True)
            assert first.new_key == (3,)

    def points(self) -> list[tuple[object, ...]]:
        """The visits in the centre, and whose they are."""
        return sql(self.central, POINTS)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def without_key(site: Site) -> None:
    """A program makes the table anew and forgets the key."""
    make = "CREATE TABLE made AS SELECT * FROM visit"
    sql(site.file, "PRAGMA foreign_keys = OFF", make, "DROP TABLE visit", "ALTER TABLE made RENAME TO visit")


def with_index(site: Site) -> None:
    sql(site.file, "CREATE UNIQUE INDEX visit_id ON visit (id)")


def made_whole(site: Site) -> None:
    """As it was at first, with its columns in another order."""
    columns = "note TEXT, id TEXT NOT NULL PRIMARY KEY, customer INTEGER REFERENCES customer (id)"
    make = f"CREATE TABLE made ({columns})"
    copy = "INSERT INTO made (id, customer, note) SELECT id, customer, note FROM visit"
    sql(site.file, make, copy, "DROP TABLE visit", "ALTER TABLE made RENAME TO visit")


WAYS = [with_index, made_whole]
END = [("old", "of both"), ("v", "of the device")]


def comes_in(site: Site) -> None:
    assert site.sync() == []
    assert site.points() == END
    assert sql(site.central, "SELECT * FROM part") == [("p", "v")]
    with site.device() as replica:
        assert replica.verify().equal


@pytest.mark.parametrize("back", WAYS)
def test_l2_a_child_in_a_table_without_its_key_waits_with_its_row(site: Site, back: object) -> None:
    without_key(site)
    assert [code for _, _, code in site.sync()] == ["key_taken"]
    assert callable(back)
    back(site)
    assert site.sync() == [
        (2, "I", "key_taken"),
        ("p", "I", "parent_rejected"),
        ("v", "I", "parent_rejected"),
    ]
    assert site.points() == [("old", "of both")]
    site.bring_in()
    comes_in(site)


@pytest.mark.parametrize("back", WAYS)
def test_l2_a_child_in_a_table_without_its_key_follows_its_row(site: Site, back: object) -> None:
    without_key(site)
    site.sync()
    site.bring_in()
    site.sync()
    assert callable(back)
    back(site)
    comes_in(site)


def test_l2_a_row_that_was_moved_below_a_taken_key_in_a_table_that_cannot_take_part_is_kept(
    site: Site,
) -> None:
    sql(site.file, "UPDATE visit SET customer = 2 WHERE id = 'old'")
    without_key(site)
    site.sync()
    with_index(site)
    assert (("old", "U", "parent_rejected")) in site.sync()
    assert site.points() == [("old", "of both")]


def test_l2_a_table_that_was_captured_all_the_time_is_looked_at_as_well(site: Site) -> None:
    """It lost its key alone: what was captured would go as it is."""
    sql(site.file, "DELETE FROM part", "DELETE FROM visit WHERE id = 'v'")
    without_key(site)
    with_index(site)
    site.tables = ["customer", "visit", "part"]
    with site.device() as replica:
        replica.sync()
        sql(site.central, "INSERT INTO customer VALUES (7, 'of the centre, too')")
        sql(
            site.file,
            "INSERT INTO customer VALUES (7, 'of the device, too')",
            "INSERT INTO visit VALUES ('w', 7, 'of the device')",
            "DROP INDEX visit_id",
        )
        replica.push()
    with_index(site)
    assert ("w", "I", "parent_rejected") in site.sync()
    assert site.points() == [("old", "of both")]


def test_l12_a_row_is_not_discarded_while_what_was_written_for_it_cannot_be_told(site: Site) -> None:
    without_key(site)
    site.sync()
    with site.device() as replica:
        (edit,) = replica.rejected()
        with pytest.raises(UsageError, match="visit cannot take part now"):
            replica.discard(edit.id)
    with_index(site)
    site.sync()
    with site.device() as replica:
        replica.discard(next(edit.id for edit in replica.rejected() if edit.code == "key_taken"))
        child = next(edit.id for edit in replica.rejected() if edit.key == ("v",))
        with pytest.raises(UsageError, match="was discarded"):
            replica.retry(child)


@pytest.mark.parametrize("is_first", [True, False])
def test_l2_a_child_in_a_table_that_takes_no_part_is_not_the_other_s_when_it_does_again(
    site: Site, is_first: bool
) -> None:
    """`is_first`: the table is taken out before the key is known to be taken."""
    if is_first:
        sql(site.central, "UPDATE customer SET id = 20 WHERE id = 2")
    site.tables = ["customer"]
    site.init()
    if is_first:
        with site.device() as replica:
            replica.pull()
        sql(site.central, "UPDATE customer SET id = 2 WHERE id = 20")
    assert (2, "I", "key_taken") in site.sync()
    site.tables = ["customer", "visit", "part"]
    site.init()
    assert site.sync() == [
        (2, "I", "key_taken"),
        ("p", "I", "parent_rejected"),
        ("v", "I", "parent_rejected"),
    ]
    assert site.points() == [("old", "of both")]
    site.bring_in()
    comes_in(site)


def test_l2_a_child_in_a_table_that_takes_no_part_follows_its_row(site: Site) -> None:
    site.tables = ["customer"]
    site.init()
    site.sync()
    site.bring_in()
    site.sync()
    site.tables = ["customer", "visit", "part"]
    site.init()
    comes_in(site)


def moved_below(site: Site) -> int:
    """A visit of the centre was moved to the device's customer before its table took no part any more, and
    that is kept; the id of that edit."""
    sql(site.file, "DELETE FROM part", "DELETE FROM visit WHERE id = 'v'")
    sql(site.file, "UPDATE visit SET customer = 2 WHERE id = 'old'")
    site.tables = ["customer"]
    site.init()
    site.sync()
    with site.device() as replica:
        return next(edit.id for edit in replica.rejected() if edit.code == "table_dropped")


def take_part_again(site: Site) -> None:
    site.tables = ["customer", "visit", "part"]
    site.init()
    site.sync()


@pytest.mark.parametrize("is_discarded", [False, True])
def test_l2_an_edit_kept_from_before_is_not_given_to_the_other_s_row(site: Site, is_discarded: bool) -> None:
    """Whose row it names was clear when it was made, whatever it was refused for."""
    kept = moved_below(site)
    if is_discarded:
        with site.device() as replica:
            replica.discard(next(edit.id for edit in replica.rejected() if edit.code == "key_taken"))
    take_part_again(site)
    with site.device() as replica:
        with pytest.raises(UsageError, match="is another's"):
            replica.retry(kept)
        replica.sync()
    assert site.points() == [("old", "of both")]


@pytest.mark.parametrize("is_back", [False, True])
def test_l2_an_edit_kept_from_before_names_the_row_by_its_new_key(site: Site, is_back: bool) -> None:
    kept = moved_below(site)
    if is_back:
        take_part_again(site)
    site.bring_in()
    take_part_again(site)
    with site.device() as replica:
        replica.retry(kept)
        replica.sync()
        assert replica.rejected() == []
    assert site.points() == [("old", "of the device")]


@pytest.mark.parametrize("is_discarded_first", [True, False])
def test_l2_a_child_of_a_discarded_row_is_not_the_other_s_when_its_table_takes_part_again(
    site: Site, is_discarded_first: bool
) -> None:
    site.tables = ["customer"]
    site.init()
    site.sync()
    if not is_discarded_first:
        take_part_again(site)
    with site.device() as replica:
        replica.discard(next(edit.id for edit in replica.rejected() if edit.code == "key_taken"))
    if is_discarded_first:
        take_part_again(site)
    with site.device() as replica:
        (child,) = (edit for edit in replica.rejected() if edit.key == ("v",))
        assert child.code == "parent_rejected"
        with pytest.raises(UsageError, match="was discarded"):
            replica.retry(child.id)
    assert site.points() == [("old", "of both")]
