"""New rows of a large push go straight into their PostgreSQL table, and the other way where they cannot: with
the same result (laws L2, L6, L8)."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.databases.postgresql.stage import Loaded
from syncline.errors import Conflict
from syncline.hub.contract import Refusal, Stage, codes
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make

MANY = 600
"""More rows than travel as one parameter."""

T = "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a <> 13), b text UNIQUE, day date, up int REFERENCES t)"


def rows_of(start: int = 0) -> list[list[Value]]:
    return [[n, n % 10, f"b{n}", "2026-01-31", None] for n in range(start, start + MANY)]


def pushed(world: World, *stages: Stage, origin: str = "r1") -> tuple[list[Refusal], list[bool]]:
    """What is refused of a hopeful push, and which stages were in a temporary table at the end."""
    with world.database.write(UNBOUNDED) as transaction:
        for stage in stages:
            transaction.rows.ready(stage)
            transaction.rows.stage(stage)
        assert transaction.rows.lock(stages, hopeful=True) == [[] for _ in stages]
        for stage in stages:
            assert transaction.rows.rivals(stage, [world.now()], [], origin) == []
        refused = transaction.rows.apply(stages, origin)
        staged = []
        for stage in stages:
            assert isinstance(stage.handle, Loaded)
            staged.append(bool(stage.handle.table))
        return refused, staged


def test_new_rows_go_straight_and_are_logged(make: Make) -> None:
    world = make(T)
    start = world.now()
    refused, staged = pushed(world, world.stage("insert", "t", rows_of()))
    assert (refused, staged) == ([], [False])
    assert world.rows("t") == rows_of()
    assert world.since(start, "r1") == {}
    assert world.since(start, "r2") == {"t": {(n,): {"a", "b", "day", "up"} for n in range(MANY)}}


def test_a_replica_may_have_an_odd_name(make: Make) -> None:
    world = make(T)
    start = world.now()
    assert pushed(world, world.stage("insert", "t", rows_of()), origin="a\\tb\\\\.") == ([], [False])
    assert world.since(start, "a\\tb\\\\.") == {}
    assert len(world.since(start, "r1")["t"]) == MANY


def test_rows_of_one_push_may_be_each_others_parents(make: Make) -> None:
    world = make(T)
    rows = rows_of()
    for row in rows:
        row[4] = (int(str(row[0])) + 1) % MANY
    assert pushed(world, world.stage("insert", "t", rows)) == ([], [False])
    assert world.rows("t") == rows


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        (1, 13, codes.CHECK),
        (1, 2**40, codes.INVALID),
        (2, "b0", codes.UNIQUE),
        (2, "zero\0", codes.INVALID),
        (3, "2026-02-31", codes.INVALID),
        (4, 10_000, codes.FOREIGN_KEY),
    ],
)
def test_one_bad_row_is_found_and_nothing_else_is_refused(
    make: Make, column: int, value: Value, code: str
) -> None:
    world = make(T)
    rows = rows_of()
    rows[333][column] = value
    refused, staged = pushed(world, world.stage("insert", "t", rows))
    assert [(refusal.row, refusal.code) for refusal in refused] == [(333, code)]
    assert staged == [True]
    assert world.rows("t") == []


@pytest.mark.parametrize("other", [None, 13])
def test_a_row_that_exists_is_a_conflict_whatever_else_is_wrong(make: Make, other: Value) -> None:
    world = make(T)
    world.run("INSERT INTO t (id, b) VALUES (500, 'here')")
    rows = rows_of()
    rows[7][1] = other
    with pytest.raises(Conflict):
        pushed(world, world.stage("insert", "t", rows))
    assert world.rows("t") == [[500, None, "here", None, None]]


def test_what_others_did_is_found_by_each_stage_that_looks(make: Make) -> None:
    world = make(T)
    base = world.now()
    with world.database.write(UNBOUNDED) as transaction:
        first = world.stage("insert", "t", rows_of())
        transaction.rows.stage(first)
        transaction.rows.lock([first], hopeful=True)
        assert transaction.rows.rivals(first, [base], [], "r1") == []
        assert transaction.rows.apply([first], "r1") == []
        transaction.rows.unstage()
        world.run("INSERT INTO t (id) VALUES (1000)", "DELETE FROM t WHERE id = 1000")
        second = world.stage("insert", "t", rows_of(MANY))
        transaction.rows.stage(second)
        transaction.rows.lock([second], hopeful=True)
        found = transaction.rows.rivals(second, [base], [], "r1")
        assert [(rival.row, rival.op, rival.origin) for rival in found] == [
            (1000 - MANY, "I", "hub"),
            (1000 - MANY, "D", "hub"),
        ]
        transaction.rows.discard(second, [1000 - MANY])
        assert transaction.rows.apply([second], "r1") == []
    assert [row[0] for row in world.rows("t")] == [n for n in range(2 * MANY) if n != 1000]


def test_an_older_base_is_looked_up_although_a_newer_one_was_quiet(make: Make) -> None:
    world = make(T)
    old = world.now()
    world.run("INSERT INTO t (id) VALUES (3)", "DELETE FROM t WHERE id = 3")
    new = world.now()
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", rows_of())
        transaction.rows.stage(stage)
        assert transaction.rows.rivals(stage, [new], [], "r1") == []
        assert [rival.op for rival in transaction.rows.rivals(stage, [old], [], "r1")] == ["I", "D"]


RULE = "CREATE RULE none AS ON INSERT TO t WHERE new.id = 3 DO INSTEAD NOTHING"
FUNCTION = (
    "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN NEW.b := upper(NEW.b); RETURN NEW; END'"
)
TRIGGER = "CREATE TRIGGER louder BEFORE INSERT ON t FOR EACH ROW WHEN (new.id = 3) EXECUTE FUNCTION louder()"


def test_a_rule_of_the_users_is_obeyed(make: Make) -> None:
    world = make(T, RULE)
    refused, staged = pushed(world, world.stage("insert", "t", rows_of()))
    assert [(refusal.row, refusal.code) for refusal in refused] == [(3, codes.TRIGGER)]
    assert staged == [True]


def test_what_a_trigger_of_the_users_made_of_a_row_is_told(make: Make) -> None:
    world = make(T, FUNCTION, TRIGGER)
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", rows_of())
        transaction.rows.stage(stage)
        transaction.rows.lock([stage], hopeful=True)
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == [3]


VALUES: list[tuple[str, list[Any]]] = [
    ("text", ["", "\\N", "tab\t", "line\nend\r", "\\", "é🙂", None]),
    ("bytea", [b"", b"\\x00", bytes(range(256)), None]),
    ("float8", [0.1, -0.0, 1e300, float("inf"), float("-inf"), 5e-324, None]),
    ("bool", [0, 1, None]),
    ("int8", [2**63 - 1, -(2**63), None]),
    ("numeric(12,2)", ["0.00", "-12.50", "9999999999.99", None]),
    ("timestamptz", ["2026-02-28T00:00:00Z", "0001-01-01T00:00:00.000001Z", None]),
    ("time", ["00:00:00", "23:59:59.5", None]),
    ("uuid", ["00000000-0000-0000-0000-00000000000a", None]),
    ("varchar(3)", ["", "abc", "\\.", None]),
    ("json", ['{"a": 1}', "[ ]", None]),
]


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
def test_l8_values_arrive_as_they_were_sent(make: Make, kind: str, values: list[Any]) -> None:
    world = make(f"CREATE TABLE v (id uuid PRIMARY KEY, v {kind})")
    rows: list[list[Value]] = [
        [f"00000000-0000-0000-0000-{n:012x}", values[n % len(values)]] for n in range(MANY)
    ]
    assert pushed(world, world.stage("insert", "v", rows)) == ([], [False])
    found = world.rows("v")
    assert list(map(repr, found)) == list(map(repr, rows))


def test_what_a_trigger_did_because_of_an_earlier_chunk_is_a_rival(make: Make) -> None:
    world = make(
        "CREATE TABLE other (id int PRIMARY KEY, a int)",
        T,
        "INSERT INTO other VALUES (1, 0)",
        "CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN UPDATE other SET a = a + 1; RETURN NULL; END'",
        "CREATE TRIGGER tells AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tells()",
    )
    base = world.now()
    with world.database.write(UNBOUNDED) as transaction:
        first = world.stage("insert", "t", rows_of())
        transaction.rows.stage(first)
        assert transaction.rows.rivals(first, [base], [], "r1") == []
        assert transaction.rows.apply([first], "r1") == []
        second = world.stage("update", "other", [[1, 5]])
        transaction.rows.stage(second)
        found = transaction.rows.rivals(second, [base], [], "r1")
    assert [(rival.row, rival.op, rival.origin) for rival in found] == [(0, "U", "hub")]


def test_a_row_that_somebody_deletes_while_nobody_looks_is_a_conflict(make: Make) -> None:
    """Its insert is older than the base, so that nothing but the delete tells of it."""
    world = make(T)
    world.run("INSERT INTO t (id, b) VALUES (500, 'here')")
    base = world.now()
    for rows in (rows_of(), rows_of()[500:501]):
        with pytest.raises(Conflict), world.database.write(UNBOUNDED) as transaction:
            stage = world.stage("insert", "t", rows)
            transaction.rows.stage(stage)
            transaction.rows.lock([stage], hopeful=True)
            assert transaction.rows.rivals(stage, [base], [], "r1") == []
            world.run("DELETE FROM t WHERE id = 500")
            transaction.rows.apply([stage], "r1")
        assert world.rows("t") == []
        world.run("INSERT INTO t (id, b) VALUES (500, 'here')")
        base = world.now()


def test_a_uuid_is_the_same_in_a_small_stage_and_a_large_one(make: Make) -> None:
    world = make("CREATE TABLE u (id uuid, n int, a int, b int, PRIMARY KEY (n, id))")
    keys: list[list[Value]] = [[n, f"00000000-0000-0000-0000-{n:012x}"] for n in range(MANY + 20)]
    world.push(world.stage("insert", "u", [[*key, 0, 0] for key in keys]))
    many = world.stage("update", "u", [[*key, 1] for key in keys[:MANY]], ["a"])
    few = world.stage("update", "u", [[*key, 1] for key in keys[MANY:-5]], ["b"])
    gone = world.stage("delete", "u", keys[-5:])
    assert world.push(many, few, gone) == []
    rows = world.rows("u")
    assert (len(rows), sum(row[2] for row in rows), sum(row[3] for row in rows)) == (MANY + 15, MANY, 15)


def test_spaces_that_a_domain_cuts_off_are_told(make: Make) -> None:
    world = make("CREATE DOMAIN short AS varchar(3)", "CREATE TABLE d (id int PRIMARY KEY, v short)")
    for count in (3, MANY):
        with world.database.write(UNBOUNDED) as transaction:
            start = len(world.rows("d"))
            stage = world.stage("insert", "d", [[start + n, "abc " if n == 1 else "x"] for n in range(count)])
            transaction.rows.stage(stage)
            transaction.rows.lock([stage], hopeful=True)
            assert transaction.rows.apply([stage], "r1") == []
            assert transaction.rows.differing(stage) == [1]
