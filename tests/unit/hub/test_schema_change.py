"""The hub beside tables that others alter: it follows them, and takes what devices of older schemas send."""

from __future__ import annotations

import pytest

from syncline import Table
from syncline.errors import BreakingChange, Malformed, SchemaChanged, WatermarkRefused
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m
from tests.unit.hub.desk import Desk, overrides

SCRIPT = """
CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, note TEXT);
INSERT INTO farm VALUES (1, 'Hill', 3, 'steep');
"""


@pytest.fixture
def desk() -> Desk:
    return Desk(SCRIPT)


def changed(desk: Desk, *statements: str) -> None:
    for statement in statements:
        desk.sql(statement)


def test_a_new_column_is_followed_without_init_and_said_to_an_older_device(desk: Desk) -> None:
    phone = desk.device("phone")
    changed(desk, "ALTER TABLE farm ADD COLUMN crop TEXT", "UPDATE farm SET crop = 'rye'")
    answer = phone.send(m.Pull(phone.watermark, 100, "phone", phone.schema.fingerprint))
    assert isinstance(answer, m.Changes)
    assert answer.schema == desk.hub.schema.fingerprint != phone.schema.fingerprint
    told = phone.send(m.SchemaQuery("phone"))
    assert isinstance(told, m.SchemaAnswer)
    crop = desk.hub.schema.table("farm").column("crop")
    assert crop.number == 4, "the numbers of others, the key's too, are never used again"
    page = phone.send(m.Snapshot("phone", answer.schema, table=0, columns=str(crop.number)))
    assert isinstance(page, m.SnapshotPage) and page.cursor is None


def test_an_older_device_goes_on_pushing_two_versions_behind(desk: Desk) -> None:
    phone = desk.device("phone")
    changed(desk, "ALTER TABLE farm ADD COLUMN crop TEXT NOT NULL DEFAULT 'grass'")
    desk.device("other")
    changed(desk, "ALTER TABLE farm ADD COLUMN soil TEXT")
    phone.insert("farm", 2, "Dale", 5, None)
    phone.update("farm", [1], {"size": 4})
    verdict = phone.push()
    assert verdict.schema == desk.hub.schema.fingerprint and not verdict.rejected
    assert desk.sql("SELECT * FROM farm ORDER BY id") == [
        (1, "Hill", 4, "steep", "grass", None),
        (2, "Dale", 5, None, "grass", None),
    ]


def test_a_renamed_column_is_the_same_column(desk: Desk) -> None:
    phone = desk.device("phone")
    changed(desk, "ALTER TABLE farm RENAME COLUMN name TO title", "ALTER TABLE farm RENAME TO estate")
    phone.update("farm", [1], {"name": "Mill"})
    assert not phone.push().rejected
    assert desk.sql("SELECT title FROM estate") == [("Mill",)]
    assert desk.hub.schema.table("estate").column("title").number == 0


def test_columns_that_traded_their_names_are_told_apart_after_further_changes(desk: Desk) -> None:
    changed(
        desk,
        "ALTER TABLE farm RENAME COLUMN name TO aside",
        "ALTER TABLE farm RENAME COLUMN note TO name",
        "ALTER TABLE farm RENAME COLUMN aside TO note",
    )
    for more in ("size2", "size3"):
        numbers = {column.name: column.number for column in desk.hub.schema.table("farm").columns}
        assert (numbers["note"], numbers["name"]) == (0, 2)
        changed(desk, f"ALTER TABLE farm ADD COLUMN {more} INTEGER")
    desk.hub.init()


def recreated(desk: Desk, columns: str, kept: str) -> None:
    """As other tools drop columns: a new table takes the place of the old one."""
    changed(
        desk,
        f"CREATE TABLE fresh ({columns})",
        f"INSERT INTO fresh SELECT {kept} FROM farm",
        "DROP TABLE farm",
        "ALTER TABLE fresh RENAME TO farm",
    )


def test_edits_of_a_dropped_column_are_refused_and_the_rest_of_the_row_is_kept(desk: Desk) -> None:
    phone = desk.device("phone")
    recreated(desk, "id INTEGER PRIMARY KEY, name TEXT, size INTEGER", "id, name, size")
    phone.update("farm", [1], {"size": 9, "note": "flat"}, at=9)
    phone.detail("farm", [1], {"size": 3, "note": "steep"}, ["Hill", 9, "flat"])
    phone.insert("farm", 2, "Dale", 5, "wet")
    phone.insert("farm", 3, "Ford", 6, None)
    verdict = phone.push()
    assert [(found.key, found.code, found.columns) for found in verdict.rejected] == [
        ([1], "column_dropped", [2]),
        ([2], "column_dropped", [2]),
    ]
    assert desk.sql("SELECT * FROM farm ORDER BY id") == [(1, "Hill", 9), (2, "Dale", 5), (3, "Ford", 6)]


