"""Which rows of a push go with a refused one: for random rows the same as looking from every row at every
other (laws L2 and L9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.hub.contract import Refusal, Stage, codes
from syncline.hub.dependents import RowId, pointing_at, with_dependents
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from syncline.protocol import messages as m
from tests.unit.hub.desk import Desk, Device, overrides
from tests.unit.hub.test_large_push import Large


def columns(*names: str) -> tuple[ColumnSchema, ...]:
    return tuple(ColumnSchema(name, "integer", "INTEGER") for name in names)


SCHEMA = Schema(
    (
        TableSchema("shop", columns("id", "code", "chain"), ("id",), (ForeignKey(("chain",), "shop", ()),)),
        TableSchema(
            "shelf", columns("shop", "place"), ("shop", "place"), (ForeignKey(("shop",), "shop", ()),)
        ),
        TableSchema("badge", columns("id"), ("id",), (ForeignKey(("id",), "shop", ()),)),  # nothing but a key
        TableSchema(
            "box",
            columns("id", "place", "shop", "label", "twin"),
            ("id",),
            (
                # In another order than the key's, and with a column that has another name.
                ForeignKey(("place", "shop"), "shelf", ("place", "shop")),
                ForeignKey(("label",), "shop", ("code",)),  # no key: known of some rows alone
                ForeignKey(("twin",), "box", ("id",)),
            ),
        ),
    )
)
SHOP, SHELF, BOX, BADGE = (SCHEMA.number_of(name) for name in ("shop", "shelf", "box", "badge"))
POINTS: dict[int, list[tuple[int, tuple[str, ...]]]] = {
    SHOP: [(SHOP, ("chain",))],
    SHELF: [(SHOP, ("shop",))],
    BADGE: [(SHOP, ("id",))],
    BOX: [(SHELF, ("shop", "place")), (BOX, ("twin",))],
}
"""By table: what its rows point at, and the columns with the key of that, in the order of the key."""
IDS = st.integers(1, 3)
POINTERS = st.none() | IDS


@st.composite
def pushes(draw: st.DrawFn) -> tuple[list[Stage], list[Refusal]]:
    """Stages in any order, some of their rows taken out before, and rows that the database refuses."""
    stages = []
    for table in draw(st.permutations([SHOP, SHELF, BOX, BOX, BADGE])):
        schema = SCHEMA.by_number[table]
        form = draw(st.sampled_from(["insert", "insert", "insert", "update", "delete"]))
        named = list(schema.values) if form == "insert" else []
        if form == "update":
            named = sorted(draw(st.sets(st.sampled_from(list(schema.values))))) if schema.values else []
        keys = draw(st.lists(st.tuples(*[IDS] * len(schema.key)), max_size=3, unique=True))
        rows: list[list[Any]] = [[*key, *(draw(POINTERS) for _ in named)] for key in keys]
        discarded = draw(st.sets(st.sampled_from(range(len(rows))), max_size=1)) if rows else set()
        stage = Stage(table, form, form[0].upper(), named, rows, [1] * len(rows), discarded=discarded)
        stages.append(stage)
    places = [
        (stage, row) for stage in stages for row in range(len(stage.rows)) if row not in stage.discarded
    ]
    refused = (
        draw(st.lists(st.sampled_from(places), max_size=3, unique_by=lambda p: (id(p[0]), p[1])))
        if places
        else []
    )
    return stages, [Refusal(stage, row, codes.CHECK, "no") for stage, row in refused]


def row_id(stage: Stage, row: int) -> RowId:
    return stage.table, tuple(stage.rows[row][: len(SCHEMA.by_number[stage.table].key)])


def codes_at(stage: Stage, row: int) -> set[RowId]:
    """The code of a shop that a staged row points at, in the form of a key."""
    names = [SCHEMA.by_number[stage.table].values[number].name for number in stage.columns]
    if stage.table != BOX or stage.form == "delete" or "label" not in names:
        return set()
    label = stage.rows[row][1 + names.index("label")]
    return set() if label is None else {(SHOP, ("code", label))}


def code_of(stage: Stage, row: int) -> set[RowId]:
    """The code that an inserted shop has, in the form of a key."""
    code = stage.rows[row][1] if stage.table == SHOP and stage.form == "insert" else None
    return set() if code is None else {(SHOP, ("code", code))}


def targets(stage: Stage, row: int, of_the_key: bool = False) -> set[RowId]:
    """The rows that a staged row will point at, as far as it says; `of_the_key`: as far as its key does."""
    schema = SCHEMA.by_number[stage.table]
    names = [*schema.key, *(schema.values[number].name for number in stage.columns)]
    values = dict(zip(names, stage.rows[row], strict=True))
    if stage.form == "delete":
        return set()
    found = [(table, own) for table, own in POINTS[stage.table] if values.keys() >= set(own)]
    found = [(table, own) for table, own in found if not of_the_key or set(own) & set(schema.key)]
    return {(table, tuple(values[name] for name in own)) for table, own in found}


def reached(
    stages: list[Stage], roots: Iterable[RowId], met: Iterable[Stage] = (), *, by_code: bool = False
) -> set[tuple[int, int]]:
    """The staged rows that cannot be there where these are not, looked for until there are no more."""
    own = {id(stage) for stage in met if stage.table not in (SHOP, BOX)}  # their keys are counted up
    absent, found = set(roots), set()
    while True:
        more = {
            (place, row)
            for place, stage in enumerate(stages)
            for row in range(len(stage.rows))
            if row not in stage.discarded
            and absent & targets(stage, row, id(stage) in own)
            | (absent & codes_at(stage, row) if by_code and id(stage) not in own else set())
        }
        if more <= found:
            return found
        found |= more
        absent |= {row_id(stages[place], row) for place, row in more if stages[place].form == "insert"}
        absent |= {code for place, row in more for code in code_of(stages[place], row)}


def places_of(stages: list[Stage], rows: Iterable[tuple[Stage, int]]) -> list[tuple[int, int]]:
    numbers = {id(stage): place for place, stage in enumerate(stages)}
    return [(numbers[id(stage)], row) for stage, row in rows]


@settings(max_examples=400, deadline=None)
@given(pushes())
def test_what_points_by_whatever_way_at_a_refused_insert_is_refused_and_nothing_else(
    push: tuple[list[Stage], list[Refusal]],
) -> None:
    stages, found = push
    result = with_dependents(SCHEMA, stages, found)
    assert result[: len(found)] == found
    first = places_of(stages, [(one.stage, one.row) for one in found])
    more = places_of(stages, [(one.stage, one.row) for one in result[len(found) :]])
    roots = {row_id(one.stage, one.row) for one in found if one.stage.form == "insert"}
    assert sorted([*first, *more]) == sorted(reached(stages, roots) | set(first))
    for place, refusal in enumerate(result[len(found) :], start=len(found)):
        parent = refusal.parent
        assert refusal.code == codes.FOREIGN_KEY and parent is not None
        assert parent in targets(refusal.stage, refusal.row)
        earlier = [row_id(one.stage, one.row) for one in result[:place] if one.stage.form == "insert"]
        assert parent in earlier  # whoever reads the reasons comes to the row that is to blame
        name = SCHEMA.by_number[parent[0]].name
        detail = f"the row of {name} with key {list(parent[1])!r} that it points at is not there"
        assert refusal.detail == detail


@st.composite
def met(draw: st.DrawFn) -> list[Stage]:
    """Inserts that met a row of their key, as they were sent."""
    stages, _ = draw(pushes())
    return [stage for stage in stages if stage.form == "insert"]


@settings(max_examples=300, deadline=None)
@given(pushes(), st.dictionaries(st.tuples(st.just(SHOP), st.tuples(IDS)), POINTERS, max_size=2), met())
def test_rows_that_point_at_a_row_of_another_s_are_found_with_the_row_they_point_at(
    push: tuple[list[Stage], list[Refusal]], taken: dict[RowId, int | None], others: list[Stage]
) -> None:
    """By their keys, and by their codes. Of the inserts that met a row only those that have their key from
    what they point at, or one that is counted up."""
    stages = [*push[0], *others]
    found = pointing_at(SCHEMA, push[0], taken, others, {row: {"code": code} for row, code in taken.items()})
    places = places_of(stages, [(stage, row) for stage, row, _ in found])
    told = {(SHOP, ("code", code)) for code in taken.values() if code is not None}
    assert sorted(places) == sorted(reached(stages, {*taken, *told}, others, by_code=True))
    for stage, row, parent in found:
        assert parent in targets(stage, row) or (codes_at(stage, row) and parent[0] == SHOP)
        known = [row_id(one, number) for one, number, _ in found if one.form == "insert"]
        assert parent in taken or parent in known


SHOPS = """
CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE shelf (shop INTEGER REFERENCES shop, place TEXT, note TEXT, PRIMARY KEY (shop, place));
CREATE TABLE box (
    id INTEGER PRIMARY KEY, shop INTEGER, place TEXT, FOREIGN KEY (shop, place) REFERENCES shelf
);
"""


def test_what_points_at_a_row_that_has_its_key_from_a_taken_one_goes_with_it() -> None:
    """There is such a shelf, and it is newer, so that the device's changes nothing in the centre: it is
    another one all the same, and its box belongs on no other."""
    desk = Desk(SHOPS)
    device, number = desk.device("one"), desk.hub.schema.number_of
    desk.sql("INSERT INTO shop VALUES (1, 'theirs')", at=5)
    desk.sql("INSERT INTO shelf VALUES (1, 'left', 'theirs')", at=5)
    device.insert("shop", 1, "mine")
    device.insert("shop", 2, "second")
    device.insert("shelf", 1, "left", "mine")
    device.insert("shelf", 2, "left", "mine")
    device.insert("box", 7, 1, "left")
    device.insert("box", 8, 2, "left")
    verdict = device.push()
    shop, shelf, box = (number(name) for name in ("shop", "shelf", "box"))
    assert {(one.table, *one.key): (one.code, one.parent) for one in verdict.rejected} == {
        (shop, 1): ("key_taken", None),
        (shelf, 1, "left"): ("parent_rejected", [shop, [1]]),
        (box, 7): ("parent_rejected", [shelf, [1, "left"]]),
    }
    assert verdict.conflicts == []
    assert sorted((table, op, *rows) for table, op, rows in overrides(verdict)) == [
        (shop, "U", [1, "theirs"]),
        (shelf, "U", [1, "left", "theirs"]),
        (box, "D", [7]),
    ]
    assert desk.sql("SELECT id FROM box") == [(8,)]


def test_what_points_at_a_unique_value_of_any_taken_row_goes_to_no_other() -> None:
    desk = Desk(
        "CREATE TABLE shop (id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
        "CREATE TABLE box (id INTEGER PRIMARY KEY, code TEXT REFERENCES shop (code));"
    )
    device, number = desk.device("one"), desk.hub.schema.number_of
    desk.sql("INSERT INTO shop VALUES (1, 'theirs'), (2, 'theirs, too'), (5, 'mine'), (6, 'mine, too')")
    device.insert("shop", 1, "mine")
    device.insert("shop", 2, "mine, too")
    for key, code in enumerate(["mine", "mine, too", "theirs", "theirs, too"]):
        device.insert("box", key, code)
    refused = {(one.table, *one.key, one.code) for one in device.push().rejected}
    shop, box = number("shop"), number("box")
    assert refused == {
        *((shop, key, "key_taken") for key in (1, 2)),
        *((box, key, "parent_rejected") for key in (0, 1)),
    }
    assert desk.sql("SELECT * FROM box") == [(2, "theirs"), (3, "theirs, too")]


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_l2_what_is_written_below_a_row_that_the_same_push_deletes_is_kept(action: str) -> None:
    """The device deleted the visit's farm, was shown it again for another's sake, and wrote below it."""
    desk = Desk(
        "CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT);"
        f"CREATE TABLE visit (id INTEGER PRIMARY KEY, farm INTEGER REFERENCES farm (id) ON DELETE {action},"
        " note TEXT);"
        "INSERT INTO farm VALUES (1, 'Hill'), (2, 'Dale');"
        "INSERT INTO visit VALUES (10, 1, 'old'), (11, 2, 'moved')"
    )
    device, visit = desk.device("one"), desk.hub.schema.number_of("visit")
    device.delete("farm", 1)
    device.insert("visit", 12, 1, "new", at=2)
    device.update("visit", [11], {"farm": 1}, at=2)
    device.insert("visit", 13, 2, "elsewhere", at=2)
    verdict = device.push()
    refused = [(one.table, one.key, one.code) for one in verdict.rejected]
    assert sorted(refused) == [(visit, [key], "foreign_key_violation") for key in (11, 12)]
    left = [] if action == "CASCADE" else [(10, None, "old")]
    assert desk.sql("SELECT * FROM farm") == [(2, "Dale")]
    assert desk.sql("SELECT * FROM visit") == [*left, (11, 2, "moved"), (13, 2, "elsewhere")]


class Farms:
    """A device that has deleted farms 1 and 3, was shown 1 again for another's sake, and wrote below it."""

    def __init__(self, action: str, *, hold: bool = False) -> None:
        self.desk = Desk(
            "CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE visit (id INTEGER PRIMARY KEY, farm INTEGER REFERENCES farm (id)"
            f" ON DELETE {action}, note TEXT, code TEXT UNIQUE);"
            "CREATE TABLE remark (id INTEGER PRIMARY KEY, visit INTEGER REFERENCES visit (id), text TEXT);"
            "INSERT INTO farm VALUES (1, 'Hill'), (2, 'Dale'), (3, 'Moor');"
            "INSERT INTO visit VALUES (10, 1, 'old', NULL), (11, 2, 'moved', NULL), (14, 3, 'low', NULL)"
        )
        self.device = self.desk.device("one")
        if hold:
            self.desk.sql("UPDATE farm SET name = 'newer' WHERE id = 1", at=9)
            self.device.detail("farm", [1], {"name": "Hill"}, None)

    def moved(self, device: Device) -> None:
        device.update("visit", [11], {"farm": 1, "note": "mine"}, at=2)
        device.update("visit", [14], {"farm": 1}, at=2)

    def made(self, device: Device) -> None:
        device.insert("visit", 12, 1, "new", "k", at=2)
        device.insert("visit", 13, 2, "elsewhere", None, at=2)
        device.insert("remark", 21, 12, "below", at=2)
        device.insert("remark", 22, 13, "elsewhere", at=2)

    def deleted(self, device: Device) -> None:
        device.delete("farm", 1)

    def deleted_too(self, device: Device) -> None:
        device.delete("farm", 3)

    def push(self) -> m.Verdict:
        return Large(self.device, self.moved, self.made, self.deleted, self.deleted_too).upload().commit()


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_l2_what_is_written_below_a_row_that_a_later_chunk_deletes_is_kept(action: str) -> None:
    farms = Farms(action)
    verdict, number = farms.push(), farms.desk.hub.schema.number_of
    visit, remark = number("visit"), number("remark")
    assert {(one.table, *one.key): one.code for one in verdict.rejected} == {
        (visit, 11): "foreign_key_violation",
        (visit, 12): "foreign_key_violation",
        (visit, 14): "foreign_key_violation",
        (remark, 21): "parent_rejected",
    }
    assert farms.desk.sql("SELECT id FROM farm") == [(2,)]
    gone = action == "CASCADE"
    assert farms.desk.sql("SELECT id, farm, note FROM visit") == [
        *([] if gone else [(10, None, "old")]),
        (11, 2, "moved"),
        (13, 2, "elsewhere"),
        *([] if gone else [(14, None, "low")]),
    ]
    assert farms.desk.sql("SELECT id FROM remark") == [(22,)]


