"""What refers to two rows whose keys were taken follows when both have new ones, never before (L2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from tests.integration.test_key_taken import two_devices
from tests.support.application import sql

PARENTS = (
    "CREATE TABLE tag (id INTEGER PRIMARY KEY, w VARCHAR(9))",
    "CREATE TABLE line (id INTEGER PRIMARY KEY, w VARCHAR(9))",
)
BOTH = "tag INTEGER REFERENCES tag (id), line INTEGER REFERENCES line (id)"
LINKS = {
    "counted": f"CREATE TABLE link (id INTEGER PRIMARY KEY, w VARCHAR(9), {BOTH})",
    "text": f"CREATE TABLE link (id VARCHAR(9) NOT NULL PRIMARY KEY, {BOTH})",
    "pair": "CREATE TABLE link (tag INTEGER NOT NULL REFERENCES tag (id),"
    " line INTEGER NOT NULL REFERENCES line (id), PRIMARY KEY (tag, line))",
}
OF_LINKS = {
    "counted": "CREATE TABLE note (id VARCHAR(9) NOT NULL PRIMARY KEY, link INTEGER REFERENCES link (id))",
    "text": "CREATE TABLE note (id VARCHAR(9) NOT NULL PRIMARY KEY, link VARCHAR(9) REFERENCES link (id))",
    "pair": "CREATE TABLE note (id VARCHAR(9) NOT NULL PRIMARY KEY, tag INTEGER, line INTEGER,"
    " FOREIGN KEY (tag, line) REFERENCES link (tag, line))",
}
JOINED = "SELECT tag.w, line.w FROM link JOIN tag ON tag.id = tag JOIN line ON line.id = line ORDER BY 1"
Made = Callable[..., tuple[syncline.Replica, ...]]


@pytest.fixture(params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Two devices of a centre with these tables."""
    with_ = []

    def make(*tables: str) -> tuple[syncline.Replica, ...]:
        with_.append(two_devices(request, tmp_path, tables))
        return with_[-1].__enter__()

    yield make
    for one in with_:
        one.__exit__(None, None, None)


def edit_of(replica: syncline.Replica, table: str, *key: object) -> syncline.RejectedEdit:
    return next(e for e in replica.rejected() if e.table == table and e.key in (key, e.key if not key else 0))


def put_link(replica: syncline.Replica, who: str, link: str) -> None:
    link_key = {"counted": f"1, '{who}', ", "text": f"'{who}', ", "pair": ""}[link]
    note_key = {"counted": "1", "text": f"'{who}'", "pair": "1, 1"}[link]
    sql(
        replica.file,
        f"INSERT INTO tag VALUES (1, '{who}')",
        f"INSERT INTO line VALUES (1, '{who}')",
        f"INSERT INTO link VALUES ({link_key}1, 1)",
        f"INSERT INTO note VALUES ('{who}', {note_key})",
    )


def two_links(made: Made, link: str) -> tuple[syncline.Replica, ...]:
    """Two devices, each with a link of two rows of its own; both rows of the second are taken."""
    a, b = made(*PARENTS, LINKS[link], OF_LINKS[link])
    put_link(a, "Anna", link)
    put_link(b, "Bo", link)
    a.sync()
    b.sync()
    return a, b


@pytest.mark.parametrize("is_synced", [True, False])
@pytest.mark.parametrize("order", [("tag", "line"), ("line", "tag")])
@pytest.mark.parametrize("link", LINKS)
def test_a_link_of_two_taken_rows_follows_when_both_are_in(
    made: Made, link: str, order: tuple[str, str], is_synced: bool
) -> None:
    a, b = two_links(made, link)
    first, second = order
    (one,) = b.retry(edit_of(b, first).id, new_key=True)
    assert (one.table, one.new_key) == (first, (2,))
    if is_synced:
        b.sync()
    waits = edit_of(b, "link")
    named = dict(zip(("tag", "line"), waits.key, strict=True)) if link == "pair" else waits.values
    assert (named[first], named[second]) == (2, 1)
    assert waits.parent in (None, (second, (1,)))
    assert edit_of(b, "note").parent in (None, ("link", waits.key))
    with pytest.raises(UsageError):
        b.retry(waits.id)
    back = b.retry(edit_of(b, second).id, new_key=True)
    assert [one.table for one in back] == [second, "link", "note"]
    b.sync()
    a.sync()
    for replica in (a, b):
        assert sql(replica.file, JOINED) == [("Anna", "Anna"), ("Bo", "Bo")]
        assert len(sql(replica.file, "SELECT 1 FROM note")) == 2
    assert (b.rejected(), b.conflicts(), b.verify().equal) == ([], [], True)