def test_a_push_of_nothing_but_a_dropped_column_is_answered(desk: Desk) -> None:
    phone = desk.device("phone")
    recreated(desk, "id INTEGER PRIMARY KEY, name TEXT, size INTEGER", "id, name, size")
    phone.update("farm", [1], {"note": "flat"})
    message = phone.message()
    for repeat in (False, True):
        verdict = phone.send(message)
        assert isinstance(verdict, m.Verdict) and verdict.repeat is repeat
        assert [(found.code, found.columns) for found in verdict.rejected] == [("column_dropped", [2])]


def test_edits_of_a_table_that_is_gone_are_refused(desk: Desk) -> None:
    changed(desk, "CREATE TABLE barn (id INTEGER PRIMARY KEY, name TEXT)")
    phone = desk.device("phone")
    changed(desk, "DROP TABLE barn")
    phone.insert("barn", 1, "red")
    phone.delete("barn", 2, op="-")  # made and removed again
    phone.update("farm", [1], {"size": 9})
    verdict = phone.push()
    assert [(found.key, found.code) for found in verdict.rejected] == [([1], "table_dropped")]
    assert desk.sql("SELECT size FROM farm") == [(9,)]


def test_a_repeat_is_answered_without_rows_of_a_table_that_went_meanwhile(desk: Desk) -> None:
    changed(desk, "CREATE TABLE barn (id INTEGER PRIMARY KEY, paint TEXT NOT NULL DEFAULT 'red')")
    phone = desk.device("phone")
    phone.insert("barn", 1, None)
    phone.insert("farm", 2, "Dale", 5, None)
    request = phone.message()
    first = phone.send(request)
    assert isinstance(first, m.Verdict) and overrides(first) == [(1, "U", [[1, "red"]])]
    changed(desk, "DROP TABLE barn")
    again = phone.send(request)
    assert isinstance(again, m.Verdict) and again.repeat
    assert overrides(again) == []
    assert desk.sql("SELECT count(*) FROM farm") == [(2,)]


CANNOT_GO_ON = "devices that cannot go on with these tables: 1;"
GO_ON = (
    "devices that go on with these tables, but for rows of theirs that lack the value, which are rejected one"
    " by one until it has a default: 1;"
)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("id INTEGER PRIMARY KEY, name TEXT, size INTEGER NOT NULL, note TEXT", GO_ON),
        ("id INTEGER, name TEXT PRIMARY KEY, size INTEGER, note TEXT", CANNOT_GO_ON),
        ("id INTEGER PRIMARY KEY, name TEXT, size REAL, note BLOB", CANNOT_GO_ON),
    ],
)
def test_what_devices_cannot_follow_wants_yes_and_refuses_that_table(
    desk: Desk, columns: str, words: str
) -> None:
    changed(desk, "CREATE TABLE barn (id INTEGER PRIMARY KEY, name TEXT)")
    phone = desk.device("phone")
    phone.pull()
    recreated(desk, columns, "id, name, size, note")
    with pytest.raises(BreakingChange) as refused:
        desk.hub.init()
    assert words in refused.value.detail
    assert desk.hub.init(dry_run=True).warnings
    phone.update("farm", [1], {"size": 1})
    phone.insert("barn", 1, "red")
    message = phone.message()
    desk.hub.init(yes=True)
    verdict = phone.send(message)
    assert isinstance(verdict, m.Verdict)
    assert [(found.key, found.code) for found in verdict.rejected] == [([1], "table_changed")]
    assert desk.sql("SELECT name FROM barn") == [("red",)], "the others go on"
    assert "farm" in verdict.rejected[0].detail
    tablet = desk.device("tablet")
    tablet.insert("farm", *(["x", 7, 1, None] if "TEXT PRIMARY" in columns else [7, "x", 1, None]))
    assert not tablet.push().rejected


