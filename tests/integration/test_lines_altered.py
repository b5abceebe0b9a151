"""What is recorded of tracked tables in a PostgreSQL centre, altered by hand: said by table, row and column
(law L12)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import LedgerDamaged, SynclineError
from tests.support.application import sql
from tests.support.either import run
from tests.support.postgres import PostgresCentre

MADE = (
    "CREATE TYPE shade AS ENUM ('dark', 'light')",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, s shade)",
    "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT) PARTITION BY RANGE (id)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
    "INSERT INTO t VALUES (1, 'x', 'dark')",
)
CELLS = [
    *(("labels", text) for text in ("[1]", "", "null", '{"1": 2}')),
    *(("log_key", text) for text in ("[null]", "x", "{}", "[[1]]")),
    *(("columns", text) for text in ("[null]", "", '{"1": null}', "7")),
    *(("attached", text) for text in ("9", "{}", "[1]", "")),
]
VERBS: dict[str, Callable[[syncline.Hub, Path], Any]] = {
    "init": lambda hub, file: hub.init(),
    "check": lambda hub, file: hub.check(),
    "look": lambda hub, file: hub.look(),
    "conflicts": lambda hub, file: hub.conflicts(),
    "replicas": lambda hub, file: hub.replicas(),
    "examine": lambda hub, file: hub.examine(),
    "clone": lambda hub, file: syncline.clone(hub, file.with_name("n.db")).close(),
    "sync": lambda hub, file: syncline.connect(file, hub).sync(),
}


@pytest.mark.parametrize(("column", "text"), CELLS)
def test_l12_a_cell_of_the_recorded_tables_was_altered(
    postgres_url: str, tmp_path: Path, column: str, text: str
) -> None:
    run(postgres_url, *MADE)
    file = tmp_path / "d.db"
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        syncline.clone(hub, file).close()
    sql(file, "UPDATE t SET v = 'mine'")
    run(postgres_url, f"UPDATE syncline.tables SET {column} = '{text}' WHERE central_name = 't'")
    refused = 0
    for verb in VERBS.values():
        file.with_name("n.db").unlink(missing_ok=True)
        with syncline.Hub(postgres_url) as hub:
            try:
                verb(hub, file)
            except SynclineError as error:
                refused += 1
                assert isinstance(error, LedgerDamaged), error
                assert f"syncline.tables, row 1: the column {column} was altered" in error.detail
    with PostgresCentre(postgres_url).connect() as other:
        (now,) = other.execute(f"SELECT {column} FROM syncline.tables WHERE central_name = 't'".encode())
    assert refused or now != (text,), "it is refused, or written anew"


def test_lines_that_nobody_has_altered_are_sound(postgres_url: str) -> None:
    run(postgres_url, *MADE)
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        assert not [one for one in hub.examine() if one.code == "ledger_damaged"]
