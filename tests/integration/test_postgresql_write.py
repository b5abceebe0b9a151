"""Writing to PostgreSQL: order, constraints of every kind, concurrent transactions, isolation of bad rows."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from syncline.errors import Conflict
from syncline.hub.contract import Client, Refusal, Stage, codes
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make, PostgresCentre


def in_order(world: World, *stages: Stage) -> list[Stage]:
    """As the engine gives them: parents first, then deletes with children first."""
    writes = sorted((s for s in stages if s.form != "delete"), key=lambda s: s.table)
    return writes + sorted((s for s in stages if s.form == "delete"), key=lambda s: -s.table)


DEFERRED = (
    "CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL)",
    "CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a DEFERRABLE)",
    "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED",
)


def test_l9_a_cycle_without_null_works_through_deferrable_constraints(make: Make) -> None:
    world = make(*DEFERRED)
    assert (
        world.push(
            *in_order(world, world.stage("insert", "a", [[1, 2]]), world.stage("insert", "b", [[2, 1]]))
        )
        == []
    )
    assert world.rows("a") == [[1, 2]]
    assert (
        world.push(*in_order(world, world.stage("delete", "a", [[1]]), world.stage("delete", "b", [[2]])))
        == []
    )
    assert world.rows("a") == world.rows("b") == []


def test_a_deferred_constraint_refuses_before_the_commit(make: Make) -> None:
    world = make(*DEFERRED)
    (refusal,) = world.push(*in_order(world, world.stage("insert", "a", [[1, 9]])))
    assert (refusal.code, refusal.parent) == (codes.FOREIGN_KEY, (world.number("b"), (9,)))
    refused = world.push_what_fits(
        *in_order(
            world, world.stage("insert", "a", [[1, 2], [3, 9]]), world.stage("insert", "b", [[2, 1], [4, 3]])
        )
    )
    assert ("a", (3,)) in refused and ("b", (4,)) in refused
    assert world.rows("a") in ([[1, 2]], [])


def test_a_deferred_unique_value_is_refused_and_a_swap_is_not(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    world.run("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    assert world.push(world.stage("update", "t", [[1, 20], [2, 10]])) == []
    assert world.rows("t") == [[1, 20], [2, 10], [3, 30]]
    refused = world.push_what_fits(world.stage("update", "t", [[1, 30], [2, 40]]))
    assert refused == {("t", (1,))}
    assert world.rows("t") == [[1, 20], [2, 40], [3, 30]]


def test_a_unique_value_may_move_between_rows_of_one_push(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE)")
    world.run("INSERT INTO t VALUES (1, 10), (2, 20)")
    assert world.push(world.stage("update", "t", [[1, 20], [2, 30]])) == []
    assert world.push(world.stage("insert", "t", [[3, 30]]), world.stage("delete", "t", [[2]])) == []
    assert world.rows("t") == [[1, 20], [3, 30]]


def test_identities_take_the_devices_numbers(make: Make) -> None:
    world = make("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text)")
    assert world.push(world.stage("insert", "t", [[7, "x"]])) == []
    assert world.push(world.stage("update", "t", [[7, "y"]])) == []
    assert world.rows("t") == [[7, "y"]]


def test_l9_references_to_a_unique_column_that_is_no_key(make: Make) -> None:
    world = make(
        "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE)",
        "CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES p (code))",
    )
    refused = world.push(
        world.stage("insert", "p", [[1, "x"]]), world.stage("insert", "c", [[1, "x"], [2, "y"], [3, None]])
    )
    assert [(world.row_of(refusal), refusal.parent) for refusal in refused] == [(("c", (2,)), None)]


def test_l9_an_update_may_point_at_a_row_inserted_after_it(make: Make) -> None:
    world = make(
        "CREATE TABLE x (id int PRIMARY KEY, y int NOT NULL)",
        "CREATE TABLE y (id int PRIMARY KEY, x int REFERENCES x)",
        "ALTER TABLE x ADD FOREIGN KEY (y) REFERENCES y",
        "INSERT INTO y VALUES (1, NULL)",
        "INSERT INTO x VALUES (1, 1)",
    )
    stages = [world.stage("update", "x", [[1, 2]]), world.stage("insert", "y", [[2, 1]])]
    start = world.now()
    assert world.push(*stages) == []
    assert (world.rows("x"), world.rows("y")) == ([[1, 2]], [[1, None], [2, 1]])
    assert world.since(start, "r1") == {}


@pytest.mark.parametrize("size", [20, 1200], ids=["few", "many"])
def test_rows_without_a_parent_are_all_found_at_once(make: Make, size: int) -> None:
    world = make(
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE c (id int PRIMARY KEY, p int NOT NULL REFERENCES p)",
    )
    rows: list[list[Value]] = [[number, number % 10] for number in range(size)]
    parents = world.stage("insert", "p", [[number] for number in range(5)])
    refused = world.push(parents, world.stage("insert", "c", rows))
    assert sorted(refusal.row for refusal in refused) == [
        number for number in range(size) if number % 10 >= 5
    ]
    assert {refusal.parent for refusal in refused} == {
        (world.number("p"), (number,)) for number in range(5, 10)
    }


def test_a_trigger_that_holds_a_row_back_without_an_error_refuses_it(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_OP = 'DELETE' AND OLD.a = 'kept' OR TG_OP <> 'DELETE' AND NEW.a = 'no' THEN RETURN NULL;"
        " END IF;"
        " IF TG_OP = 'INSERT' AND NEW.a = 'moved' THEN NEW.id := NEW.id + 100; END IF;"
        " RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END $$",
        "CREATE TRIGGER hold BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    stage = world.stage("insert", "t", [[1, "kept"], [2, "no"], [3, "moved"], [4, "x"]])
    refused = world.push_what_fits(stage)
    assert refused == {("t", (2,)), ("t", (3,))}
    assert world.push_what_fits(world.stage("update", "t", [[1, "no"], [4, "y"]])) == {("t", (1,))}
    assert world.push_what_fits(world.stage("delete", "t", [[1], [4]])) == {("t", (1,))}
    assert world.rows("t") == [[1, "kept"]]


def test_errors_of_triggers_and_rights_are_refusals_of_rows(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, a int, EXCLUDE (a WITH =))",
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.a = 1 THEN RAISE EXCEPTION 'no ones' USING ERRCODE = 'MY001'; END IF;"
        " IF NEW.a = 2 THEN RAISE insufficient_privilege; END IF; IF NEW.a = 3 THEN PERFORM 1 / 0; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd()",
        "INSERT INTO t VALUES (100, 5)",
    )
    stage = world.stage("insert", "t", [[number, number] for number in range(8)])
    refused: dict[int, Refusal] = {refusal.row: refusal for refusal in world.push(stage)}
    assert {row: refusal.code for row, refusal in refused.items()} == {
        1: codes.TRIGGER, 2: codes.CONSTRAINT, 3: codes.INVALID, 5: codes.CONSTRAINT,
    }  # fmt: skip
    assert "no ones" in refused[1].detail


def test_a_large_batch_with_a_few_bad_rows_keeps_the_rest(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a <> 13), b varchar(5))")
    rows: list[list[Value]] = [[number, number % 12, "x"] for number in range(3000)]
    for bad in (0, 777, 2999):
        rows[bad][1] = 13
    rows[1500][2] = "too long"
    rows[1501][1] = 2**40
    refused = world.push_what_fits(world.stage("insert", "t", rows))
    assert refused == {("t", (number,)) for number in (0, 777, 1500, 1501, 2999)}
    with world.database.read(UNBOUNDED) as transaction:
        assert len(transaction.rows.chunk(0, None, 5000)) == 2995


def test_an_insert_that_meets_a_row_committed_meanwhile_is_a_conflict(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    stage = world.stage("insert", "t", [[1, 1], [2, 2]])
    with pytest.raises(Conflict), world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[]]
        world.run("INSERT INTO t VALUES (2, 9)")
        transaction.rows.apply([stage], "r1")
    assert world.rows("t") == [[2, 9]]


def test_an_update_that_misses_a_row_deleted_meanwhile_is_a_conflict(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    world.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    stage = world.stage("update", "t", [[1, 5], [2, 5]])
    with pytest.raises(Conflict), world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        world.run("DELETE FROM t WHERE id = 2")
        transaction.rows.apply([stage], "r1")
    assert world.rows("t") == [[1, 1]]


def test_after_the_lock_nobody_else_changes_the_rows_and_rivals_sees_all_who_did(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    world.run("INSERT INTO t VALUES (1, 1)")
    base = world.now()
    assert isinstance(world.centre, PostgresCentre)
    stage = world.stage("update", "t", [[1, 5]])
    with world.centre.connect() as other:
        other.execute("BEGIN; UPDATE t SET a = 2")
        seen: list[Any] = []

        def push() -> None:
            with world.database.write(UNBOUNDED) as transaction:
                transaction.rows.stage(stage)
                assert transaction.rows.lock([stage]) == [[]]
                seen.extend(transaction.rows.rivals(stage, [base], [], "r1"))
                transaction.rows.apply([stage], "r1")

        thread = threading.Thread(target=push)
        thread.start()
        wait_until_blocked(world.centre)
        other.execute("COMMIT")
        thread.join(20)
    assert [(rival.op, rival.origin) for rival in seen] == [("U", "hub")]
    assert world.rows("t") == [[1, 5]]


@pytest.mark.parametrize("form", ["update", "delete"])
def test_a_few_rows_are_written_without_reading_all_of_a_table(make: Make, form: Any) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    world.run("INSERT INTO t SELECT n, repeat('a', 100) FROM generate_series(1, 5000) AS n", "ANALYZE t")
    rows = [[n, "b"][: 1 if form == "delete" else 2] for n in range(0, 5000, 600)]
    stage = world.stage(form, "t", rows)
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[0]]
        transaction.rows.discard(stage, [0])
        assert transaction.rows.apply([stage], "r1") == []
        session = transaction.rows._session  # type: ignore[attr-defined]
        scans = "SELECT seq_scan, idx_scan > 0 FROM pg_stat_xact_user_tables WHERE relname = 't'"
        assert session.run(scans) == [[0, True]]


def test_looking_up_a_single_row_is_planned_once(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    world.run("INSERT INTO t SELECT n, 'a' FROM generate_series(1, 5000) AS n", "ANALYZE t")
    with world.database.read(UNBOUNDED) as transaction:
        for n in range(1, 21):
            assert transaction.rows.find(world.number("t"), [(n,)], []) == [[n]]
        session = transaction.rows._session  # type: ignore[attr-defined]
        plans = (
            "SELECT generic_plans > custom_plans FROM pg_prepared_statements WHERE statement LIKE '%unnest%'"
        )
        assert session.run(plans) == [[True]]


def wait_until_blocked(centre: PostgresCentre) -> None:
    with centre.connect() as session:
        blocked = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        for _ in range(10_000):
            if session.execute(blocked).fetchone() != (0,):
                return
    raise AssertionError("nobody waits for a lock")


def test_a_deadlock_is_a_conflict(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    world.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    assert isinstance(world.centre, PostgresCentre)
    outcome: list[BaseException] = []
    with world.centre.connect() as other:
        other.execute("SET deadlock_timeout = '10min'")
        other.execute("BEGIN; UPDATE t SET a = 9 WHERE id = 2")

        def push() -> None:
            try:
                with world.database.write(UNBOUNDED) as transaction:
                    stages = [world.stage("update", "t", [[1, 5]]), world.stage("update", "t", [[2, 5]])]
                    for stage in stages:
                        transaction.rows.stage(stage)
                        transaction.rows.lock([stage])
            except Conflict as error:
                outcome.append(error)

        thread = threading.Thread(target=push)
        thread.start()
        wait_until_blocked(world.centre)
        other.execute("UPDATE t SET a = 9 WHERE id = 1")
        thread.join(20)
        other.execute("COMMIT")
    assert len(outcome) == 1


def test_pushes_of_one_replica_follow_each_other(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY)")
    assert isinstance(world.centre, PostgresCentre)
    with world.database.write(UNBOUNDED) as transaction:
        transaction.ledger.save_client(Client("r1"))
    order: list[str] = []

    def second() -> None:
        with world.database.write(UNBOUNDED) as transaction:
            client = transaction.ledger.lock_client("r1")
            assert client is not None
            order.append(f"second sees {client.number}")

    with world.database.write(UNBOUNDED) as transaction:
        transaction.ledger.lock_client("r1")
        thread = threading.Thread(target=second)
        thread.start()
        wait_until_blocked(world.centre)
        order.append("first")
        transaction.ledger.save_client(Client("r1", 1))
    thread.join(20)
    assert order == ["first", "second sees 1"]


def test_many_writers_at_once_end_as_if_one_after_the_other(make: Make) -> None:
    """Each adds 1 to the same rows, in opposite orders, running again on a Conflict."""
    world = make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    world.run("INSERT INTO t SELECT g, 0 FROM generate_series(1, 5) g")
    failures: list[BaseException] = []

    def add(order: int) -> None:
        keys: list[tuple[Value, ...]] = [(number,) for number in range(1, 6)][::order]
        for _ in range(8):
            while True:
                try:
                    with world.database.write(UNBOUNDED) as transaction:
                        stage = world.stage("update", "t", [[*key, 0] for key in keys])
                        transaction.rows.stage(stage)
                        transaction.rows.lock([stage])
                        now = {row[0]: row[1] for row in transaction.rows.find(0, keys, [0])}
                        again = world.stage(
                            "update", "t", [[key[0], int(str(now[key[0]])) + 1] for key in keys]
                        )
                        transaction.rows.stage(again)
                        assert transaction.rows.apply([again], "r1") == []
                    break
                except Conflict:
                    continue
                except BaseException as error:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=add, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert world.rows("t") == [[number, 32] for number in range(1, 6)]
