"""What an application keeps in columns of its own, in rows that the hub rejects (law L2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.rejected import rejected
from syncline.errors import UsageError
from tests.support.application import sql
from tests.support.either import centre_with
from tests.support.either import run as run_at
from tests.support.restored import put_back


def cloned(hub: syncline.Hub, *files: Path) -> None:
    for file in files:
        syncline.clone(hub, file).close()


def test_l2_an_own_column_is_told_from_the_hubs_as_sqlite_compares_names(tmp_path: Path) -> None:
    x, y = tmp_path / "x.db", tmp_path / "y.db"
    sql(tmp_path / "central.db", 'CREATE TABLE client (id INTEGER PRIMARY KEY, "É" TEXT)')
    with syncline.Hub(f"sqlite:///{tmp_path / 'central.db'}") as hub:
        hub.init()
        cloned(hub, x, y)
        sql(y, 'ALTER TABLE client ADD COLUMN "é" TEXT', "INSERT INTO client VALUES (1, 'Bo', 'drawn')")
        sql(x, "INSERT INTO client VALUES (1, 'Ana')")
        with syncline.connect(x, hub=hub) as replica:
            replica.sync()
        with syncline.connect(y, hub=hub) as replica:
            (edit,) = replica.sync().push.rejected
            assert edit.own == {"é": "drawn"}
            replica.retry(edit.id, new_key=True)
            assert sql(y, "SELECT * FROM client") == [(1, "Ana", None), (2, "Bo", "drawn")]


def test_l2_an_own_column_goes_with_its_row_to_the_new_number_and_not_onto_the_other_row(
    tmp_path: Path,
) -> None:
    sql(
        tmp_path / "central.db",
        "CREATE TABLE client (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE visit (id INTEGER PRIMARY KEY, client INTEGER REFERENCES client (id))",
    )
    x, y = tmp_path / "x.db", tmp_path / "y.db"
    with syncline.Hub(f"sqlite:///{tmp_path / 'central.db'}") as hub:
        hub.init()
        cloned(hub, x, y)
        sql(
            y,
            "ALTER TABLE client ADD COLUMN sketch TEXT",
            "ALTER TABLE client ADD COLUMN state TEXT NOT NULL DEFAULT 'new'",
            "ALTER TABLE visit ADD COLUMN photo BLOB",
            "INSERT INTO client (name, sketch, state) VALUES ('Bo', 'drawn for an hour', 'old')",
            "INSERT INTO visit (client, photo) VALUES (1, x'00ff')",
        )
        sql(x, "INSERT INTO client (name) VALUES ('Ana')")
        with syncline.connect(x, hub=hub) as replica:
            replica.sync()
        with syncline.connect(y, hub=hub) as replica:
            (edit, _) = replica.sync().push.rejected
            assert edit.code == "key_taken"
            assert edit.own == {"sketch": "drawn for an hour", "state": "old"}
            assert edit.as_dict()["own"] == edit.own and "sketch" not in edit.values
            shown = CliRunner().invoke(rejected, [str(y), "show", str(edit.id)]).output
            assert "in columns of this file alone" in shown and "drawn for an hour" in shown, shown
            assert sql(y, "SELECT * FROM client") == [(1, "Ana", None, "new")]
            replica.retry(edit.id, new_key=True)
            after = [(1, "Ana", None, "new"), (2, "Bo", "drawn for an hour", "old")]
            assert sql(y, "SELECT * FROM client") == after
            assert sql(y, "SELECT client, photo FROM visit") == [(2, b"\x00\xff")]
            assert not replica.sync().push.rejected
            assert sql(y, "SELECT * FROM client") == after


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("becomes", [False, True])
def test_l2_an_own_column_comes_back_with_a_rejected_row_also_where_it_is_the_hubs_by_then(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, becomes: bool
) -> None:
    made = "CREATE TABLE trip (id VARCHAR(36) PRIMARY KEY NOT NULL, km INT NOT NULL CHECK (km > 0))"
    url, x = centre_with(request, kind, tmp_path, made), tmp_path / "x.db"
    with syncline.Hub(url) as hub:
        hub.init()
        cloned(hub, x)
        sql(x, "ALTER TABLE trip ADD COLUMN car TEXT", "INSERT INTO trip (id, km, car) VALUES ('a', 7, 'VW')")
        run_at(url, "CREATE UNIQUE INDEX one ON trip (km)", "INSERT INTO trip VALUES ('b', 7)")
        with syncline.connect(x, hub=hub) as replica:
            (edit,) = replica.sync().push.rejected
            if becomes:
                run_at(url, "ALTER TABLE trip ADD COLUMN car TEXT")
                hub._follower.look_now()
            run_at(url, "UPDATE trip SET km = 8")
            replica.sync()
            replica.retry(edit.id)
            assert sql(x, "SELECT car FROM trip WHERE id = 'a'") == [("VW",)]
            assert not replica.sync().push.rejected
            assert sql(x, "SELECT car FROM trip WHERE id = 'a'") == [("VW",)]
        if becomes:
            cloned(hub, tmp_path / "y.db")
            assert sql(tmp_path / "y.db", "SELECT car FROM trip WHERE id = 'a'") == [("VW",)]


LINKS = (
    "CREATE TABLE p (id INT PRIMARY KEY, a VARCHAR(20), b VARCHAR(20))",
    "CREATE TABLE l (p INT NOT NULL REFERENCES p (id), q INT NOT NULL, a VARCHAR(20), b VARCHAR(20),"
    " PRIMARY KEY (p, q))",
)


def copied(file: Path, to: Path) -> Path:
    sql(file, f"VACUUM INTO '{to}'")
    return to


@pytest.mark.parametrize("before", ["nothing", "copied", "restored"])
def test_l2_an_own_column_of_a_row_below_one_whose_key_is_taken_leaves_the_others_row(
    tmp_path: Path, before: str
) -> None:
    central, x = tmp_path / "central.db", tmp_path / "x.db"
    sql(central, *(one.replace(" INT PRIMARY", " INTEGER PRIMARY") for one in LINKS))
    hub = syncline.Hub(f"sqlite:///{central}")
    hub.init()
    cloned(hub, x)
    sql(x, "ALTER TABLE l ADD COLUMN own TEXT")
    with syncline.connect(x, hub=hub) as replica:
        replica.sync()
    other = copied(x, tmp_path / "y.db")
    sql(x, "INSERT INTO p VALUES (77, 'x', '')")
    if before == "restored":
        copied(central, tmp_path / "backup.db")
    if before != "nothing":
        with syncline.connect(x, hub=hub) as replica:
            replica.sync()
    if before == "restored":
        hub.close()
        put_back(tmp_path / "backup.db", central)
        hub = syncline.Hub(f"sqlite:///{central}")
        hub.look()
    file = other if before == "copied" else x
    sql(file, "INSERT INTO p VALUES (2, 'mine', '')", "INSERT INTO l VALUES (2, 2, 'mine', '', 'MY OWN')")
    sql(central, "INSERT INTO p VALUES (2, 'theirs', '')", "INSERT INTO l VALUES (2, 2, 'theirs', '')")
    with hub, syncline.connect(file, hub=hub) as replica:
        report = replica.sync()
        assert bool(report.recovered) is (before != "nothing")
        edits = {edit.table: edit for edit in replica.rejected()}
        assert (edits["p"].code, edits["l"].code) == ("key_taken", "parent_rejected")
        assert edits["l"].own == {"own": "MY OWN"}
        assert sql(file, "SELECT a, own FROM l") == [("theirs", None)]
        replica.retry(edits["p"].id, new_key=True)
        replica.sync()
        assert sql(file, "SELECT a, own FROM l ORDER BY p") == [("theirs", None), ("mine", "MY OWN")]
        assert not replica.rejected() and replica.verify().equal


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_l2_a_column_that_is_dropped_as_a_key_is_found_taken_leaves_the_others_row(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    links = (one.replace(" INT PRIMARY", " INTEGER PRIMARY") for one in LINKS)
    url, x = centre_with(request, kind, tmp_path, *links), tmp_path / "x.db"
    with syncline.Hub(url) as hub:
        hub.init()
        cloned(hub, x)
        sql(x, "INSERT INTO p VALUES (2, 'MINE', 'mine')", "INSERT INTO l VALUES (2, 2, 'MINE', 'mine')")
        if kind == "sqlite":
            central = tmp_path / "central.db"
            for (name,) in sql(central, "SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                sql(central, f"DROP TRIGGER {name}")
        run_at(url, "ALTER TABLE p DROP COLUMN a", "ALTER TABLE l DROP COLUMN a")
        hub.init()
        run_at(url, "INSERT INTO p VALUES (2, 'other')", "INSERT INTO l VALUES (2, 2, 'other')")
        with syncline.connect(x, hub=hub) as replica:
            assert bool(replica.sync().recovered) is (kind == "sqlite")
            assert {edit.values["a"] for edit in replica.rejected()} == {"MINE"}
            assert sql(x, "SELECT * FROM p") == [(2, None, "other")]
            assert sql(x, "SELECT * FROM l") == [(2, 2, None, "other")]
            (taken,) = (edit.id for edit in replica.rejected() if edit.code == "key_taken")
            replica.retry(taken, new_key=True)
            replica.sync()
            assert sql(x, "SELECT * FROM p") == [(2, None, "other"), (3, "MINE", "mine")]
            assert sql(x, "SELECT * FROM l") == [(2, 2, None, "other"), (3, 2, "MINE", "mine")]
            assert {(one.table, one.code) for one in replica.rejected()} == {
                ("p", "column_dropped"),
                ("l", "column_dropped"),
            }
        cloned(hub, tmp_path / "y.db")
        assert sql(tmp_path / "y.db", "SELECT * FROM p ORDER BY id") == [(2, "other"), (3, "mine")]


DEMANDED = {
    "sqlite": (
        "CREATE TABLE _t (id VARCHAR(20) PRIMARY KEY, title TEXT, w INT NOT NULL{})",
        "INSERT INTO _t SELECT id, title, 7 FROM b",
        "DROP TABLE b",
        "ALTER TABLE _t RENAME TO b",
    ),
    "postgresql": (
        "ALTER TABLE b ADD COLUMN w INT NOT NULL DEFAULT 7",
        "ALTER TABLE b ALTER w DROP DEFAULT",
    ),
}
DEFAULT = {
    "sqlite": tuple(one.format(" DEFAULT 7") for one in DEMANDED["sqlite"]),
    "postgresql": ("ALTER TABLE b ALTER w SET DEFAULT 7",),
}
BY_ITS_TOOL = (
    "CREATE TABLE _t (id TEXT NOT NULL PRIMARY KEY, title TEXT, w INT NOT NULL CHECK (w > 2))",
    "INSERT INTO _t SELECT id, title, 7 FROM b",
    "DROP TABLE b",
    "ALTER TABLE _t RENAME TO b",
)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("remedy", ["default", "init"])
def test_l2_l12_a_value_of_a_column_that_is_demanded_here_comes_back_with_its_row(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, remedy: str
) -> None:
    made = "CREATE TABLE b (id VARCHAR(20) PRIMARY KEY, title TEXT)"
    url = centre_with(request, kind, tmp_path, made, "INSERT INTO b VALUES ('b1', 't1')")
    x = tmp_path / "x.db"
    with syncline.Hub(url) as hub:
        hub.init()
        cloned(hub, x)
        sql(x, *BY_ITS_TOOL)
        run_at(url, *(one.format("") for one in DEMANDED[kind]))
        hub._follower.look_now()
        with syncline.connect(x, hub=hub) as replica:
            replica.sync()
            sql(x, "INSERT INTO b VALUES ('n1', 'new', 9)")
            (edit,) = replica.sync().push.rejected
            assert edit.code == "not_null_violation"
            assert replica.rejected()[0].own == {"w": 9}
            shown = CliRunner().invoke(rejected, [str(x), "show", "1"]).output
            assert any({"w", "9"} <= set(line.split()) for line in shown.splitlines()), shown
            if remedy == "default":
                run_at(url, *DEFAULT[kind])
                hub._follower.look_now()
            else:
                hub.init(yes=True)
            replica.sync()
            replica.retry(edit.id)
            assert sql(x, "SELECT * FROM b WHERE id = 'n1'") == [("n1", "new", 9)]
            replica.sync()
            assert not replica.rejected() and replica.verify().equal
        cloned(hub, tmp_path / "y.db")
        assert sql(tmp_path / "y.db", "SELECT w FROM b WHERE id = 'n1'") == [(9,)]


def test_l2_an_own_column_that_refuses_a_row_is_kept_with_it_until_it_fits(tmp_path: Path) -> None:
    central, x = tmp_path / "central.db", tmp_path / "x.db"
    sql(central, "CREATE TABLE trip (id TEXT PRIMARY KEY NOT NULL, km INT CHECK (km > 0))")
    with syncline.Hub(f"sqlite:///{central}") as hub:
        hub.init()
        cloned(hub, x)
        sql(x, "ALTER TABLE trip ADD COLUMN plate TEXT", "CREATE UNIQUE INDEX one ON trip (plate)")
        sql(central, "CREATE UNIQUE INDEX km ON trip (km)", "INSERT INTO trip VALUES ('b', 7)")
        sql(x, "INSERT INTO trip VALUES ('a', 7, 'A1')")
        with syncline.connect(x, hub=hub) as replica:
            (edit,) = replica.sync().push.rejected
            sql(central, "UPDATE trip SET km = 8")
            replica.sync()
            sql(x, "UPDATE trip SET plate = 'A1' WHERE id = 'b'")
            with pytest.raises(UsageError) as refused:
                replica.retry(edit.id)
            assert refused.value.code == "retry_refused" and "plate" in refused.value.detail
            assert replica.rejected()[0].own == {"plate": "A1"}
            sql(x, "UPDATE trip SET plate = 'B1' WHERE id = 'b'")
            replica.retry(edit.id)
            replica.sync()
            assert sql(x, "SELECT * FROM trip ORDER BY id") == [("a", 7, "A1"), ("b", 8, "B1")]


def test_l2_an_own_column_goes_with_a_row_below_one_that_is_refused_in_the_file(tmp_path: Path) -> None:
    central, x = tmp_path / "central.db", tmp_path / "x.db"
    sql(
        central,
        "CREATE TABLE head (id TEXT PRIMARY KEY NOT NULL, note TEXT)",
        "CREATE TABLE line (id TEXT PRIMARY KEY NOT NULL, head TEXT REFERENCES head (id))",
    )
    with syncline.Hub(f"sqlite:///{central}") as hub:
        hub.init()
        cloned(hub, x)
        sql(
            x,
            "ALTER TABLE head ADD COLUMN pic BLOB",
            "ALTER TABLE line ADD COLUMN pic BLOB NOT NULL DEFAULT x''",
            "INSERT INTO head VALUES ('h', CAST(x'ff' AS TEXT), x'01')",
            "INSERT INTO line VALUES ('l', 'h', x'02')",
        )
        with syncline.connect(x, hub=hub) as replica:
            replica.sync()
            assert {edit.table: edit.own for edit in replica.rejected()} == {
                "head": {"pic": b"\x01"},
                "line": {"pic": b"\x02"},
            }
            sql(x, "INSERT INTO head VALUES ('h', 'n', NULL)")
            replica.retry(next(edit.id for edit in replica.rejected() if edit.table == "line"))
            replica.sync()
            assert sql(x, "SELECT * FROM line") == [("l", "h", b"\x02")]
