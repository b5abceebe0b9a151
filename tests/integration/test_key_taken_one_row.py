"""What is written into a new row until the file hears that its key is another's is one edit with it: one row
comes in under a free number, as it was last (laws L2 and L3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import TransportError
from tests.support.application import sql

DDL = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES p, name TEXT, a TEXT,"
    " n INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, a TEXT)",
)
WRITES = {
    "update": ["UPDATE p SET a = 'second' WHERE id = 2"],
    "increment": ["UPDATE p SET n = n + 16 WHERE id = 2"],
    "replace": ["INSERT OR REPLACE INTO p VALUES (2, NULL, 'Ann', 'second', 1)"],
    "anew": ["DELETE FROM p WHERE id = 2", "INSERT INTO p VALUES (2, NULL, 'Ann', 'second', 1)"],
    "upsert": [
        "INSERT INTO p VALUES (2, NULL, 'Ann', 'second', 1) ON CONFLICT (id) DO UPDATE SET a = excluded.a"
    ],
}
OF_BOB = (2, None, "Bob", "", 4)
NOW = dict.fromkeys(WRITES, (3, None, "Ann", "second", 1)) | {"increment": (3, None, "Ann", "first", 17)}
ANN = "INSERT INTO p VALUES (2, NULL, 'Ann', 'first', 1)"
BOB = "INSERT INTO p VALUES (2, NULL, 'Bob', '', 4)"
CHILD = "INSERT INTO c VALUES (5, 2, 'of Ann')"


class Site:
    """A centre and one device, which are copied and put back at will."""

    def __init__(self, folder: Path) -> None:
        self.central, self.file, self.before = (str(folder / f"{name}.db") for name in ("central", "a", "b"))
        sql(self.central, *DDL)
        with self.hub() as hub:
            hub.init()
            syncline.clone(hub, self.file).close()

    @contextmanager
    def hub(self) -> Iterator[syncline.Hub]:
        rules = {"p": syncline.Table(merge={"n": "sum"}), "c": syncline.Table()}
        with syncline.Hub(f"sqlite:///{self.central}", rules) as hub:
            yield hub

    def sync(self) -> None:
        with self.hub() as hub, syncline.connect(self.file, hub) as replica:
            replica.sync()

    def push(self, after: Callable[[], None]) -> None:
        """A push; what is done `after` the hub has answered, before the file hears of it."""
        with self.hub() as hub:
            handle = hub.handle

            def once(actor: Any, request: Any) -> Any:
                answer = handle(actor, request)
                if type(request).__name__ == "Push":
                    hub.handle = handle  # type: ignore[method-assign]
                    after()
                return answer

            hub.handle = once  # type: ignore[method-assign]
            with syncline.connect(self.file, hub) as replica:
                try:
                    replica.push()
                except TransportError:
                    return

    def save(self) -> None:
        sql(self.central, f"VACUUM INTO '{self.before}'")

    def put_back(self) -> None:
        for end in ("-wal", "-shm"):
            Path(f"{self.central}{end}").unlink(missing_ok=True)
        shutil.copy(self.before, self.central)

    def bring_in(self) -> list[tuple[str, object, str]]:
        """Retry what has a taken key, each under a new one; returns what was rejected before."""
        self.sync()
        with self.hub() as hub, syncline.connect(self.file, hub) as replica:
            kept = [(edit.table, edit.key[0], edit.op) for edit in replica.rejected()]
            for edit in [edit for edit in replica.rejected() if edit.code == "key_taken"]:
                replica.retry(edit.id, new_key=True)
            replica.sync()
            assert replica.rejected() == []
            assert replica.verify().equal
        return kept

    def rows(self, table: str = "p") -> list[tuple[object, ...]]:
        return sql(self.central, f"SELECT * FROM {table} ORDER BY id")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("how", WRITES)
def test_l2_what_is_written_while_the_push_is_on_its_way_comes_in_with_its_row(
    site: Site, how: str, is_lost: bool
) -> None:
    sql(site.file, ANN)
    sql(site.central, BOB)

    def write() -> None:
        if is_lost:
            raise TransportError("the answer is lost")
        sql(site.file, *WRITES[how], CHILD)

    site.push(write)
    if is_lost:
        sql(site.file, *WRITES[how], CHILD)
    assert site.bring_in() == [("p", 2, "I"), ("c", 5, "I")]
    assert site.rows() == [OF_BOB, NOW[how]]
    assert site.rows("c") == [(5, 3, "of Ann")]


@pytest.mark.parametrize("how", WRITES)
def test_l3_a_row_that_two_lost_pushes_wrote_comes_in_once(site: Site, how: str) -> None:
    site.save()
    for statements in ([ANN], WRITES[how], [CHILD]):
        sql(site.file, *statements)
        site.sync()
    site.put_back()
    sql(site.central, BOB)
    assert site.bring_in() == [("p", 2, "I"), ("c", 5, "I")]
    assert site.rows() == [OF_BOB, NOW[how]]
    assert site.rows("c") == [(5, 3, "of Ann")]


def test_l3_a_row_that_was_deleted_and_made_again_by_pushes_of_their_own_comes_in_once(site: Site) -> None:
    site.save()
    for statement in (ANN, *WRITES["anew"]):
        sql(site.file, statement)
        site.sync()
    site.put_back()
    sql(site.central, BOB)
    assert site.bring_in() == [("p", 2, "I")]
    assert site.rows() == [OF_BOB, NOW["anew"]]


def test_l2_a_row_that_others_had_deleted_before_its_number_was_given_again_comes_in_too(site: Site) -> None:
    """The centre has lost the delete: there are two rows, and nothing of the first is lost."""
    site.save()
    sql(site.file, ANN)
    site.sync()
    sql(site.central, "DELETE FROM p WHERE id = 2")
    site.sync()
    sql(site.file, "INSERT INTO p VALUES (2, NULL, 'Carl', 'other', 7)")
    site.sync()
    site.put_back()
    sql(site.central, BOB)
    assert site.bring_in() == [("p", 2, "I"), ("p", 2, "I")]
    assert [row[2:] for row in site.rows()] == [OF_BOB[2:], ("Ann", "first", 1), ("Carl", "other", 7)]


def test_l2_what_is_written_into_a_row_below_goes_with_it_under_a_new_number(site: Site) -> None:
    """The row below was rejected for its parent alone; its own number is given away before it comes in."""
    sql(site.file, ANN, "INSERT INTO p VALUES (3, 2, 'Kid', 'first', 1)")
    sql(site.central, BOB)
    site.push(lambda: sql(site.file, "UPDATE p SET a = 'second', n = n + 16 WHERE id = 3"))
    site.sync()
    sql(site.central, "INSERT INTO p VALUES (3, NULL, 'Dan', '', 0)")
    assert site.bring_in() == [("p", 2, "I"), ("p", 3, "I")]
    assert site.rows()[2:] == [(4, None, "Ann", "first", 1), (5, 4, "Kid", "second", 17)]


def test_l2_a_later_row_under_the_same_number_is_a_row_of_its_own(site: Site) -> None:
    sql(site.file, ANN)
    sql(site.central, BOB)
    site.sync()
    sql(site.central, "DELETE FROM p WHERE id = 2")
    site.sync()
    sql(site.file, "INSERT INTO p VALUES (2, NULL, 'Carl', 'other', 7)")
    sql(site.central, BOB)
    site.push(lambda: sql(site.file, "UPDATE p SET a = 'edited' WHERE id = 2"))
    assert site.bring_in() == [("p", 2, "I"), ("p", 2, "I")]
    assert [row[2:] for row in site.rows()] == [OF_BOB[2:], ("Ann", "first", 1), ("Carl", "edited", 7)]


STAYING = {
    "update": ["UPDATE p SET a = 'second' WHERE id = 3"],
    "increment": ["UPDATE p SET n = n + 16 WHERE id = 3"],
    "several": ["UPDATE p SET n = n + 20 WHERE id = 3", "UPDATE p SET a = 'second', n = n - 4 WHERE id = 3"],
    "replace": ["INSERT OR REPLACE INTO p VALUES (3, 2, 'Kid', 'second', 17)"],
    "elsewhere": ["UPDATE p SET boss = 1 WHERE id = 3"],
    "nothing": [],
}
OF_KID = {
    "update": (3, 4, "Kid", "second", 1),
    "increment": (3, 4, "Kid", "first", 17),
    "several": (3, 4, "Kid", "second", 17),
    "replace": (3, 4, "Kid", "second", 17),
    "elsewhere": (3, 1, "Kid", "first", 1),
    "nothing": (3, 4, "Kid", "first", 1),
}


def keep_kid(site: Site) -> None:
    """Kid, who is rejected with Ann, stays in the file: a table of the application's refers to him."""
    sql(site.central, "INSERT INTO p VALUES (1, NULL, 'Eve', '', 0)")
    site.sync()
    sql(site.file, ANN, "INSERT INTO p VALUES (3, 2, 'Kid', 'first', 1)")
    sql(site.file, "CREATE TABLE own (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)")
    sql(site.file, "INSERT INTO own VALUES (1, 3)")
    sql(site.central, BOB)
    site.sync()
    assert sql(site.file, "SELECT * FROM p WHERE id = 3") == [(3, 2, "Kid", "first", 1)]


