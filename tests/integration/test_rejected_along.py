"""Why a delete is rejected that would only take along what a trigger keeps: the reason names it (law L12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.protocol.messages import Limits
from tests.support.either import centre_with

DDL = (
    "CREATE TABLE farm (id BIGINT PRIMARY KEY)",
    "CREATE TABLE visit (id BIGINT PRIMARY KEY, farm BIGINT REFERENCES farm (id) ON DELETE CASCADE)",
    "CREATE TABLE remark (id BIGINT PRIMARY KEY, visit BIGINT REFERENCES visit (id) ON DELETE CASCADE,"
    " shut INTEGER)",
    "INSERT INTO farm VALUES (1), (2)",
    "INSERT INTO visit VALUES (10, 1), (20, 2)",
    "INSERT INTO remark VALUES (100, 10, 1), (200, 20, 0)",
)
GUARDS = {
    "sqlite": (
        "CREATE TRIGGER guard BEFORE DELETE ON remark WHEN old.shut = 1"
        " BEGIN SELECT RAISE(ABORT, 'it is shut'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.shut = 1 THEN"
        " RAISE EXCEPTION 'it is shut'; END IF; RETURN OLD; END $$",
        "CREATE TRIGGER guard BEFORE DELETE ON remark FOR EACH ROW EXECUTE FUNCTION guard()",
    ),
}


@pytest.mark.parametrize("rows", [1000, 1], ids=["in one piece", "in chunks"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_l12_a_delete_that_would_take_along_what_a_trigger_keeps_says_which_row(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, rows: int
) -> None:
    url = centre_with(request, kind, tmp_path, *DDL, *GUARDS[kind])
    with syncline.Hub(url, limits=Limits(push_rows=rows)) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as device:
            with closing(sqlite3.connect(device.file)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                with connection:
                    connection.execute("DELETE FROM farm")
            device.sync()
            why = {(edit.table, *edit.key): edit for edit in device.rejected()}
            assert why.keys() == {("farm", 1), ("visit", 10), ("remark", 100)}
            assert {edit.code for edit in why.values()} == {"rejected_by_trigger"}
            assert "along" not in why["remark", 100].detail
            assert "take along the row of remark with key [100]" in why["visit", 10].detail
            assert "take along the row of visit with key [10]" in why["farm", 1].detail
            assert all("it is shut" in edit.detail for edit in why.values())
            assert device.verify().equal
