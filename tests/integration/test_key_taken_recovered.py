"""What was written into a new row whose key another's turns out to have, where the file finds its place again
before the centre's log could say so (laws L2 and L3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import TransportError, UsageError
from tests.support.application import sql

DDL = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, n INTEGER NOT NULL DEFAULT 0, x TEXT)",
    "CREATE TABLE site (customer INTEGER NOT NULL REFERENCES customer (id), code TEXT NOT NULL, city TEXT,"
    " PRIMARY KEY (customer, code))",
    "CREATE TABLE visit (id TEXT NOT NULL PRIMARY KEY, customer INTEGER NOT NULL, code TEXT NOT NULL,"
    " note TEXT, FOREIGN KEY (customer, code) REFERENCES site (customer, code))",
    "INSERT INTO customer VALUES (1, 'of both', 0, 'x')",
    "INSERT INTO site VALUES (1, 'a', 'of both')",
    "INSERT INTO visit VALUES ('old', 1, 'a', 'of both')",
)
CENTRAL = (
    "INSERT INTO customer VALUES (2, 'of the centre', 100, 'x')",
    "INSERT INTO site VALUES (2, 'a', 'of the centre')",
)
NEW = (
    "INSERT INTO customer VALUES (2, 'of the device', 1, 'y')",
    "INSERT INTO site VALUES (2, 'a', 'of the device')",
    "INSERT INTO visit VALUES ('v', 2, 'a', 'of the device')",
)
EDITS = (
    "UPDATE customer SET name = name || ', edited', n = n + 4 WHERE id = 2",
    "UPDATE site SET city = city || ', edited' WHERE customer = 2",
    "UPDATE visit SET note = note || ', edited' WHERE id = 'v'",
    "INSERT INTO visit VALUES ('w', 2, 'a', 'later')",
)
LATER = (
    ("UPDATE customer SET name = name || ', edited', n = n + 4 WHERE id = 2",),
    NEW[1:],
    ("UPDATE visit SET note = note || ', edited' WHERE id = 'v'",),
    ("UPDATE visit SET customer = 2 WHERE id = 'old'",),
)
Meanwhile = Callable[[str, int], None]


class Site:
    """A centre with customers, their sites and visits there, and one device. What the device asks for passes
    `meanwhile` once it is answered: the name of the request and how many came before."""

    def __init__(self, folder: Path) -> None:
        self.central, self.file = folder / "central.db", folder / "device.db"
        self.meanwhile: Meanwhile = lambda name, number: None
        sql(self.central, *DDL)
        with self.hub() as hub:
            hub.init()
            syncline.clone(hub, str(self.file)).close()

    @contextmanager
    def hub(self) -> Iterator[syncline.Hub]:
        rules = {"customer": syncline.Table(merge={"n": "sum"}), "site": syncline.Table()}
        hub = syncline.Hub(f"sqlite:///{self.central}", {**rules, "visit": syncline.Table()})
        handle, before = hub.handle, [0]

        def listened(actor: Any, request: Any) -> Any:
            answer = handle(actor, request)
            before[0] += 1
            self.meanwhile(type(request).__name__, before[0] - 1)
            return answer

        hub.handle = listened  # type: ignore[method-assign]
        try:
            yield hub
        finally:
            hub.close()

    @contextmanager
    def device(self) -> Iterator[syncline.Replica]:
        with self.hub() as hub, syncline.connect(str(self.file), hub=hub) as replica:
            yield replica

    def lose_capture(self) -> None:
        """Another program drops a column, and the triggers with it: the log tells nothing any more of what
        was there before."""
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'customer'"
        names = sql(self.central, triggers)
        drops = [f"DROP TRIGGER {name}" for (name,) in names]
        sql(self.central, *drops, "ALTER TABLE customer DROP COLUMN x")
        with self.hub() as hub:
            hub.init()

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """What the centre has."""
        return {
            "customer": sql(self.central, "SELECT id, name, n FROM customer ORDER BY id"),
            "site": sql(self.central, "SELECT * FROM site ORDER BY customer"),
            "visit": sql(self.central, "SELECT * FROM visit ORDER BY id"),
        }


THEIRS: dict[str, list[tuple[object, ...]]] = {
    "customer": [(1, "of both", 0), (2, "of the centre", 100)],
    "site": [(1, "a", "of both"), (2, "a", "of the centre")],
    "visit": [("old", 1, "a", "of both")],
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    sql(made.central, *CENTRAL)
    sql(made.file, *NEW)
    return made


def kept(replica: syncline.Replica) -> list[tuple[str, object, str, str]]:
    return sorted((edit.table, edit.key[0], edit.op, edit.code) for edit in replica.rejected())


KEPT = [
    ("customer", 2, "I", "key_taken"),
    ("site", 2, "I", "parent_rejected"),
    ("visit", "v", "I", "parent_rejected"),
    ("visit", "w", "I", "parent_rejected"),
]


def comes_in(site: Site, replica: syncline.Replica) -> None:
    """The row and what belongs to it come in under a free number, and nothing of it at the other's."""
    replica.sync()
    assert kept(replica) == KEPT
    assert site.rows() == THEIRS
    replica.retry(next(edit.id for edit in replica.rejected() if edit.code == "key_taken"), new_key=True)
    replica.sync()
    assert site.rows()["customer"][:2] == THEIRS["customer"]
    assert site.rows()["customer"][2:] == [(3, "of the device, edited", 5)]
    assert {row[0]: row[1] for row in site.rows()["visit"]} == {"old": 1, "v": 3, "w": 3}
    assert {row[0]: row[2] for row in site.rows()["site"]}[3] == "of the device, edited"
    assert {edit.code for edit in replica.rejected()} <= {"column_dropped"}
    assert replica.verify().equal