def test_a_device_whose_schema_is_older_than_a_table_is_not_concerned_by_what_becomes_of_it(
    desk: Desk,
) -> None:
    desk.device("old").pull()
    changed(desk, "CREATE TABLE barn (id INTEGER PRIMARY KEY, size INTEGER)")
    desk.hub.init()
    changed(desk, "DROP TABLE barn", "CREATE TABLE barn (id INTEGER PRIMARY KEY, size BLOB)")
    assert not desk.hub.init(dry_run=True).asks
    changed(desk, "DROP TABLE barn", "CREATE TABLE barn (id INTEGER PRIMARY KEY, size INTEGER)")
    desk.hub.init()
    desk.device("new").pull()
    changed(desk, "DROP TABLE barn", "CREATE TABLE barn (id INTEGER PRIMARY KEY, size BLOB)")
    for _ in range(2):  # it is out of service the second time, and the newer device does not have it then
        with pytest.raises(BreakingChange, match=r"barn.*cannot go on with these tables: 1;"):
            desk.hub.init()
        desk.device("new").pull()
    desk.hub.init(yes=True)


def test_a_schema_that_was_never_given_is_refused(desk: Desk) -> None:
    phone = desk.device("phone")
    with pytest.raises(SchemaChanged) as error:
        phone.send(m.Pull(phone.watermark, 100, "phone", "f" * 32))
    assert error.value.code == "schema_unknown"


def test_a_policy_that_travels_otherwise_takes_what_was_sent_before_as_it_was_meant() -> None:
    desk = Desk(SCRIPT, {"farm": Table(merge={"size": "sum"})})
    phone = desk.device("phone")
    phone.update("farm", [1], {"size": 2})
    message = phone.message()
    desk.hub = type(desk.hub)(desk.database, {"farm": Table()})
    desk.hub.init()
    verdict = desk.hub.handle(ANYONE, message)
    assert isinstance(verdict, m.Verdict) and verdict.schema == desk.hub.schema.fingerprint
    assert desk.sql("SELECT size FROM farm") == [(5,)], "a difference is added up"


def test_null_where_the_centre_has_a_default_gets_the_default(desk: Desk) -> None:
    changed(desk, "ALTER TABLE farm ADD COLUMN crop TEXT NOT NULL DEFAULT 'grass'")
    phone = desk.device("phone")
    phone.insert("farm", 2, "Dale", 5, None, None)
    phone.insert("farm", 3, "Ford", 6, None, "oats")
    verdict = phone.push()
    assert not verdict.rejected and verdict.digest
    assert desk.sql("SELECT id, crop FROM farm ORDER BY id") == [(1, "grass"), (2, "grass"), (3, "oats")]


def test_a_configuration_goes_on_meaning_what_it_meant_when_names_change() -> None:
    desk = Desk(SCRIPT, {"farm": Table(merge={"size": "sum"})})
    phone = desk.device("phone")
    changed(desk, "ALTER TABLE farm RENAME COLUMN size TO acres", "ALTER TABLE farm RENAME TO estate")
    phone.update("farm", [1], {"size": 2})
    assert not phone.push().rejected
    assert desk.sql("SELECT acres FROM estate") == [(5,)], "still a counter"
    later = type(desk.hub)(desk.database, {"farm": Table(merge={"size": "sum"})})
    assert later.schema.table("estate").column("acres").increment, "also for a server that starts later"


def test_which_tables_take_part_is_for_init_to_say_not_for_a_server_with_a_former_configuration() -> None:
    desk = Desk(SCRIPT + "CREATE TABLE barn (id INTEGER PRIMARY KEY);", {"farm": Table(), "barn": Table()})
    operator = type(desk.hub)(desk.database, {"farm": Table()})
    operator.init()
    assert [table.name for table in desk.hub.schema.tables] == ["farm"]
    changed(desk, "ALTER TABLE farm ADD COLUMN crop TEXT")
    assert [table.name for table in desk.hub.schema.tables] == ["farm"]
    assert desk.hub.schema.table("farm").column("crop")


def test_a_cursor_of_one_table_is_none_of_another(desk: Desk) -> None:
    desk.hub.limits = m.Limits(pull_rows=1)
    changed(
        desk, "INSERT INTO farm VALUES (2, 'Dale', 5, NULL)", "CREATE TABLE barn (id INTEGER PRIMARY KEY)"
    )
    phone = desk.device("phone")
    page = phone.send(m.Snapshot("phone", phone.schema.fingerprint, None, 1, table=0))
    assert isinstance(page, m.SnapshotPage) and page.cursor is not None
    with pytest.raises(WatermarkRefused):
        phone.send(m.Snapshot("phone", phone.schema.fingerprint, page.cursor, 1, table=1))
    with pytest.raises(Malformed):
        phone.send(m.Snapshot("phone", phone.schema.fingerprint, columns="1"))
