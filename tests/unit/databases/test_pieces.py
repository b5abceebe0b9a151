"""Pieces that several statements of an adapter have."""

from __future__ import annotations

from importlib.resources import files

import pytest

from syncline.databases.base.text import pieced, statements

POSTGRESQL = "syncline.databases.postgresql"


def test_a_piece_stands_in_a_statement_with_its_argument() -> None:
    plain = statements(POSTGRESQL, "prepare.sql")["relids"]
    assert "{{partitions t.relid::oid}}" in plain
    whole, piece = (
        pieced(POSTGRESQL, "prepare.sql")["relids"],
        statements(POSTGRESQL, "pieces.sql")["partitions"],
    )
    assert whole == plain.replace("{{partitions t.relid::oid}}", piece.replace("{}", "t.relid::oid"))


@pytest.mark.parametrize(
    "file", [file.name for file in files(POSTGRESQL).iterdir() if file.name.endswith(".sql")]
)
def test_no_piece_is_left_unnamed(file: str) -> None:
    if file != "pieces.sql":
        assert not [name for name, text in pieced(POSTGRESQL, file).items() if "{{" in text or "}}" in text]
