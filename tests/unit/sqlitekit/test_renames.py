"""Names after ALTER TABLE ... RENAME, told from the text of triggers by SQLite itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from syncline.sqlitekit.renames import renamed_columns

TRIGGER = (
    'CREATE TRIGGER watch AFTER UPDATE ON "t" WHEN NEW."a" IS NOT OLD."a" COLLATE BINARY OR NEW."b c" IS NOT'
    ' OLD."b c"\nBEGIN\n  INSERT INTO log (what, old) SELECT \'a\', OLD."a" || quote(OLD."b c") || r."t"'
    ' FROM one, "t" AS r WHERE r."id" = NEW."id";\nEND'
)


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE "t" ("id" INTEGER PRIMARY KEY, "a", "b c" TEXT, "t", other)')
    connection.execute("CREATE TABLE log (what, old)")
    connection.execute("CREATE TABLE one (id, a)")
    connection.execute(TRIGGER)
    yield connection
    connection.close()


def _now(file: sqlite3.Connection, *statements: str) -> str:
    for statement in statements:
        file.execute(statement)
    (sql,) = file.execute("SELECT sql FROM sqlite_master WHERE name = 'watch'").fetchone()
    return str(sql)


def test_a_trigger_that_is_as_it_was_names_no_other_column(file: sqlite3.Connection) -> None:
    assert renamed_columns(TRIGGER, _now(file, "ALTER TABLE t ADD COLUMN more")) == {}


@pytest.mark.parametrize("name", ["z", "z z", 'q"q', "select", "\u05e9", "t", "what"])
def test_a_renamed_column_is_found_whatever_it_is_called_now(file: sqlite3.Connection, name: str) -> None:
    if name == "t":
        file.execute("ALTER TABLE t RENAME COLUMN t TO u")
    quoted = '"' + name.replace('"', '""') + '"'
    found = renamed_columns(TRIGGER, _now(file, f"ALTER TABLE t RENAME COLUMN a TO {quoted}"))
    assert found == ({"a": "t", "t": "u"} if name == "t" else {"a": name})


def test_columns_that_have_traded_names_are_told_apart(file: sqlite3.Connection) -> None:
    swap = ['a TO "x"', '"b c" TO a', 'x TO "b c"']
    found = renamed_columns(TRIGGER, _now(file, *(f"ALTER TABLE t RENAME COLUMN {one}" for one in swap)))
    assert found == {"a": "b c", "b c": "a"}


def test_a_renamed_table_is_no_renamed_column_also_if_a_column_has_its_name(file: sqlite3.Connection) -> None:
    present = _now(file, 'ALTER TABLE "t" RENAME TO "new t"', 'ALTER TABLE "new t" RENAME COLUMN id TO "k"')
    assert renamed_columns(TRIGGER, present) == {"id": "k"}


def test_columns_of_update_of_are_found(file: sqlite3.Connection) -> None:
    file.execute("DROP TRIGGER watch")
    sql = 'CREATE TRIGGER watch AFTER UPDATE OF "t", "id" ON "t" BEGIN DELETE FROM "t"; END'
    file.execute(sql)
    present = _now(file, "ALTER TABLE t RENAME COLUMN t TO u", "ALTER TABLE t RENAME TO u")
    assert renamed_columns(sql, present) == {"t": "u"}


@pytest.mark.parametrize(
    "present",
    [
        TRIGGER.replace("IS NOT OLD", "IS OLD", 1),
        TRIGGER.replace("'a'", "'b'"),
        TRIGGER.replace('NEW."a"', 'NEW."z"', 1),
        TRIGGER + " ",
    ],
)
def test_a_trigger_that_somebody_wrote_anew_tells_nothing(present: str) -> None:
    assert renamed_columns(TRIGGER, present) == ({} if present.endswith(" ") else None)


WORDS = ["what", "old", "OLD", "NEW", "NULL", "one", "r", "watch", "log", "quote", "select", "t"]
SAYING = (
    'CREATE TRIGGER watch AFTER UPDATE ON "t" WHEN NEW."{0}" IS NOT OLD."{0}" BEGIN INSERT INTO log'
    ' (what, old) SELECT NULL, quote(r."{0}") FROM one, "t" AS r'
    ' WHERE r."id" = OLD."id" AND one.what = r."{0}"; END'
)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("is_new", [False, True])
def test_a_column_may_be_called_as_anything_else_in_the_trigger(word: str, is_new: bool) -> None:
    """Only what is named of a row is a column; the same word stands elsewhere, and stays."""
    former, now = ("other_", word) if is_new else (word, "other_")
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute(f'CREATE TABLE "t" ("id" INTEGER PRIMARY KEY, "{former}")')
        file.execute("CREATE TABLE log (what, old)")
        file.execute("CREATE TABLE one (what)")
        file.execute(SAYING.format(former))
        present = _now(file, f'ALTER TABLE t RENAME COLUMN "{former}" TO "{now}"')
    assert renamed_columns(SAYING.format(former), present) == {former: now}
