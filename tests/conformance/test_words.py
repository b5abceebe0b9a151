"""The suite's statements can be put in the words of another database."""

from __future__ import annotations

import math
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from syncline.testing.conformance import Words, World
from syncline.testing.conforms.evolving import renamed_key
from tests.conformance.test_sqlite import CYCLE, TRIGGER, SqliteCentre
from tests.conformance.test_sqlite import TestSqlite as Suite


class Foreign(Words):
    text, integer, bigint, double = "TEXT", "INT", "LONG", "DOUBLE"
    blob, key_text, key_blob = "BLOB", "KEYTEXT", "KEYBLOB"

    def insert(self, into: str, *rows: str) -> str:
        return " ".join(["INSERT ALL", *(f"INTO {into} VALUES {row}" for row in rows), "SELECT 1 FROM dual"])


TYPE = r"(?:TEXT|INT|LONG|DOUBLE|BLOB|KEYTEXT|KEYBLOB)"


def test_every_column_has_a_type_of_the_databases_own() -> None:
    for statement in (*Foreign().tables, *Foreign().values):
        body = statement[statement.index("(") + 1 : -1]
        parts = re.split(r", (?![^(]*\))", body)
        columns = [part for part in parts if not part.startswith(("PRIMARY KEY", "FOREIGN KEY"))]
        assert columns
        for column in columns:
            assert re.match(rf"\w+ {TYPE}\b", column), column


def test_what_a_key_or_an_index_or_a_foreign_key_has_is_a_text_for_keys() -> None:
    text = "\n".join((*Foreign().tables, *Foreign().values))
    for column in ("customer (id", "city", "customer_id", "contact (id INT PRIMARY KEY, name", "spot (a"):
        assert f"{column} KEYTEXT" in text
    assert "c KEYBLOB" in text


def test_an_upsert_inserts_as_the_database_does() -> None:
    assert (
        Foreign()
        .upsert("t", "id", "v", "(1, 2)", "(3, 4)")
        .startswith("INSERT ALL INTO t VALUES (1, 2) INTO t")
    )


class NamingCentre(SqliteCentre):
    """SQLite as if its triggers named columns and kept silent about rows whose key they cannot name."""

    def run(self, *statements: str) -> None:
        super().run(*statements)
        if any("RENAME COLUMN id" in statement for statement in statements):
            with closing(sqlite3.connect(self.path)) as connection:
                ours = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'customer'"
                for (name,) in connection.execute(ours).fetchall():
                    connection.execute(f'DROP TRIGGER "{name}"')


class NoRenamedKeys(Words):
    captures_renamed_keys = False


@pytest.mark.parametrize("words", [Words(), NoRenamedKeys()], ids=["all", "none"])
def test_a_database_may_say_that_it_captures_no_renamed_keys(tmp_path: Path, words: Words) -> None:
    world = World.prepared(NamingCentre(tmp_path / "central.db"), words, (*CYCLE, *TRIGGER))
    suite = Suite()
    if words.captures_renamed_keys:
        with pytest.raises(AssertionError):
            suite.test_l4_writes_before_between_and_after_reach_every_position(world, renamed_key)
    else:
        suite.test_l4_writes_before_between_and_after_reach_every_position(world, renamed_key)
    world.database.close()


class NoCascades(Words):
    captures_cascades = False


def test_a_database_that_captures_no_cascades_has_none_in_the_tables_of_the_tests(tmp_path: Path) -> None:
    assert "CASCADE" in "".join(Words().tables) and "CASCADE" not in "".join(NoCascades().tables)
    world = World.prepared(SqliteCentre(tmp_path / "central.db"), NoCascades(), (*CYCLE, *TRIGGER))
    with pytest.raises(pytest.skip.Exception):
        Suite().test_l4_cascades_are_captured(world)
    with pytest.raises(pytest.fail.Exception):  # SQLite does not refuse them: it captures them
        Suite().test_l4_a_table_whose_rows_go_with_others_takes_part_only_where_that_is_captured(world)
    world.database.close()


class ByPlace(Words):
    knows_columns = infinite_floats = False


def test_a_database_may_say_that_it_does_not_tell_columns_that_traded_names(tmp_path: Path) -> None:
    """SQLite does: where it is said not to, the suite asks for the numbers by name."""
    for words in (Words(), ByPlace()):
        path = tmp_path / f"{words.knows_columns}.db"
        world = World.prepared(SqliteCentre(path), words, (*CYCLE, *TRIGGER))
        if words.knows_columns:
            Suite().test_columns_that_trade_names_trade_numbers(world)
        else:
            with pytest.raises(AssertionError):
                Suite().test_columns_that_trade_names_trade_numbers(world)
        world.database.close()


def test_a_database_without_infinite_floats_gets_the_others(tmp_path: Path) -> None:
    world = World.prepared(SqliteCentre(tmp_path / "central.db"), ByPlace(), (*CYCLE, *TRIGGER))
    Suite().test_a_scan_gives_whole_rows_in_canonical_order(world)
    floats = [row[3] for row in world.rows("spot") if isinstance(row[3], float)]
    assert len(set(floats)) > 5 and all(map(math.isfinite, floats))
    world.database.close()