@pytest.mark.parametrize("how", STAYING)
def test_l2_what_is_written_into_a_rejected_row_that_stays_is_kept_with_it(site: Site, how: str) -> None:
    keep_kid(site)
    for statement in STAYING[how]:
        sql(site.file, statement)
        site.sync()
    assert [row[2] for row in site.rows()] == ["Eve", "Bob"]
    with site.hub() as hub, syncline.connect(site.file, hub) as replica:
        assert list(replica.log()) == []
        ann, kid = replica.rejected()
        replica.retry(ann.id, new_key=True)
        if how == "elsewhere":
            replica.retry(kid.id)
        replica.sync()
        assert replica.rejected() == []
        assert replica.verify().equal
    assert site.rows()[1:] == [OF_BOB, OF_KID[how], (4, None, "Ann", "first", 1)]
    assert sql(site.file, "SELECT * FROM own") == [(1, 3)]


def test_l2_a_row_of_others_that_stays_in_a_rejected_one_s_place_is_not_taken_for_it(site: Site) -> None:
    """Their row was deleted in the centre; what is written into it is an edit of that."""
    keep_kid(site)
    sql(site.central, "INSERT INTO p VALUES (3, NULL, 'Dan', '', 0)")
    site.sync()
    sql(site.central, "DELETE FROM p WHERE id = 3")
    site.sync()
    assert sql(site.file, "SELECT name FROM p WHERE id = 3") == [("Dan",)]
    sql(site.file, "UPDATE p SET a = 'of Dan' WHERE id = 3")
    site.sync()
    with site.hub() as hub, syncline.connect(site.file, hub) as replica:
        assert [(edit.values["name"], edit.values["a"]) for edit in replica.rejected()] == [
            ("Ann", "first"),
            ("Kid", "first"),
        ]
