"""An insert that meets another insert of the same key: two things, or one row (L2)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import syncline
from syncline import RetriedEdit
from syncline.cli import run
from syncline.errors import UsageError
from syncline.protocol.messages import Limits
from syncline.replica.store import log_name
from tests.support.application import sql
from tests.support.postgres import PostgresCentre

PEOPLE = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), what TEXT)",
    "CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, colour TEXT)",
    "INSERT INTO p (name) VALUES ('x')",
)
World = Callable[..., tuple[syncline.Hub, syncline.Replica, syncline.Replica]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A hub and two devices that were cloned from it."""
    opened: list[syncline.Hub | syncline.Replica] = []

    def made(
        tables: dict[str, syncline.Table] | None = None, *ddl: str
    ) -> tuple[syncline.Hub, syncline.Replica, syncline.Replica]:
        sql(tmp_path / "central.db", *(ddl or PEOPLE))
        hub = syncline.Hub(f"sqlite:///{tmp_path}/central.db", tables)
        hub.init()
        a, b = (syncline.clone(hub, str(tmp_path / name)) for name in ("a.db", "b.db"))
        opened.extend([a, b, hub])
        return hub, a, b

    yield made
    for one in opened:
        one.close()


def codes(replica: syncline.Replica) -> list[tuple[str, object, str]]:
    return [(edit.table, edit.key[0], edit.code) for edit in replica.rejected()]


def test_the_later_of_two_new_rows_is_rejected_with_its_child_and_brought_in_under_a_free_number(
    world: World, tmp_path: Path
) -> None:
    _, a, b = world()
    sql(tmp_path / "central.db", "INSERT INTO p (name) VALUES ('Bert')")
    sql(a.file, "INSERT INTO p (name) VALUES ('Anna')", "INSERT INTO visit (p, what) VALUES (2, 'of Anna')")
    a.sync()
    assert codes(a) == [("p", 2, "key_taken"), ("visit", 1, "parent_rejected")]
    assert a.rejected()[1].parent == ("p", (2,))
    assert sql(a.file, "SELECT * FROM p") == [(1, "x"), (2, "Bert")]
    assert sql(a.file, "SELECT * FROM visit") == []
    first, second = a.rejected()
    assert a.retry(first.id, new_key=True) == (
        RetriedEdit(first.id, "p", (2,), "I", (3,)),
        RetriedEdit(second.id, "visit", (1,), "I"),
    )
    a.sync()
    b.sync()
    for file in (a.file, b.file, tmp_path / "central.db"):
        assert sql(file, "SELECT * FROM p") == [(1, "x"), (2, "Bert"), (3, "Anna")]
        assert sql(file, "SELECT * FROM visit") == [(1, 3, "of Anna")]
    assert codes(a) == []


def test_a_child_whose_own_key_is_taken_too_follows_under_a_new_one(world: World, tmp_path: Path) -> None:
    _, a, b = world()
    for replica, name in ((a, "Anna"), (b, "Bert")):
        sql(
            replica.file,
            f"INSERT INTO p (name) VALUES ('{name}')",
            f"INSERT INTO visit (p, what) VALUES (2, '{name}')",
        )
    b.sync()
    a.sync()
    assert codes(a) == [("p", 2, "key_taken"), ("visit", 1, "key_taken")]
    a.retry(a.rejected()[0].id, new_key=True)
    a.sync()
    assert sql(tmp_path / "central.db", "SELECT * FROM visit") == [(1, 2, "Bert"), (2, 3, "Anna")]
    assert a.verify().equal