def test_it_is_written_where_the_delete_loses() -> None:
    """Nobody can know before the last chunk."""
    farms = Farms("CASCADE", hold=True)
    verdict = farms.push()
    visit = farms.desk.hub.schema.number_of("visit")
    assert {(one.table, *one.key) for one in verdict.rejected} == {(visit, 14)}  # went with farm 3 before
    assert farms.desk.sql("SELECT id FROM farm") == [(1,), (2,)]
    assert farms.desk.sql("SELECT id, farm, note FROM visit") == [
        (10, 1, "old"),
        (11, 1, "mine"),
        (12, 1, "new"),
        (13, 2, "elsewhere"),
    ]
    assert farms.desk.sql("SELECT id FROM remark") == [(21,), (22,)]


def test_where_nothing_follows_a_delete_a_child_keeps_its_parent() -> None:
    verdict = Farms("NO ACTION").push()
    assert {one.code for one in verdict.rejected} == {"foreign_key_violation"}


class Deep:
    """A device that has deleted farm 1, and was shown it again for the sake of visit 10 and what is below."""

    def __init__(self, action: str) -> None:
        self.desk = Desk(
            "CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE visit (id INTEGER PRIMARY KEY, farm INTEGER REFERENCES farm (id) ON DELETE CASCADE,"
            " note TEXT);"
            "CREATE TABLE remark (id INTEGER PRIMARY KEY, visit INTEGER REFERENCES visit (id)"
            f" ON DELETE {action}, text TEXT);"
            "INSERT INTO farm VALUES (1, 'Hill'), (2, 'Dale');"
            "INSERT INTO visit VALUES (10, 1, 'of another'), (11, 2, 'stays');"
            "INSERT INTO remark VALUES (20, 10, 'of another'), (21, 11, 'stays')"
        )
        self.device = self.desk.device("one")

    def written(self, device: Device) -> None:
        device.update("visit", [10], {"note": "mine"}, at=2)
        device.update("visit", [11], {"note": "mine"}, at=2)

    def below(self, device: Device) -> None:
        device.insert("remark", 22, 10, "mine", at=2)
        device.update("remark", [20], {"text": "mine"}, at=2)
        device.update("remark", [21], {"text": "mine"}, at=2)

    def deleted(self, device: Device) -> None:
        device.delete("farm", 1)

    def push(self, is_large: bool) -> m.Verdict:
        fills = (self.written, self.below, self.deleted)
        if is_large:
            return Large(self.device, *fills).upload().commit()
        for fill in fills:
            fill(self.device)
        return self.device.push()


