"""A device file has no foreign key of Syncline's whose parent columns are not unique in it: SQLite would
refuse the application's own writes (laws L1, L12, L13). It is left out, said, and made when it can be. An
index that a foreign key of the application's needs stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.replica.examine import examine
from tests.support.restored import Centre, PostgresCentre, SqliteCentre

DDL = """
CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT, uid TEXT);
CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), note TEXT);
INSERT INTO p VALUES (1, 'x', 'u1'), (2, 'y', 'u2');
INSERT INTO c VALUES (1, 1, 'one'), (2, 2, 'two')
"""
REFERS = "CREATE UNIQUE INDEX p_code ON p (code); ALTER TABLE c ADD COLUMN pcode TEXT REFERENCES p (code)"
FAV = "CREATE TABLE fav (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code))"
SPOKEN = (
    "foreign_key_waits",
    "foreign_key_mismatch",
    "unique_kept",
    "index_missing",
    "store_obstacle",
    "column_kept",
)


class World:
    def __init__(self, folder: Path, centre: Centre, ddl: str = DDL) -> None:
        self.folder, self.centre = folder, centre
        centre.run(ddl)
        self.hub = syncline.Hub(centre.url)
        self.hub.init()
        self.file = folder / "device.db"
        self.device = syncline.clone(self.hub, self.file)

    def close(self) -> None:
        self.device.close()
        self.hub.close()

    def change(self, script: str) -> None:
        self.centre.run(script)
        self.hub.init(yes=True)

    def app(self, *statements: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            with app:
                rows = [app.execute(statement).fetchall() for statement in statements]
        return rows[-1]

    def rows(self, sql: str) -> tuple[list[Any], list[Any]]:
        """The same query here and in the centre."""
        return self.app(sql), [tuple(row) for row in self.centre.run(sql)]

    def keys(self, table: str) -> set[tuple[str, str, str]]:
        sql = f'SELECT "from", "table", "to" FROM pragma_foreign_key_list(\'{table}\')'
        return set(self.app(sql))

    def said(self) -> list[str]:
        return sorted(found.code for found in examine(self.file) if found.code in SPOKEN)

    def sync(self) -> None:
        self.device.sync()
        assert not self.device.waiting()

    def rebuild(self, table: str, columns: str) -> None:
        """As a program does it: a copy without what it does not know."""
        with closing(sqlite3.connect(self.file)) as app:
            app.executescript(
                f"""PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE fresh ({columns});
                INSERT INTO fresh SELECT * FROM {table}; DROP TABLE {table};
                ALTER TABLE fresh RENAME TO {table}; COMMIT;"""
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Centre:
    if request.param == "sqlite":
        return SqliteCentre(tmp_path)
    return PostgresCentre(request.getfixturevalue("postgres_database"))


@pytest.fixture
def world(tmp_path: Path, centre: Centre) -> Iterator[World]:
    made = World(tmp_path, centre)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[World]:
    """Where nothing depends on the database of the centre."""
    made = World(tmp_path, SqliteCentre(tmp_path))
    yield made
    made.close()


TAGS = """
CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE c_tag (c INTEGER REFERENCES c (id), tag INTEGER REFERENCES tag (id), PRIMARY KEY (c, tag));
INSERT INTO tag VALUES (1, 't'), (2, 'u'); INSERT INTO c_tag VALUES (1, 1), (1, 2)
"""


@pytest.mark.parametrize("own", ["name TEXT", "id INTEGER PRIMARY KEY, name TEXT"])
@pytest.mark.parametrize("remedy", ["rename", "track"])
def test_l13_a_table_of_the_application_that_has_a_parents_name_is_written_as_before(
    world: World, own: str, remedy: str
) -> None:
    if remedy == "track" and not own.startswith("id"):
        pytest.skip("the application's table does not fit")
    world.app(f"CREATE TABLE tag ({own})", "INSERT INTO tag (name) VALUES ('mine')")
    world.change(TAGS)
    world.sync()
    assert world.keys("c_tag") == {("c", "c", "id")} and world.said() == ["foreign_key_waits"]
    assert world.app("SELECT * FROM c_tag") == [(1, 1), (1, 2)]
    world.app("INSERT INTO tag (name) VALUES ('own')", "UPDATE tag SET name = 'z'", "DELETE FROM tag")
    world.app("DELETE FROM c_tag WHERE tag = 2", "INSERT INTO c_tag VALUES (2, 1)")
    world.sync()
    if remedy == "rename":
        world.app("ALTER TABLE tag RENAME TO own_tag")
    else:
        world.device.track("tag")
    world.sync()
    assert world.keys("c_tag") == {("c", "c", "id"), ("tag", "tag", "id")} and not world.said()
    for table in ("c_tag", "tag"):
        here, there = world.rows(f"SELECT * FROM {table} ORDER BY 1, 2")
        assert here == there != []
    with pytest.raises(sqlite3.IntegrityError):
        world.app("INSERT INTO c_tag VALUES (2, 77)")
    assert world.device.verify().equal and not world.device.rejected()


def test_l13_rows_in_the_way_of_a_parents_unique_index_refuse_no_write(world: World) -> None:
    world.app("INSERT INTO p VALUES (7, 'dup', 'u7'), (8, 'dup', 'u8')")
    world.change(f"{REFERS}; UPDATE c SET pcode = 'x'")
    report = world.device.pull()
    assert not report.waiting and world.keys("c") == {("p", "p", "id")}
    assert world.said() == ["foreign_key_waits", "index_missing"]
    assert world.app("SELECT pcode FROM c") == [("x",), ("x",)]
    world.app(
        "INSERT INTO p VALUES (20, 'n', 'u20')", "DELETE FROM p WHERE id = 20", "DELETE FROM c WHERE id = 2"
    )
    world.app("INSERT INTO c VALUES (5, NULL, 'five', 'y')")
    assert world.device.upgrade().indexes == () and world.said() == ["foreign_key_waits", "index_missing"]
    world.sync()
    (edit,) = world.device.rejected()
    assert (edit.table, edit.key, edit.code) == ("p", (8,), "unique_violation")
    made = world.device.upgrade()
    assert len(made.indexes) == 1 and made.foreign_keys == ("c (pcode) to p (code)",)
    assert world.keys("c") == {("p", "p", "id"), ("pcode", "p", "code")} and not world.said()
    world.app("INSERT INTO p VALUES (21, 'o', 'u21')", "INSERT INTO c VALUES (6, NULL, 'six', 'o')")
    with pytest.raises(sqlite3.IntegrityError):
        world.app("DELETE FROM p WHERE id = 21")
    world.sync()
    assert world.device.verify().equal and world.device.upgrade().foreign_keys == ()


TREE = """
CREATE TABLE tree (id INTEGER PRIMARY KEY, code TEXT, up TEXT{inline});
CREATE UNIQUE INDEX tree_code ON tree (code){later}; INSERT INTO tree VALUES (1, 'a', NULL), (2, 'b', 'a')
"""


def test_l9_a_unique_index_and_foreign_keys_that_need_it_come_with_their_rows_at_once(world: World) -> None:
    inline, later = ", FOREIGN KEY (UP) REFERENCES Tree (Code)", ""
    if isinstance(world.centre, PostgresCentre):
        inline, later = "", "; ALTER TABLE tree ADD FOREIGN KEY (up) REFERENCES tree (code)"
    world.change(f"{REFERS}; UPDATE c SET pcode = 'y';{TREE.format(inline=inline, later=later)}")
    world.sync()
    assert ("pcode", "p", "code") in world.keys("c") and world.keys("tree") == {("up", "tree", "code")}
    assert world.app("SELECT pcode FROM c") == [("y",), ("y",)]
    assert world.app("SELECT * FROM tree") == [(1, "a", None), (2, "b", "a")] and not world.said()
    assert world.device.verify().equal
    with closing(syncline.clone(world.hub, world.folder / "new.db")) as new:
        assert new.verify().equal


def test_l12_a_foreign_key_that_points_at_other_columns_now_points_there_here_too(world: World) -> None:
    world.change(f"{REFERS}; UPDATE c SET pcode = 'y'")
    world.sync()
    unique = "CREATE UNIQUE INDEX p_uid ON p (uid)"
    if isinstance(world.centre, PostgresCentre):
        world.change(
            f"{unique}; ALTER TABLE c DROP CONSTRAINT c_pcode_fkey; UPDATE c SET pcode = 'u1';"
            " ALTER TABLE c ADD FOREIGN KEY (pcode) REFERENCES p (uid)"
        )
    else:
        world.change(
            f"""{unique}; PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE d (id INTEGER PRIMARY KEY,
            p INTEGER REFERENCES p (id), note TEXT, pcode TEXT REFERENCES p (uid));
            INSERT INTO d SELECT id, p, note, 'u1' FROM c; DROP TABLE c; ALTER TABLE d RENAME TO c; COMMIT"""
        )
    world.sync()
    assert world.keys("c") == {("p", "p", "id"), ("pcode", "p", "uid")} and not world.said()
    assert world.app("SELECT pcode FROM c") == [("u1",), ("u1",)] and world.device.verify().equal


def moved(centre: Centre) -> str:
    """The key of p is uid from now on, and c refers to it by that."""
    if isinstance(centre, PostgresCentre):
        return """
        ALTER TABLE c ADD COLUMN puid TEXT; UPDATE c SET puid = p.uid FROM p WHERE p.id = c.p;
        ALTER TABLE c DROP COLUMN p; ALTER TABLE p DROP CONSTRAINT p_pkey;
        ALTER TABLE p ADD PRIMARY KEY (uid);
        ALTER TABLE c ADD FOREIGN KEY (puid) REFERENCES p"""
    return """
        PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE q (id INTEGER, code TEXT, uid TEXT PRIMARY KEY);
        CREATE TABLE d (id INTEGER PRIMARY KEY, note TEXT, puid TEXT REFERENCES p);
        INSERT INTO q SELECT * FROM p; INSERT INTO d SELECT c.id, note, uid FROM c JOIN p ON p.id = c.p;
        DROP TABLE c; DROP TABLE p; ALTER TABLE q RENAME TO p; ALTER TABLE d RENAME TO c; COMMIT"""


def test_l13_a_parent_whose_key_moves_refuses_no_write(world: World) -> None:
    world.change(moved(world.centre))
    world.sync()
    assert world.keys("c") == set() and "foreign_key_waits" in world.said()
    world.app("UPDATE c SET note = 'mine' WHERE id = 1", "INSERT INTO c (id, note) VALUES (50, 'new')")
    world.app(
        "DELETE FROM c WHERE id = 2", "INSERT INTO p VALUES (70, 'z', 'u70')", "DELETE FROM p WHERE id = 2"
    )
    world.app("UPDATE c SET puid = 'u2' WHERE id = 50")
    world.sync()
    here, there = world.rows("SELECT id, note, puid FROM c ORDER BY id")
    assert here == there == [(1, "mine", "u1"), (50, "new", "u2")]
    world.app("ALTER TABLE p RENAME TO p_old")
    world.sync()
    assert world.keys("c") == {("puid", "p", "uid")} and not world.said()
    here, there = world.rows("SELECT uid, id FROM p ORDER BY 1")
    assert here == there and world.device.verify().equal and not world.device.rejected()


def test_l13_an_index_that_a_table_of_the_application_needs_stays_as_long_as_it_does(world: World) -> None:
    world.change("CREATE UNIQUE INDEX p_code ON p (code)")
    world.sync()
    world.app(FAV, "INSERT INTO fav VALUES (1, 'y')")
    world.change("DROP INDEX p_code; INSERT INTO p VALUES (3, 'x', 'u3'), (4, 'w', 'u4')")
    world.device.sync()
    ((row,), (found,)) = world.device.waiting(), [f for f in examine(world.file) if f.code == "unique_kept"]
    assert (row.table, row.key, row.code) == (
        "p",
        (3,),
        "device_constraint",
    ) and row.object == "UNIQUE (p.code)"
    assert "fav" in found.sentence and found.level == "warning" and world.said() == ["unique_kept"]
    world.app("INSERT INTO p VALUES (71, 'n', 'u71')", "INSERT INTO fav VALUES (2, 'n'), (3, 'w')")
    world.app("DELETE FROM fav WHERE id = 2", "DELETE FROM p WHERE id = 71")
    world.device.sync()
    assert [difference.key for difference in world.device.verify().differences] == [(3,)]
    world.app("DROP TABLE fav")
    assert world.said() == ["unique_kept"]
    world.device.upgrade()
    assert not world.said()
    world.sync()
    assert world.device.verify().equal and not world.device.rejected()
    world.app("INSERT INTO p VALUES (9, 'x', 'u9')")
    world.sync()


def test_l13_an_upgrade_leaves_a_dropped_column_that_a_table_of_the_application_refers_to(
    tmp_path: Path, postgres_database: str
) -> None:
    with closing(World(tmp_path, PostgresCentre(postgres_database))) as world:
        world.change("CREATE UNIQUE INDEX p_code ON p (code)")
        world.sync()
        world.app(FAV, "INSERT INTO fav VALUES (1, 'y')")
        world.change("ALTER TABLE p DROP COLUMN code; ALTER TABLE p DROP COLUMN uid")
        world.sync()
        assert world.device.upgrade().dropped == {"p": ("uid",)} and world.said() == [
            "column_kept",
            "unique_kept",
        ]
        world.app("INSERT INTO p (id, code) VALUES (5, 'five')", "INSERT INTO fav VALUES (2, 'five')")
        world.sync()
        world.app("DROP TABLE fav")
        assert world.device.upgrade().dropped == {"p": ("code",)}
        assert world.app("SELECT * FROM p WHERE id = 5") == [(5,)] and not world.said()
        assert world.device.verify().equal


def test_l13_an_upgrade_leaves_a_column_that_is_there_again_and_takes_on_the_other_names(
    tmp_path: Path, postgres_database: str
) -> None:
    with closing(World(tmp_path, PostgresCentre(postgres_database))) as world:
        world.change("CREATE UNIQUE INDEX p_code ON p (code)")
        world.sync()
        world.app(FAV, "INSERT INTO fav VALUES (1, 'y')")
        world.change("DROP INDEX p_code; ALTER TABLE p DROP COLUMN code")
        world.change("ALTER TABLE p ADD COLUMN code TEXT")
        world.change("CREATE UNIQUE INDEX p_new ON p (code); ALTER TABLE p RENAME COLUMN uid TO title")
        world.sync()
        planned, report = world.device.preview_upgrade(), world.device.upgrade()
        assert report == planned and report.columns == {"p": {"uid": "title"}} and report.dropped == {}
        assert set(report.left["p"]) == {"code", "code_2"} and "fav" in report.left["p"]["code"]
        (kept,) = [one for one in examine(world.file) if one.code == "column_kept"]
        assert "fav" in kept.sentence and "code_2" in kept.sentence
        world.app(
            "INSERT INTO p (id, code, code_2) VALUES (5, 'five', 'new')", "INSERT INTO fav VALUES (2, 'five')"
        )
        world.sync()
        assert world.rows("SELECT title, id FROM p WHERE id = 5") == ([(None, 5)], [(None, 5)])
        assert world.centre.run("SELECT code FROM p WHERE id = 5")[0][0] == "new"
        assert world.device.upgrade().columns == {}
        world.app("DROP TABLE fav")
        report = world.device.upgrade()
        assert (report.dropped, report.columns, report.left) == (
            {"p": ("code",)},
            {"p": {"code_2": "code"}},
            {},
        )
        assert world.rows("SELECT code FROM p WHERE id = 5") == ([("new",)], [("new",)])
        assert world.device.verify().equal and not world.said()


def test_l13_an_upgrade_leaves_a_column_that_is_unique_by_the_create_table_and_there_again(
    tmp_path: Path, postgres_database: str
) -> None:
    ddl = """CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n TEXT, code_2 TEXT);
        CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code));
        INSERT INTO p VALUES (1, 'x', 'n')"""
    with closing(World(tmp_path, PostgresCentre(postgres_database), ddl)) as world:
        world.change("ALTER TABLE p DROP COLUMN code CASCADE; ALTER TABLE p RENAME code_2 TO other")
        world.change("ALTER TABLE p ADD COLUMN code TEXT; ALTER TABLE p RENAME n TO code_3")
        world.change("ALTER TABLE p RENAME TO q")
        world.sync()
        (own,) = {name for _, name, *_ in world.app("PRAGMA table_info(p)")} - {"id", "code", "n", "code_2"}
        report = world.device.upgrade()
        assert report.tables == {"p": "q"}
        assert "UNIQUE inside the CREATE TABLE" in report.left["p"]["code"] and own in report.left["p"]
        assert report.columns["p"]["code_2"] == "other" and "column_kept" in world.said()
        world.app(f"UPDATE q SET {own} = 'new', other = 'o', code = 'former' WHERE id = 1")
        world.sync()
        assert [tuple(row) for row in world.centre.run("SELECT code, other FROM q")] == [("new", "o")]
        assert world.device.verify().equal
        world.app("ALTER TABLE q RENAME COLUMN code TO former")
        assert world.device.upgrade().columns == {"q": {"n": "code_3", own: "code"}}
        world.sync()
        assert world.app("SELECT former, code FROM q") == [("former", "new")]


def test_l13_a_table_that_takes_part_no_more_keeps_the_index_that_it_needs(plain: World) -> None:
    plain.change("CREATE UNIQUE INDEX p_code ON p (code)")
    plain.change("CREATE TABLE d (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code) ON DELETE CASCADE)")
    plain.sync()
    plain.change("DROP TABLE d; DROP INDEX p_code")
    plain.sync()
    assert plain.said() == ["unique_kept"]
    plain.app(
        "INSERT INTO p VALUES (9, 'z', 'u9')", "INSERT INTO d VALUES (1, 'z')", "DELETE FROM p WHERE id = 9"
    )
    assert plain.app("SELECT * FROM d") == []
    plain.app("DROP TABLE d")
    plain.change("ALTER TABLE c ADD COLUMN more TEXT")  # whatever is followed next
    plain.sync()
    assert not plain.said() and not plain.app("SELECT * FROM sqlite_master WHERE name = 'p_code'")


def test_l13_a_column_that_refers_to_a_table_which_the_file_has_not_refuses_no_write(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path)
    centre.run(DDL)
    with closing(syncline.Hub(centre.url)) as hub:
        hub.init()
        file = tmp_path / "own.db"
        with closing(sqlite3.connect(file)) as app:
            app.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER, note TEXT)")
            with closing(syncline.connect(file, hub=hub)) as device:
                device.track("c")
                centre.run("ALTER TABLE c ADD COLUMN other INTEGER REFERENCES p (id)")
                hub.init()
                device.sync()
                app.execute("PRAGMA foreign_keys = ON")
                with app:
                    app.execute("INSERT INTO c (id, p, note, other) VALUES (5, 1, 'five', 2)")
                device.sync()
                assert device.verify().equal and not device.waiting()
                codes = {found.code for found in examine(file)}
                assert "foreign_key_waits" in codes and "foreign_key_mismatch" not in codes


P = "id INTEGER PRIMARY KEY, code TEXT, uid TEXT"


def test_l13_a_parent_that_a_program_makes_anew_without_its_index_refuses_writes_until_the_next_verb(
    plain: World,
) -> None:
    plain.change(f"{REFERS}; UPDATE c SET pcode = 'x'")
    plain.sync()
    plain.rebuild("p", P)
    assert plain.said() == ["foreign_key_mismatch"]
    with pytest.raises(sqlite3.OperationalError, match="mismatch"):
        plain.app("DELETE FROM c WHERE id = 2")
    plain.sync()
    assert not plain.said() and ("pcode", "p", "code") in plain.keys("c")
    plain.rebuild("p", P)
    with closing(sqlite3.connect(plain.file)) as app, app:
        app.execute("INSERT INTO p VALUES (3, 'x', 'u3')")
    plain.device.sync()
    plain.app("DELETE FROM c WHERE id = 2", "INSERT INTO p VALUES (30, 'new', 'u30')")
    plain.sync()
    plain.device.upgrade()
    assert not plain.said() and ("pcode", "p", "code") in plain.keys("c")
    assert [edit.key for edit in plain.device.rejected()] == [(3,)] and plain.device.verify().equal


def test_l13_children_of_a_table_without_its_key_are_written_and_wait_with_it(plain: World) -> None:
    plain.rebuild("p", "id INTEGER, code TEXT, uid TEXT")
    with pytest.raises(syncline.SynclineError) as caught:
        plain.device.sync()  # nothing can take part
    assert caught.value.code == "key_missing" and plain.said() == ["foreign_key_waits"]
    plain.app(
        "INSERT INTO p VALUES (3, 'z', 'u3')",
        "INSERT INTO c VALUES (3, 3, 'three')",
        "DELETE FROM c WHERE id = 1",
    )
    plain.app("CREATE UNIQUE INDEX p_key ON p (id)")
    plain.sync()
    assert plain.keys("c") == {("p", "p", "id")} and not plain.said()
    here, there = plain.rows("SELECT id, p, note FROM c ORDER BY 1")
    assert here == there == [(2, 2, "two"), (3, 3, "three")]
    assert plain.device.verify().equal and not plain.device.rejected()


def test_l12_doctor_says_which_foreign_key_of_the_application_points_at_what_is_not_unique(
    plain: World,
) -> None:
    plain.app("CREATE TABLE fav (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code))")
    (found,) = [one for one in examine(plain.file) if one.code in SPOKEN]
    assert found.code == "foreign_key_mismatch" and "fav" in found.sentence and "p (code)" in found.sentence
    plain.change(
        "INSERT INTO p VALUES (3, 'z', 'u3'); UPDATE p SET uid = 'u' WHERE id = 1; DELETE FROM c WHERE id = 2"
    )
    plain.device.sync()
    assert {row.object for row in plain.device.waiting()} <= {"foreign key of fav to p"}
    plain.app("CREATE UNIQUE INDEX own ON p (code)")
    plain.sync()
    assert not plain.said() and plain.device.verify().equal