@pytest.mark.parametrize("has_arrived", [True, False])
@pytest.mark.parametrize("is_altered", [True, False])
def test_l2_what_was_written_after_an_answer_was_lost_is_kept_with_its_row(
    site: Site, has_arrived: bool, is_altered: bool
) -> None:
    with site.hub() as hub:
        handle = hub.handle

        def lossy(actor: Any, request: Any) -> Any:
            is_push = type(request).__name__ == "Push"
            answer = handle(actor, request) if has_arrived or not is_push else None
            if is_push:
                raise TransportError("the answer is lost")
            return answer

        hub.handle = lossy  # type: ignore[method-assign]
        with syncline.connect(str(site.file), hub=hub) as replica, pytest.raises(TransportError):
            replica.push()
    sql(site.file, *EDITS)
    if is_altered:
        site.lose_capture()
    with site.device() as replica:
        assert (replica.sync().recovered is not None) == is_altered
        comes_in(site, replica)


@pytest.mark.parametrize("place", [0, 3, 4, 8, 10])
def test_l2_what_is_written_while_the_file_finds_its_place_is_kept_with_its_row(
    site: Site, place: int
) -> None:
    """The rows are shown until the file is filled again, also once they are known to be rejected."""
    site.lose_capture()

    def meanwhile(name: str, number: int) -> None:
        if number == place:
            sql(site.file, *EDITS)

    site.meanwhile = meanwhile
    with site.device() as replica:
        assert replica.sync().recovered is not None
        comes_in(site, replica)


def test_l2_a_row_that_is_shown_still_though_it_is_rejected_is_not_discarded_yet(site: Site) -> None:
    site.lose_capture()

    def cut(name: str, number: int) -> None:
        if number == 5:
            raise TransportError("the network fails")

    site.meanwhile = cut
    with site.device() as replica, pytest.raises(TransportError):
        replica.sync()
    site.meanwhile = lambda name, number: None
    sql(site.file, *EDITS)
    with site.device() as replica:
        taken = next(edit.id for edit in replica.rejected() if edit.code == "key_taken")
        with pytest.raises(UsageError, match="cannot be discarded yet"):
            replica.discard(taken)
        comes_in(site, replica)


def test_l2_a_row_that_was_written_anew_under_a_taken_key_is_kept_too(site: Site) -> None:
    """It was deleted and inserted again while the push was on its way, or its answer lost."""
    site.lose_capture()

    def meanwhile(name: str, number: int) -> None:
        if number == 4:
            sql(
                site.file,
                "DELETE FROM customer WHERE id = 2",
                "INSERT INTO customer VALUES (2, 'another', 5, NULL)",
            )

    site.meanwhile = meanwhile
    with site.device() as replica:
        replica.sync()
        replica.sync()
        assert [(e.op, e.code) for e in replica.rejected() if e.table == "customer"] == [
            ("I", "key_taken"),
        ]
        assert site.rows() == THEIRS
        replica.retry(replica.rejected()[0].id, new_key=True)
        replica.sync()
    assert [name for _, name, _ in site.rows()["customer"]] == ["of both", "of the centre", "another"]


def test_l2_a_row_that_was_deleted_under_a_taken_key_does_not_take_the_other_s_with_it(site: Site) -> None:
    site.lose_capture()

    def meanwhile(name: str, number: int) -> None:
        if number == 4:
            sql(site.file, "DELETE FROM visit WHERE id = 'v'", "DELETE FROM site WHERE customer = 2")
            sql(site.file, "DELETE FROM customer WHERE id = 2")

    site.meanwhile = meanwhile
    with site.device() as replica:
        replica.sync()
        replica.sync()
        assert site.rows() == THEIRS
        assert [(e.op, e.code) for e in replica.rejected() if e.table == "customer"] == [
            ("I", "key_taken"),
            ("D", "key_taken"),
        ]
        assert replica.verify().equal


def test_l2_what_followed_a_new_row_is_not_offered_to_the_other_s_of_a_centre_that_was_put_back(
    tmp_path: Path,
) -> None:
    """Each of the edits had a push of its own, and the centre has lost all of them."""
    site = Site(tmp_path)
    sql(site.central, f"VACUUM INTO '{tmp_path}/before.db'")
    for statements in ((NEW[0],), *LATER):
        sql(site.file, *statements)
        with site.device() as replica:
            replica.sync()
    for end in ("-wal", "-shm"):
        Path(f"{site.central}{end}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "before.db", site.central)
    sql(site.central, *CENTRAL)
    with site.device() as replica:
        assert replica.sync().recovered is not None
        replica.sync()
        assert kept(replica) == sorted([*KEPT[:3], ("visit", "old", "U", "parent_rejected")])
        assert site.rows() == THEIRS
        replica.retry(next(edit.id for edit in replica.rejected() if edit.op == "I"), new_key=True)
        for edit in replica.rejected():
            if edit.table != "customer":
                replica.retry(edit.id)
        replica.sync()
        assert site.rows()["visit"] == [("old", 3, "a", "of both"), ("v", 3, "a", "of the device, edited")]
        assert [row[2] for row in site.rows()["customer"]] == [0, 100, 5]
        assert replica.verify().equal