def test_what_refers_to_a_counted_link_that_looks_like_another_s_waits_with_it(made: Made) -> None:
    """Both links are (1, 1, 1), of other rows: that they are equal says nothing."""
    counted = f"CREATE TABLE link (id INTEGER PRIMARY KEY, {BOTH})"
    a, b = made(*PARENTS, counted, OF_LINKS["counted"])
    for replica, who in ((a, "Anna"), (b, "Bo")):
        sql(
            replica.file,
            f"INSERT INTO tag VALUES (1, '{who}')",
            f"INSERT INTO line VALUES (1, '{who}')",
            "INSERT INTO link VALUES (1, 1, 1)",
            f"INSERT INTO note VALUES ('{who}', 1)",
        )
        replica.sync()
    assert edit_of(b, "note").parent == ("link", (1,))
    b.retry(edit_of(b, "tag").id, new_key=True)
    back = b.retry(edit_of(b, "line").id, new_key=True)
    assert [(one.table, one.new_key) for one in back] == [("line", (2,)), ("link", (2,)), ("note", None)]
    b.sync()
    of_notes = (
        "SELECT note.id, tag.w FROM note JOIN link ON link.id = link JOIN tag ON tag.id = tag ORDER BY 1"
    )
    assert sql(b.file, of_notes) == [("Anna", "Anna"), ("Bo", "Bo")]
    assert (b.rejected(), b.verify().equal) == ([], True)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
@pytest.mark.parametrize("key", ["INTEGER", "VARCHAR(9) NOT NULL"])
def test_two_keys_into_one_table_both_get_their_new_numbers(
    made: Made, key: str, order: tuple[int, int]
) -> None:
    friend = (
        f"CREATE TABLE friend (id {key} PRIMARY KEY, a INTEGER REFERENCES p (id), b INTEGER REFERENCES p)"
    )
    a, b = made("CREATE TABLE p (id INTEGER PRIMARY KEY, w VARCHAR(9))", friend.replace("p)", "p (id))", 1))
    for replica, who in ((a, "Anna"), (b, "Bo")):
        own = "1" if key == "INTEGER" else f"'{who}'"
        sql(
            replica.file,
            f"INSERT INTO p VALUES (1, '{who}'), (2, '{who} 2')",
            f"INSERT INTO friend VALUES ({own}, 1, 2)",
        )
        replica.sync()
    for number in order:
        b.retry(edit_of(b, "p", number).id, new_key=True)
        b.sync()
    joined = "SELECT x.w, y.w FROM friend JOIN p x ON x.id = a JOIN p y ON y.id = b ORDER BY 1"
    assert sql(b.file, joined) == [("Anna", "Anna 2"), ("Bo", "Bo 2")]
    assert (b.rejected(), b.verify().equal) == ([], True)


NODE = (
    "CREATE TABLE node (id INTEGER PRIMARY KEY, x INTEGER REFERENCES node, y INTEGER REFERENCES node, w TEXT)"
)
NODES = "SELECT n.w, x.w, y.w FROM node n LEFT JOIN node x ON x.id = n.x LEFT JOIN node y ON y.id = n.y"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_row_that_refers_to_two_of_its_own_table_waits_for_both(made: Made, order: tuple[int, int]) -> None:
    a, b = made(NODE.replace("node,", "node (id),"))
    for replica, who in ((a, "A"), (b, "B")):
        sql(
            replica.file,
            f"INSERT INTO node VALUES (1, NULL, NULL, '{who}1'), (2, NULL, NULL, '{who}2')",
            f"INSERT INTO node VALUES (3, 1, 2, '{who}3'), (4, 3, 4, '{who}4')",
        )
        replica.sync()
    b.retry(edit_of(b, "node", order[0]).id, new_key=True)
    assert sorted(edit.key[0] for edit in b.rejected()) == sorted({2, 3, 4, 1} - {order[0]})
    b.retry(edit_of(b, "node", order[1]).id, new_key=True)
    b.sync()
    assert sql(b.file, f"{NODES} WHERE n.w >= 'B' ORDER BY 1") == [
        ("B1", None, None),
        ("B2", None, None),
        ("B3", "B1", "B2"),
        ("B4", "B3", "B4"),
    ]
    assert (b.rejected(), b.verify().equal) == ([], True)


def test_a_row_that_refers_to_itself_gets_a_new_number_in_both_places(made: Made) -> None:
    a, b = made(NODE.replace("node,", "node (id),"))
    for replica, who in ((a, "A"), (b, "B")):
        sql(replica.file, f"INSERT INTO node VALUES (1, 1, NULL, '{who}'), (2, 1, 2, '{who}2')")
        replica.sync()
    b.retry(edit_of(b, "node", 1).id, new_key=True)
    b.sync()
    found = sql(b.file, f"{NODES} WHERE n.w >= 'B' ORDER BY 1")
    assert found == [("B", "B", None), ("B2", "B", "B2")]
    assert (b.rejected(), b.verify().equal) == ([], True)


def test_two_taken_rows_that_refer_to_each_other_go_together(made: Made) -> None:
    a, b = made(NODE.replace("node,", "node (id),"))
    for replica, who in ((a, "A"), (b, "B")):
        sql(
            replica.file,
            f"INSERT INTO node VALUES (1, NULL, NULL, '{who}'), (2, 1, NULL, '{who}2')",
            "UPDATE node SET x = 2 WHERE id = 1",
        )
        replica.sync()
    b.retry(edit_of(b, "node", 1).id, new_key=True)
    b.sync()
    assert sql(b.file, f"{NODES} WHERE n.w >= 'B' ORDER BY 1") == [("B", "B2", None), ("B2", "B", None)]
    assert (b.rejected(), b.verify().equal) == ([], True)


