"""The suite's statements can be put in the words of another database."""

from __future__ import annotations

import re

from syncline.testing.conformance import Words


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