def test_l12_a_retry_with_a_new_key_says_which_and_what_went_along(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    _, a, b = world()
    for replica, name in ((b, "Bert"), (a, "Anna"), (a, "Ada")):
        sql(replica.file, f"INSERT INTO p (name) VALUES ('{name}')")
        sql(replica.file, f"INSERT INTO visit (p, what) SELECT max(id), '{name}' FROM p")
    sql(b.file, "INSERT INTO p (name) VALUES ('Boris')")
    b.sync()
    a.sync()
    numbers = {(edit.table, *edit.key): edit.id for edit in a.rejected()}
    file = str(a.file)
    a.close()
    assert run(["rejected", file, "retry", str(numbers["p", 2]), "--new-key"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"insert of p 2: in the table again as p 4; `syncline sync {file}` sends them",
        "insert of visit 1: in the table again as visit 3",
    ]
    assert run(["rejected", file, "retry", str(numbers["p", 3]), "--new-key", "--json"]) == 0
    none: dict[str, list[object]] = {"local": [], "left": []}
    assert json.loads(capsys.readouterr().out)["retried"] == [
        {"id": numbers["p", 3], "table": "p", "key": [3], "op": "I", "new_key": [5], **none},
        {"id": numbers["visit", 2], "table": "visit", "key": [2], "op": "I", "new_key": None, **none},
    ]


LEVELS = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE visit (id TEXT PRIMARY KEY NOT NULL, p INTEGER REFERENCES p (id))",
    "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, visit TEXT REFERENCES visit (id))",
    "CREATE TABLE page (id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES note (id),"
    " other INTEGER REFERENCES p (id))",
    "INSERT INTO p VALUES (1, 'x')",
)


def test_l12_a_retry_with_a_new_key_takes_all_levels_along_and_says_so(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page that refers to another rejected row, too, waits for that one."""
    _, a, b = world(None, *LEVELS)
    sql(b.file, "INSERT INTO p VALUES (2, 'Bert'), (3, 'Bea')")
    sql(
        a.file,
        "INSERT INTO p VALUES (2, 'Anna'), (3, 'Ada')",
        "INSERT INTO visit VALUES ('v', 2), ('w', 3)",
        "INSERT INTO note VALUES ('n', 'v'), ('o', 'w')",
        "INSERT INTO page VALUES ('one', 'n', NULL), ('two', 'n', 1), ('three', 'n', 3)",
    )
    b.sync()
    a.sync()
    ids = {(edit.table, edit.key[0]): edit.id for edit in a.rejected()}
    assert len(ids) == 9
    file = str(a.file)
    a.close()
    assert run(["rejected", file, "retry", str(ids["p", 2]), "--new-key", "--json"]) == 0
    back = [(one["table"], *one["key"]) for one in json.loads(capsys.readouterr().out)["retried"]]
    assert back[:3] == [("p", 2), ("visit", "v"), ("note", "n")]
    assert sorted(back[3:]) == [("page", "one"), ("page", "two")]
    with syncline.connect(a.file, hub=_hub_of(tmp_path)) as again:
        again.sync()
        left = sorted((edit.table, edit.key[0]) for edit in again.rejected())
        assert left == [("note", "o"), ("p", 3), ("page", "three"), ("visit", "w")]
        again.retry(ids["p", 3], new_key=True)
        again.sync()
        assert again.rejected() == [] and again.verify().equal
    assert sql(tmp_path / "central.db", "SELECT * FROM page ORDER BY id") == [
        ("one", "n", None),
        ("three", "n", 5),
        ("two", "n", 1),
    ]
    assert sql(tmp_path / "central.db", "SELECT * FROM visit ORDER BY id") == [("v", 4), ("w", 5)]


def _hub_of(folder: Path) -> syncline.Hub:
    return syncline.Hub(f"sqlite:///{folder}/central.db")


def test_a_row_that_is_equal_in_every_column_is_the_same_row(world: World) -> None:
    _, a, b = world()
    for replica in (a, b):
        sql(replica.file, "INSERT INTO p (name) VALUES ('Anna')")
        assert replica.sync().push.rejected == ()


def test_what_was_done_to_the_row_before_it_was_rejected_never_touches_the_other(
    world: World, tmp_path: Path
) -> None:
    _, a, _ = world()
    sql(tmp_path / "central.db", "INSERT INTO p (name) VALUES ('Bert')")
    sql(a.file, "INSERT INTO p (name) VALUES ('Anna')")
    assert a.push().rejected[0].code == "key_taken"
    sql(a.file, "UPDATE p SET name = 'Anna Maria' WHERE id = 2")
    a.sync()
    assert [code for _, _, code in codes(a)] == ["key_taken", "key_taken"]
    assert sql(tmp_path / "central.db", "SELECT name FROM p WHERE id = 2") == [("Bert",)]


def test_text_keys_name_one_row_and_a_table_may_say_otherwise(world: World, tmp_path: Path) -> None:
    rules = {"p": syncline.Table(inserts="same_row"), "visit": syncline.Table(), "tag": syncline.Table()}
    _, a, b = world(rules)
    for replica, word in ((b, "red"), (a, "blue")):
        sql(
            replica.file,
            f"INSERT INTO tag VALUES ('new', '{word}')",
            f"INSERT INTO p (name) VALUES ('{word}')",
        )
    b.sync()
    assert (a.sync().push.conflicts, codes(a)) == (2, [])


def test_a_key_that_says_which_row_is_meant_is_the_same_row(world: World) -> None:
    _, a, b = world(
        None,
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE profile (p INTEGER PRIMARY KEY REFERENCES p (id), word TEXT)",
        "INSERT INTO p VALUES (1)",
    )
    for replica, word in ((b, "red"), (a, "blue")):
        sql(replica.file, f"INSERT INTO profile VALUES (1, '{word}')")
        assert replica.sync().push.rejected == ()


def test_only_an_insert_with_an_integer_key_gets_a_new_one(world: World) -> None:
    rules = {name: syncline.Table(inserts="key_taken") for name in ("p", "visit", "tag")}
    _, a, b = world(rules)
    for replica, word in ((b, "red"), (a, "blue")):
        sql(replica.file, f"INSERT INTO tag VALUES ('new', '{word}')")
        replica.sync()
    (edit,) = a.rejected()
    assert edit.code == "key_taken"
    with pytest.raises(UsageError) as refused:
        a.retry(edit.id, new_key=True)
    assert refused.value.code == "no_new_key"
    assert a.rejected() == [edit]


def test_what_was_made_meanwhile_and_points_at_the_row_waits_with_it(world: World, tmp_path: Path) -> None:
    _, a, _ = world()
    sql(tmp_path / "central.db", "INSERT INTO p (name) VALUES ('Bert')")
    sql(a.file, "INSERT INTO p (name) VALUES ('Anna')")

    later = ["INSERT INTO visit (p, what) VALUES (2, 'of Anna')"]

    def meanwhile(stage: str, done: int, total: int | None) -> None:
        while stage == "push" and later:
            sql(a.file, later.pop())

    a.push(progress=meanwhile)
    assert codes(a) == [("p", 2, "key_taken"), ("visit", 1, "parent_rejected")]
    a.sync()
    assert sql(tmp_path / "central.db", "SELECT * FROM visit") == []
    a.retry(a.rejected()[0].id, new_key=True)
    a.sync()
    assert sql(tmp_path / "central.db", "SELECT * FROM visit") == [(1, 3, "of Anna")]
    assert a.verify().equal


@pytest.mark.parametrize("taken", [1, 40])
def test_what_was_made_meanwhile_is_read_once_however_many_keys_are_taken(
    world: World, tmp_path: Path, taken: int
) -> None:
    _, a, _ = world()
    sql(tmp_path / "central.db", *["INSERT INTO p (name) VALUES ('Bert')"] * taken)
    sql(a.file, *["INSERT INTO p (name) VALUES ('Anna')"] * taken)
    later = [
        "INSERT INTO visit (p, what) VALUES (1, 'of x')",
        "INSERT INTO visit (p, what) VALUES (2, 'of Anna')",
    ]
    asked: list[str] = []

    def meanwhile(stage: str, done: int, total: int | None) -> None:
        if stage == "push" and later:
            sql(a.file, *later, "INSERT INTO visit (p, what) VALUES (2, CAST(x'ff' AS TEXT))")
            later.clear()
            a._store._connection.set_trace_callback(asked.append)

    a.push(progress=meanwhile)
    a._store._connection.set_trace_callback(None)
    log = log_name(a._store.numbers()["visit"])
    assert 0 < len([sql for sql in asked if sql.startswith("SELECT") and log in sql]) <= 6
    assert codes(a)[taken:] == [("visit", 2, "parent_rejected"), ("visit", 3, "parent_rejected")]
    assert [edit.values["what"] for edit in a.rejected()[taken:]] == ["of Anna", b"\xff"]
    assert sql(a.file, "SELECT what FROM visit") == [("of x",)]


@pytest.mark.parametrize("is_put_back", [False, True])
def test_a_file_that_hears_of_it_later_keeps_the_child_with_its_row(
    world: World, tmp_path: Path, is_put_back: bool
) -> None:
    """A copy of the file, or the file put back, has no verdict: it asks what became of its edits. What was
    made in it since and points at the row waits with it, too."""
    hub, a, b = world(
        None, *PEOPLE, "CREATE TABLE part (id TEXT PRIMARY KEY, visit INTEGER REFERENCES visit)"
    )
    sql(b.file, "INSERT INTO p (name) VALUES ('Bert')")
    sql(a.file, "INSERT INTO p (name) VALUES ('Anna')", "INSERT INTO visit (p, what) VALUES (2, 'of Anna')")
    twin = tmp_path / "twin.db"
    sql(a.file, f"VACUUM INTO '{twin}'")
    b.sync()
    a.sync()
    sql(a.file, "INSERT INTO p (name) VALUES ('Abel')")
    a.sync()
    if is_put_back:
        a.close()
        shutil.copy(twin, a.file)
        twin = Path(a.file)
    sql(
        twin,
        "INSERT INTO visit (p, what) VALUES (2, 'later of Anna')",
        "UPDATE visit SET what = 'more of Anna' WHERE id = 1",
        "INSERT INTO part VALUES ('of later', 2)",
        "INSERT INTO visit (p, what) VALUES (1, 'of x')",
    )
    with syncline.connect(twin, hub) as replica:
        replica.sync()
        assert sql(tmp_path / "central.db", "SELECT * FROM visit") == [(3, 1, "of x")]
        kept = [(edit.table, edit.key[0], edit.code, edit.parent) for edit in replica.rejected()]
        assert kept == [
            ("p", 2, "key_taken", None),
            ("visit", 1, "parent_rejected", ("p", (2,))),
            ("visit", 2, "parent_rejected", ("p", (2,))),
            ("part", "of later", "parent_rejected", ("visit", (2,))),
        ]
        with pytest.raises(UsageError):
            replica.retry(replica.rejected()[1].id)
        replica.retry(replica.rejected()[0].id, new_key=True)
        replica.sync()
        assert codes(replica) == []
        assert replica.verify().equal
    assert sql(tmp_path / "central.db", "SELECT p.name, visit.what FROM p JOIN visit ON p = p.id") == [
        ("Anna", "more of Anna"),
        ("Anna", "later of Anna"),
        ("x", "of x"),
    ]
    assert sql(tmp_path / "central.db", "SELECT * FROM part") == [("of later", 2)]


SITES = (
    "CREATE TABLE cust (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE site (cust INTEGER NOT NULL REFERENCES cust (id), code VARCHAR(9) NOT NULL, city TEXT,"
    " PRIMARY KEY (cust, code))",
    "CREATE TABLE visit (id VARCHAR(9) NOT NULL PRIMARY KEY, cust INTEGER, code VARCHAR(9), note TEXT,"
    " FOREIGN KEY (cust, code) REFERENCES site (cust, code))",
    "CREATE TABLE item (site_cust INTEGER NOT NULL, site_code VARCHAR(9) NOT NULL, n INTEGER NOT NULL,"
    " word TEXT, PRIMARY KEY (site_cust, site_code, n),"
    " FOREIGN KEY (site_cust, site_code) REFERENCES site (cust, code))",
)


@contextmanager
def two_devices(
    request: pytest.FixtureRequest, folder: Path, tables: Sequence[str]
) -> Iterator[tuple[syncline.Replica, ...]]:
    """Two devices of a centre of this kind with these tables."""
    if request.param == "sqlite":
        sql(folder / "central.db", *tables)
        url = f"sqlite:///{folder}/central.db"
    else:
        url = request.getfixturevalue("postgres_url")
        PostgresCentre(url).run(*tables)
    limits = Limits(push_rows=1) if "chunks" in request.param else None
    with syncline.Hub(url, limits=limits) as hub:
        hub.init()
        a, b = (syncline.clone(hub, str(folder / name)) for name in ("a.db", "b.db"))
        with a, b:
            yield a, b


@pytest.fixture(params=["sqlite", "postgresql", "postgresql, in chunks"])
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[syncline.Replica, ...]]:
    """Two devices of a centre whose tables hang together by composite keys."""
    with two_devices(request, tmp_path, SITES) as devices:
        yield devices


def put_chain(replica: syncline.Replica, who: str, city: str) -> None:
    sql(
        replica.file,
        f"INSERT INTO cust (name) VALUES ('{who}')",
        f"INSERT INTO site VALUES (1, 'HQ', '{city}')",
        f"INSERT INTO visit VALUES ('{who}', 1, 'HQ', 'of {who}')",
        f"INSERT INTO item VALUES (1, 'HQ', {len(who)}, 'of {who}')",
    )


@pytest.mark.parametrize("city", ["there", "elsewhere"])
def test_what_points_at_a_row_whose_key_has_a_taken_one_in_it_waits_too_though_there_is_such_a_row(
    chain: tuple[syncline.Replica, ...], city: str
) -> None:
    a, b = chain
    put_chain(a, "Anna", "there")
    put_chain(b, "Berta", city)
    a.sync()
    assert (b.preview().accepted, len(b.preview().rejected)) == (0, 4)
    later = ["INSERT INTO visit VALUES ('later', 1, 'HQ', 'of Berta')"]

    def meanwhile(stage: str, done: int, total: int | None) -> None:
        while stage == "push" and later:
            sql(b.file, later.pop())

    b.sync(progress=meanwhile)
    assert not later
    kept = {(edit.table, edit.key[0]): (edit.code, edit.parent) for edit in b.rejected()}
    assert kept == {
        ("cust", 1): ("key_taken", None),
        ("site", 1): ("parent_rejected", ("cust", (1,))),
        ("visit", "Berta"): ("parent_rejected", ("site", (1, "HQ"))),
        ("item", 1): ("parent_rejected", ("site", (1, "HQ"))),
        ("visit", "later"): ("parent_rejected", ("site", (1, "HQ"))),
    }
    for edit in b.rejected():
        with pytest.raises(UsageError):
            b.retry(edit.id)
    sql(b.file, "INSERT INTO visit VALUES ('new', 1, 'HQ', 'of Anna')")  # the device shows Anna's by now
    b.retry(b.rejected()[0].id, new_key=True)
    b.sync()
    a.sync()
    assert codes(b) == []
    assert b.verify().equal
    for replica in (a, b):
        assert sql(replica.file, "SELECT * FROM site ORDER BY 1") == [(1, "HQ", "there"), (2, "HQ", city)]
        assert sql(replica.file, "SELECT id, cust, code FROM visit ORDER BY 2, 1") == [
            ("Anna", 1, "HQ"),
            ("new", 1, "HQ"),
            ("Berta", 2, "HQ"),
            ("later", 2, "HQ"),
        ]
        assert sql(replica.file, "SELECT * FROM item ORDER BY 1") == [
            (1, "HQ", 4, "of Anna"),
            (2, "HQ", 5, "of Berta"),
        ]


@pytest.mark.parametrize("is_child_first", [False, True])
def test_a_visit_of_which_a_part_of_its_foreign_key_was_written_waits_with_its_site(
    chain: tuple[syncline.Replica, ...], is_child_first: bool
) -> None:
    """The push does not say the rest of it: that is as the row has it."""
    a, b = chain
    before = ("INSERT INTO cust VALUES (9, 'both')", "INSERT INTO site VALUES (9, 'HQ', 'there')")
    sql(a.file, *before, "INSERT INTO visit VALUES ('old', 9, 'HQ', 'of both')")
    a.sync()
    b.sync()
    for replica, who in ((a, "Anna"), (b, "Berta")):
        sql(replica.file, f"INSERT INTO cust VALUES (10, '{who}')")
        sql(replica.file, f"INSERT INTO site VALUES (10, 'HQ', '{who}')")
    sql(b.file, "UPDATE visit SET cust = 10 WHERE id = 'old'")
    a.sync()
    b.sync()
    kept = [(edit.table, edit.op, edit.code, edit.parent) for edit in b.rejected()]
    assert kept == [
        ("cust", "I", "key_taken", None),
        ("site", "I", "parent_rejected", ("cust", (10,))),
        ("visit", "U", "parent_rejected", ("site", (10, "HQ"))),
    ]
    assert sql(b.file, "SELECT cust FROM visit") == [(9,)]
    if is_child_first:
        with pytest.raises(UsageError, match="is another's"):
            b.retry(b.rejected()[2].id)
    b.retry(b.rejected()[0].id, new_key=True)
    b.sync()
    a.sync()
    assert codes(b) == []
    for replica in (a, b):
        assert sql(replica.file, "SELECT city FROM site JOIN visit USING (cust, code)") == [("Berta",)]
        assert replica.verify().equal


def test_a_visit_whose_customer_and_site_were_discarded_is_not_given_to_the_other_s(
    chain: tuple[syncline.Replica, ...],
) -> None:
    a, b = chain
    put_chain(a, "Anna", "there")
    put_chain(b, "Berta", "elsewhere")
    a.sync()
    b.sync()
    assert {edit.table for edit in b.rejected()} == {"cust", "site", "visit", "item"}
    for table in ("cust", "site"):
        b.discard(next(edit.id for edit in b.rejected() if edit.table == table))
        for edit in b.rejected():
            with pytest.raises(UsageError):
                b.retry(edit.id)


CODED = (
    "CREATE TABLE cust (id INTEGER PRIMARY KEY, code VARCHAR(9) UNIQUE, name VARCHAR(9))",
    "CREATE TABLE site (id INTEGER PRIMARY KEY, cust VARCHAR(9) REFERENCES cust (code),"
    " town VARCHAR(9) UNIQUE)",
    "CREATE TABLE visit (id VARCHAR(9) NOT NULL PRIMARY KEY, cust VARCHAR(9) REFERENCES cust (code),"
    " town VARCHAR(9) REFERENCES site (town))",
)


@pytest.fixture(params=["sqlite", "postgresql", "postgresql, in chunks"])
def coded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[syncline.Replica, ...]]:
    """Two devices of a centre whose tables point at unique columns that are not the key."""
    with two_devices(request, tmp_path, CODED) as devices:
        yield devices


def put_coded(replica: syncline.Replica, who: str) -> None:
    sql(
        replica.file,
        f"INSERT INTO cust VALUES (1, '{who[0]}', '{who}')",
        f"INSERT INTO site VALUES (1, '{who[0]}', 'at {who[0]}')",
        f"INSERT INTO visit VALUES ('{who}', '{who[0]}', 'at {who[0]}')",
    )


def test_what_points_at_another_unique_column_of_a_row_whose_key_is_taken_waits_and_follows(
    coded: tuple[syncline.Replica, ...],
) -> None:
    a, b = coded
    put_coded(a, "Anna")
    put_coded(b, "Berta")
    a.sync()
    later = ["INSERT INTO visit VALUES ('later', 'B', NULL)"]

    def meanwhile(stage: str, done: int, total: int | None) -> None:
        while stage == "push" and later:
            sql(b.file, later.pop())

    b.sync(progress=meanwhile)
    kept = {(edit.table, edit.key[0]): (edit.code, edit.parent) for edit in b.rejected()}
    assert kept.pop(("visit", "Berta"))[0] == "parent_rejected"
    assert kept.pop(("site", 1))[0] == "key_taken"
    assert kept == {("cust", 1): ("key_taken", None), ("visit", "later"): ("parent_rejected", ("cust", (1,)))}
    b.retry(next(edit.id for edit in b.rejected() if edit.table == "cust"), new_key=True)
    b.sync()
    a.sync()
    assert codes(b) == []
    assert b.verify().equal
    for replica in (a, b):
        assert sql(replica.file, "SELECT id, code, name FROM cust") == [(1, "A", "Anna"), (2, "B", "Berta")]
        assert sql(replica.file, "SELECT * FROM site") == [(1, "A", "at A"), (2, "B", "at B")]
        assert sql(replica.file, "SELECT * FROM visit ORDER BY 1") == [
            ("Anna", "A", "at A"),
            ("Berta", "B", "at B"),
            ("later", "B", None),
        ]


def test_what_points_at_a_code_of_a_row_whose_key_is_taken_is_not_given_to_another_row_of_that_code(
    coded: tuple[syncline.Replica, ...],
) -> None:
    a, b = coded
    put_coded(a, "Anna")
    sql(a.file, "INSERT INTO cust VALUES (2, 'B', 'Bruno')")
    put_coded(b, "Berta")
    sql(b.file, "UPDATE visit SET town = NULL", "INSERT INTO site VALUES (7, 'B', 'elsewhere')")
    a.sync()
    b.sync()
    taken = next(edit.id for edit in b.rejected() if edit.table == "cust")
    refused = {(edit.table, edit.key[0]) for edit in b.rejected()}
    assert refused == {("cust", 1), ("site", 1), ("site", 7), ("visit", "Berta")}
    for round_ in range(2):
        for edit in b.rejected():
            with pytest.raises(UsageError):
                b.retry(edit.id)
        if not round_:
            b.discard(taken)
    b.sync()
    assert sql(b.file, "SELECT id FROM visit") == [("Anna",)]
    assert b.verify().equal