def test_rows_that_refer_to_each_other_follow_together(made: Made) -> None:
    ring = "CREATE TABLE ring (id VARCHAR(9) NOT NULL PRIMARY KEY, tag INTEGER REFERENCES tag (id),"
    a, b = made(*PARENTS, f"{ring} next VARCHAR(9) REFERENCES ring (id))")
    for replica, who in ((a, "Anna"), (b, "Bo")):
        sql(
            replica.file,
            f"INSERT INTO tag VALUES (1, '{who}')",
            f"INSERT INTO ring VALUES ('{who} x', 1, NULL), ('{who} y', NULL, '{who} x')",
            f"UPDATE ring SET next = '{who} y' WHERE id = '{who} x'",
        )
        replica.sync()
    assert {edit.table for edit in b.rejected()} == {"tag", "ring"}
    b.retry(edit_of(b, "tag").id, new_key=True)
    b.sync()
    assert sql(b.file, "SELECT * FROM ring WHERE id > 'B' ORDER BY 1") == [
        ("Bo x", 2, "Bo y"),
        ("Bo y", None, "Bo x"),
    ]
    assert (b.rejected(), b.verify().equal) == ([], True)


@pytest.mark.parametrize("second", ["line", "discard"])
@pytest.mark.parametrize("link", ["counted", "text"])
def test_what_waits_for_another_is_not_given_to_whose_the_new_number_is_by_then(
    made: Made, link: str, second: str
) -> None:
    """The new number of the first row is taken, too, before it is sent."""
    a, b = two_links(made, link)
    b.retry(edit_of(b, "tag").id, new_key=True)
    sql(a.file, "INSERT INTO tag VALUES (2, 'Cleo')")
    a.sync()
    b.sync()
    assert edit_of(b, "tag").key == (2,)
    if second == "discard":
        b.discard(edit_of(b, "tag").id)
        b.retry(edit_of(b, "line").id, new_key=True)
        b.sync()
        assert sql(b.file, JOINED) == [("Anna", "Anna")]
        assert [edit.table for edit in b.rejected()] == ["link", "note"]
        return
    b.retry(edit_of(b, "line").id, new_key=True)
    assert {edit.table for edit in b.rejected()} == {"tag", "link", "note"}
    b.retry(edit_of(b, "tag").id, new_key=True)
    b.sync()
    assert sql(b.file, JOINED) == [("Anna", "Anna"), ("Bo", "Bo")]
    assert (b.rejected(), b.verify().equal) == ([], True)


def test_a_link_does_not_follow_one_row_to_another_s_when_the_other_was_discarded(made: Made) -> None:
    _, b = two_links(made, "text")
    b.discard(edit_of(b, "line").id)
    b.retry(edit_of(b, "tag").id, new_key=True)
    b.sync()
    assert sql(b.file, JOINED) == [("Anna", "Anna")]
    assert [edit.table for edit in b.rejected()] == ["link", "note"]


@pytest.mark.parametrize("order", [("tag", "line"), ("line", "tag")])
@pytest.mark.parametrize("shape", ["", "PRIMARY KEY (tag)"])
def test_a_local_row_that_refers_to_two_taken_rows_follows_both(
    made: Made, order: tuple[str, str], shape: str
) -> None:
    a, b = made(*PARENTS)
    local = f"CREATE TABLE fav ({BOTH}, why TEXT{', ' * bool(shape)}{shape})"
    for replica, who in ((a, "Anna"), (b, "Bo")):
        statements = [f"INSERT INTO {table} VALUES (1, '{who}')" for table in ("tag", "line")]
        sql(replica.file, *statements)
    sql(b.file, local, "INSERT INTO fav VALUES (1, 1, 'Bo')")
    a.sync()
    b.sync()
    for table in order:
        (done,) = b.retry(edit_of(b, table).id, new_key=True)
        assert (len(done.local), done.left) == (1, ())
        b.sync()
    assert sql(b.file, JOINED.replace("link", "fav")) == [("Bo", "Bo")]


def test_a_local_row_that_was_written_between_two_retries_stays(made: Made) -> None:
    a, b = made(*PARENTS)
    for replica, who in ((a, "Anna"), (b, "Bo")):
        sql(replica.file, *(f"INSERT INTO {table} VALUES (1, '{who}')" for table in ("tag", "line")))
    sql(b.file, f"CREATE TABLE fav ({BOTH}, why TEXT)", "INSERT INTO fav VALUES (1, 1, 'Bo')")
    a.sync()
    b.sync()
    b.retry(edit_of(b, "tag").id, new_key=True)
    sql(b.file, "UPDATE fav SET why = 'changed'")
    (done,) = b.retry(edit_of(b, "line").id, new_key=True)
    assert (done.local, len(done.left)) == ((), 1)
    assert sql(b.file, "SELECT * FROM fav") == [(2, 1, "changed")]
