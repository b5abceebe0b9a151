"""The centre deletes a row to which rows of a table refer that cannot take part now: they stay, whatever
their foreign key says, and what was written there is sent, or kept, when the table fits again (law L2)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

import syncline
from tests.support.application import sql


def made_anew(columns: str) -> tuple[str, ...]:
    return (
        f"CREATE TABLE fresh ({columns})",
        "INSERT INTO fresh SELECT * FROM part",
        "DROP TABLE part",
        "ALTER TABLE fresh RENAME TO part",
    )


@pytest.mark.parametrize("action", ["ON DELETE CASCADE", "ON DELETE SET NULL", ""])
@pytest.mark.parametrize("local_rows", ["refuse", "cascade", "null"])
def test_l2_rows_of_a_table_that_is_aside_keep_the_row_that_they_refer_to(
    tmp_path: Path, action: str, local_rows: Literal["refuse", "cascade", "null"]
) -> None:
    centre, columns = tmp_path / "central.db", f"job INTEGER REFERENCES job (id) {action}, title TEXT"
    sql(centre, "CREATE TABLE job (id INTEGER PRIMARY KEY, title TEXT)")
    sql(centre, f"CREATE TABLE part (id INTEGER PRIMARY KEY, {columns})")
    sql(centre, "INSERT INTO job VALUES (1, 'a'), (2, 'b')")
    sql(centre, "INSERT INTO part VALUES (1, 1, 'x')")
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        file = tmp_path / "device.db"
        syncline.clone(hub, file).close()
        sql(file, "INSERT INTO part VALUES (9, 2, 'mine')", *made_anew(f"id INTEGER, {columns}"))
        sql(centre, "DELETE FROM job WHERE id = 2")
        with syncline.connect(file, hub, local_rows=local_rows) as replica:
            assert [one.table for one in replica.sync().unable] == ["part"]
            assert [(row.table, row.key) for row in replica.waiting()] == [("job", (2,))]
            assert sql(file, "SELECT * FROM part WHERE id = 9") == [(9, 2, "mine")]
        sql(file, *made_anew(f"id INTEGER PRIMARY KEY, {columns}"))
        with syncline.connect(file, hub) as replica:
            replica.sync()
            replica.sync()
            kept = [(one.key, one.code, one.values) for one in replica.rejected()]
            assert kept == [((9,), "foreign_key_violation", {"job": 2, "title": "mine"})]
            assert replica.waiting() == [] and replica.verify().equal
        for table in ("job", "part"):
            assert sql(file, f"SELECT * FROM {table}") == sql(centre, f"SELECT * FROM {table}")