@pytest.mark.parametrize("is_large", [False, True])
def test_l2_what_is_written_into_a_row_that_goes_with_another_is_kept(is_large: bool) -> None:
    """By whatever way it goes, and though nothing that was sent says so."""
    deep = Deep("CASCADE")
    verdict, number = deep.push(is_large), deep.desk.hub.schema.number_of
    visit, remark = number("visit"), number("remark")
    assert {(one.table, *one.key): one.code for one in verdict.rejected} == dict.fromkeys(
        [(visit, 10), (remark, 20), (remark, 22)], "foreign_key_violation"
    )
    assert deep.desk.sql("SELECT * FROM visit") == [(11, 2, "mine")]
    assert deep.desk.sql("SELECT * FROM remark") == [(21, 11, "mine")]
    found = {(table, op, *row) for table, op, rows in overrides(verdict) for row in rows}
    assert found >= {(visit, "D", 10), (remark, "D", 20), (remark, "D", 22)}


@pytest.mark.parametrize("is_large", [False, True])
def test_what_stays_when_its_parent_goes_is_accepted(is_large: bool) -> None:
    deep = Deep("SET NULL")
    verdict, visit = deep.push(is_large), deep.desk.hub.schema.number_of("visit")
    assert [(one.table, one.key) for one in verdict.rejected] == [(visit, [10])]
    assert deep.desk.sql("SELECT id, text FROM remark") == [(20, "mine"), (21, "mine"), (22, "mine")]
