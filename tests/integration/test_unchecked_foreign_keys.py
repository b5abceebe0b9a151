"""Foreign keys that the centre checks alone: what they take or empty no device has done itself, so that the
hub keeps it as a conflict (laws L2, L12), and writes parents before children by them, too (L9)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.model.schema import from_plain, to_plain
from syncline.replica.replica import Replica
from tests.support.postgres import PostgresCentre

CI = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
NOT_VALID = (
    "CREATE TABLE user_ (email varchar(9) PRIMARY KEY, other varchar(9) UNIQUE)",
    "CREATE TABLE post (id int PRIMARY KEY, email varchar(9), note text)",
    "INSERT INTO user_ VALUES ('Anna', 'other')",
    "INSERT INTO post VALUES (1, 'Anna', 'precious')",
    "ALTER TABLE post ADD FOREIGN KEY (email) REFERENCES user_ ON UPDATE CASCADE {action} NOT VALID",
)
FOLDED = (
    "CREATE TABLE user_ (email {type} PRIMARY KEY, other text)",
    "CREATE TABLE post (id int PRIMARY KEY, email {type} REFERENCES user_ {action}, note text)",
    "INSERT INTO user_ VALUES ('Anna', 'other')",
    "INSERT INTO post VALUES (1, 'Anna', 'precious')",
)
KINDS = {
    "not valid": (NOT_VALID, "", "Bea"),
    "collation": ((CI, *FOLDED), "text COLLATE ci", "ANNA"),
    "citext": (("CREATE EXTENSION IF NOT EXISTS citext", *FOLDED), "citext", "Bea"),
}
"""What is made, the type of the key, and another spelling of it, or another key."""


@contextmanager
def desk(url: str, file: Path, *ddl: str) -> Iterator[tuple[PostgresCentre, Replica]]:
    """A centre with these tables, and a device that has them."""
    centre = PostgresCentre(url)
    centre.run(*ddl)
    with syncline.Hub(url) as hub:
        hub.init()
        with syncline.clone(hub, file) as replica:
            yield centre, replica


def edit(replica: Replica, *statements: str) -> None:
    with closing(sqlite3.connect(replica.file)) as app:
        app.execute("PRAGMA foreign_keys = ON")
        for statement in ("BEGIN", *statements, "COMMIT"):
            app.execute(statement)


def kept(replica: Replica) -> list[tuple[Any, ...]]:
    return [(n.table, n.key, n.column, n.outcome, n.policy, n.hub) for n in replica.conflicts()]


@pytest.mark.parametrize("edited", ["UPDATE user_ SET email = '{new}'", "DELETE FROM user_"])
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
@pytest.mark.parametrize("kind", KINDS)
def test_l2_what_goes_by_a_foreign_key_that_devices_do_not_check_is_kept(
    kind: str, action: str, edited: str, postgres_url: str, tmp_path: Path
) -> None:
    ddl, column, new = KINDS[kind]
    texts = [text.format(type=column, action=f"ON DELETE {action}") for text in ddl]
    with desk(postgres_url, tmp_path / "a.db", *texts) as (_, replica):
        edit(replica, edited.format(new=new))
        preview = replica.preview()
        report = replica.sync().push
        assert (len(preview.conflicts), report.conflicts, report.rejected) == (1, 1, ())
        note: list[tuple[Any, ...]] = [("post", [1], None, "replica", "cascade", ["Anna", "precious"])]
        if action == "SET NULL":
            note = [("post", [1], "email", "replica", "set_null", "Anna")]
        assert kept(replica) == note
        assert replica.verify().equal


def test_a_row_below_that_the_device_deletes_itself_is_no_conflict(postgres_url: str, tmp_path: Path) -> None:
    texts = [text.format(action="ON DELETE CASCADE") for text in NOT_VALID]
    with desk(postgres_url, tmp_path / "a.db", *texts) as (_, replica):
        edit(replica, "DELETE FROM post", "UPDATE user_ SET email = 'Bea'")
        assert (replica.sync().push.conflicts, kept(replica)) == (0, [])


def test_l12_what_a_changed_value_empties_by_such_a_key_is_kept(postgres_url: str, tmp_path: Path) -> None:
    texts = [
        *(text.format(action="") for text in NOT_VALID[:-1]),
        "UPDATE post SET email = 'other'",
        "ALTER TABLE post ADD FOREIGN KEY (email) REFERENCES user_ (other) ON UPDATE SET NULL NOT VALID",
    ]
    with desk(postgres_url, tmp_path / "a.db", *texts) as (_, replica):
        edit(replica, "UPDATE user_ SET other = 'new'")
        assert replica.sync().push.conflicts == 1
        assert kept(replica) == [("post", [1], "email", "replica", "set_null", "other")]


def test_l12_what_an_action_empties_that_the_centre_alone_does_is_kept(
    postgres_url: str, tmp_path: Path
) -> None:
    texts = [
        "CREATE TABLE box (a text, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE lid (id int PRIMARY KEY, a text NOT NULL, b int,"
        " FOREIGN KEY (a, b) REFERENCES box ON DELETE SET NULL (b))",
        "INSERT INTO box VALUES ('x', 1)",
    ]
    with desk(postgres_url, tmp_path / "a.db", *texts) as (centre, replica):
        centre.run("INSERT INTO lid VALUES (1, 'x', 1)")
        edit(replica, "DELETE FROM box")
        assert replica.sync().push.conflicts == 1
        assert kept(replica) == [("lid", [1], "b", "replica", "set_null", 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_l9_a_parent_is_written_before_a_child_whose_foreign_key_devices_do_not_check(
    kind: str, postgres_url: str, tmp_path: Path
) -> None:
    ddl, column, _ = KINDS[kind]
    texts = [text.format(type=column, action="") for text in ddl]
    child = "Bob" if kind == "not valid" else "BOB"
    with desk(postgres_url, tmp_path / "a.db", *texts) as (_, replica):
        edit(
            replica, f"INSERT INTO post VALUES (2, '{child}', 'kid')", "INSERT INTO user_ VALUES ('Bob', '')"
        )
        assert replica.sync().push.rejected == ()
        edit(replica, "DELETE FROM user_ WHERE email = 'Bob'", "DELETE FROM post WHERE id = 2")
        assert replica.sync().push.rejected == ()
        assert replica.verify().equal


def test_such_keys_come_through_the_plain_form_and_a_table_without_says_nothing_of_them(
    postgres_url: str,
) -> None:
    PostgresCentre(postgres_url).run(*(text.format(action="") for text in NOT_VALID))
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        plain = to_plain(hub.schema)
        assert from_plain(plain) == hub.schema
        assert [table["name"] for table in plain["tables"] if "unchecked" in table] == ["post"]
