"""The application takes the key of a row that is hidden with a pending edit: both are kept (law L2), whether
or not its table was captured then."""

from __future__ import annotations

from pathlib import Path

import pytest

import syncline
from tests.support.application import sql

MADE_ANEW = (
    "CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, note TEXT)",
    "INSERT INTO fresh SELECT * FROM job",
    "DROP TABLE job",
    "ALTER TABLE fresh RENAME TO job",
)


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("is_captured", [True, False])
@pytest.mark.parametrize("verb", ["sync", "pull"])
def test_l2_an_edit_of_a_hidden_row_whose_key_is_taken_is_kept(
    tmp_path: Path, verb: str, is_captured: bool, more: bool
) -> None:
    """`more`: the row that has taken the key is edited when the table is captured again."""
    centre = tmp_path / "central.db"
    sql(centre, "CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT, note TEXT)")
    sql(centre, "INSERT INTO job VALUES (1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL)")
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        with syncline.clone(hub, str(tmp_path / "a.db")) as replica:
            sql(replica.file, "UPDATE job SET note = 'mine' WHERE id = 2")
            sql(centre, "DELETE FROM job WHERE id = 2")
            replica.pull()
            assert replica.status().hidden == 1
            if not is_captured:
                sql(replica.file, *MADE_ANEW)
            sql(replica.file, "INSERT INTO job VALUES (2, 'other', NULL)")
            if more:
                getattr(replica, verb)()
                sql(replica.file, "UPDATE job SET name = 'renamed' WHERE id = 2")
            getattr(replica, verb)()
            replica.sync()
            (edit,) = replica.rejected()
            assert (edit.op, edit.key, edit.code, edit.values) == ("U", (2,), "key_taken", {"note": "mine"})
            assert (replica.conflicts(), replica.status().hidden) == ([], 0)
            for file in (replica.file, centre):
                found = sql(file, "SELECT * FROM job WHERE id = 2")
                assert found == [(2, "renamed" if more else "other", None)]
