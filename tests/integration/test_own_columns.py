"""What an application keeps in columns of its own, in rows that the hub rejects (law L2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.rejected import rejected
from tests.support.application import sql
from tests.support.either import centre_with
from tests.support.either import run as run_at


def cloned(hub: syncline.Hub, *files: Path) -> None:
    for file in files:
        syncline.clone(hub, file).close()


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
