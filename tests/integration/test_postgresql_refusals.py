"""Whose fault an error is: that of the row that raised it, at whatever state; the other rows go on."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.databases.base.steps import StepwiseApplication
from syncline.databases.postgresql.apply import Application
from syncline.errors import Conflict, DatabaseError, NotPrepared
from syncline.hub.contract import codes
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make

RAISING = (
    "CREATE TABLE t (id int PRIMARY KEY, a int)",
    "CREATE TABLE u (id int PRIMARY KEY, a int)",
    "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.a < 0 THEN"
    " RAISE EXCEPTION 'period is closed' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER closed BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION closed()",
    "INSERT INTO t VALUES (1, 1), (2, 2)",
)
STATES = (
    "P0001 P0004 55000 57014 53100 42P01 42501 0A000 XX000 54001 08006 25006 58030 2F003 40001 40P01 55P03"
)
TRIED_AGAIN = frozenset(["40001", "40P01", "55P03"])


def raising(make: Make, state: str) -> World:
    return make(*(text.replace("{state}", state) for text in RAISING))


@pytest.mark.parametrize("state", STATES.split())
def test_what_a_trigger_raises_is_the_rows_own_at_any_state(make: Make, state: str) -> None:
    world = raising(make, state)
    with world.database.write(UNBOUNDED) as transaction:
        transaction.wait_longer(1, 10.0)
        stage = world.stage("update", "t", [[1, -1], [2, 22]])
        transaction.rows.stage(stage)
        transaction.rows.lock([stage])
        (refusal,) = transaction.rows.apply([stage], "r1")
        assert (refusal.row, "period is closed" in refusal.detail) == (0, True)
        transaction.rows.discard(stage, [0])
        assert transaction.rows.apply([stage], "r1") == []
    assert world.rows("t") == [[1, 1], [2, 22]]


@pytest.mark.parametrize("state", sorted(set(STATES.split()) - TRIED_AGAIN))
def test_a_row_that_is_alone_is_refused_like_any_other(make: Make, state: str) -> None:
    world = raising(make, state)
    assert world.push_what_fits(world.stage("update", "t", [[1, -1]])) == {("t", (1,))}


@pytest.mark.parametrize("state", sorted(TRIED_AGAIN))
def test_a_state_that_asks_for_another_try_gets_one(make: Make, state: str) -> None:
    world = raising(make, state)
    with pytest.raises(Conflict, match="period is closed"):
        world.push(world.stage("update", "t", [[1, -1]]))


def test_a_broken_trigger_stops_the_rows_of_its_table_alone(make: Make) -> None:
    world = make(
        *RAISING[:2],
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO gone VALUES (NEW.id); RETURN NEW; END $$",
        "CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
    )
    refused = world.push(world.stage("insert", "t", [[1, 1]]), world.stage("insert", "u", [[1, 1]]))
    assert [(world.row_of(one), one.code) for one in refused] == [(("t", (1,)), codes.TRIGGER)]


def test_what_the_values_are_too_deep_or_too_long_for_is_the_rows_own(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, j jsonb)")
    deep = "[" * 20000 + "]" * 20000
    (refusal,) = world.push(world.stage("insert", "t", [[1, deep], [2, "[]"]]))
    assert (refusal.row, refusal.code) == (0, codes.INVALID)


def test_a_table_that_is_gone_is_no_rows_fault(make: Make) -> None:
    world = make(*RAISING[:2])
    stage = world.stage("insert", "t", [[1, 1]])
    with pytest.raises(NotPrepared), world.database.write(UNBOUNDED) as transaction:
        world.run("ALTER TABLE t RENAME TO elsewhere")
        transaction.rows.stage(stage)
        transaction.rows.lock([stage], hopeful=True)
        transaction.rows.apply([stage], "r1")


def test_a_statement_that_takes_too_long_for_a_row_refuses_that_row(make: Make) -> None:
    world = make(
        *RAISING[:2],
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.a = 7 THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", [[1, 7], [2, 8]])
        transaction.rows.stage(stage)
        transaction.rows.lock([stage])
        transaction.rows._session.script("SET LOCAL statement_timeout = 200")  # type: ignore[attr-defined]
        (refusal,) = transaction.rows.apply([stage], "r1")
    assert (refusal.row, refusal.code) == (0, codes.TRIGGER)


def test_keys_that_the_collation_takes_for_equal_are_refused_as_such(make: Make) -> None:
    world = make(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE t (id text COLLATE ci PRIMARY KEY, a int)",
        "INSERT INTO t VALUES ('Abc', 1)",
    )
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", [["ABC", 9], ["other", 9]])
        update = world.stage("update", "t", [["aBC", 5], ["Abc", 2]])
        for one in (stage, update):
            transaction.rows.stage(one)
        assert transaction.rows.lock([stage, update]) == [[], [0]]
        transaction.rows.discard(update, [0])
        (refusal,) = transaction.rows.apply([stage, update], "r1")
    assert (world.row_of(refusal), refusal.code) == (("t", ("ABC",)), codes.UNIQUE)
    assert world.push_what_fits(world.stage("insert", "t", [["x", 1], ["X", 2]])) == {("t", ("X",))}


def test_a_server_that_says_no_to_everything_is_no_rows_fault(make: Make) -> None:
    world = make(*RAISING[:2])
    with pytest.raises(DatabaseError), world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", [[1, 1], [2, 2]])
        transaction.rows.stage(stage)
        transaction.rows.lock([stage])
        transaction.rows._session.script("SET LOCAL transaction_read_only = on")  # type: ignore[attr-defined]
        transaction.rows.apply([stage], "r1")


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("numeric(4,1)", "1.5", "1.55"),
        ("numeric(4,1)", "1.0", "123456.0"),
        ("timestamp(0)", "2024-01-01T00:00:02", "2024-01-01T00:00:01.6"),
        ("real", 1.5, 0.1),
        ("char(3)", "abc", "abcd"),
        ("date", "2024-02-29", "2024-02-30"),
        ("int", 1, 2**31),
    ],
)
def test_a_key_that_its_column_would_round_or_cannot_hold_is_refused(
    make: Make, type_: str, good: Value, bad: Value
) -> None:
    world = make(f"CREATE TABLE t (id {type_} PRIMARY KEY, a int)")
    refused = world.push(world.stage("insert", "t", [[good, 1], [bad, 2]]))
    assert [(one.row, one.code) for one in refused] == [(1, codes.INVALID)]
    assert world.push_what_fits(world.stage("insert", "t", [[good, 1], [bad, 2]])) == {("t", (bad,))}
    assert world.rows("t") == [[good, 1]]


@pytest.mark.parametrize(
    "how",
    [
        "CREATE FUNCTION soft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE t SET gone = 1 WHERE id = OLD.id AND kept = 0; RETURN NULL; END $$;"
        " CREATE TRIGGER soft BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION soft()",
        "CREATE RULE soft AS ON DELETE TO t WHERE OLD.id < 9 DO INSTEAD"
        " UPDATE t SET gone = 1 WHERE id = OLD.id AND kept = 0",
    ],
    ids=["trigger", "rule"],
)
def test_a_delete_that_became_an_update_is_accepted_and_told_as_an_update(make: Make, how: str) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, gone int, kept int)",
        how,
        "INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 1)",
    )
    start = world.now()
    assert world.push_what_fits(world.stage("delete", "t", [[1], [3]])) == {("t", (3,))}
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("delete", "t", [[2]])
        transaction.rows.stage(stage)
        transaction.rows.lock([stage])
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == [0]
    assert world.rows("t") == [[1, 1, 0], [2, 1, 0], [3, 0, 1]]
    assert world.since(start, "r1") == {"t": {(1,): {"gone"}, (2,): {"gone"}}}
    with world.database.write(UNBOUNDED) as transaction:
        edit = world.stage("update", "t", [[1, 7]], ["kept"])
        transaction.rows.stage(edit)
        transaction.rows.lock([edit])
        rivals = transaction.rows.rivals(edit, [start], [], "r2")
        assert [(rival.op, rival.mask, rival.origin) for rival in rivals] == [("U", 1, "hub")]


def test_a_delete_that_became_an_update_is_told_as_one_where_rows_were_tried_one_by_one(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, parent int, gone int)",
        "CREATE FUNCTION soft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM t WHERE parent = OLD.id) THEN RAISE 'the row has children'; END IF;"
        " IF OLD.id > 9 THEN RETURN OLD; END IF;"
        " UPDATE t SET gone = 1 WHERE id = OLD.id; RETURN NULL; END $$;"
        " CREATE TRIGGER soft BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION soft()",
        "INSERT INTO t VALUES (1, NULL, 0), (20, NULL, 0), (21, 20, 0)",
    )
    start = world.now()
    assert world.push(world.stage("delete", "t", [[1], [20], [21]])) == []
    assert world.rows("t") == [[1, None, 1]]
    everything = {"parent", "gone"}
    assert world.since(start, "r2") == {"t": {(1,): {"gone"}, (20,): everything, (21,): everything}}


@pytest.mark.parametrize("tried", [Application.tried, StepwiseApplication.tried])
def test_rows_are_refused_alike_whether_the_server_tries_them_or_a_savepoint_each(
    make: Make, monkeypatch: pytest.MonkeyPatch, tried: Any
) -> None:
    """The latter is what any database can do."""
    monkeypatch.setattr(Application, "tried", tried)
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a <> 13), b text UNIQUE)",
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.a = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip()",
        "INSERT INTO t VALUES (7, 7, 'taken')",
    )
    rows: list[list[Value]] = [
        [1, 1, "one"],
        [2, 13, "two"],
        [3, 0, "three"],
        [4, 4, "taken"],
        [5, 5, "five"],
    ]
    refused = {one.row: one.code for one in world.push(world.stage("insert", "t", rows))}
    assert refused == {1: codes.CHECK, 2: codes.TRIGGER, 3: codes.UNIQUE}
    assert world.rows("t") == [[7, 7, "taken"]]
    assert world.push(world.stage("insert", "t", [rows[0], rows[4]])) == []
