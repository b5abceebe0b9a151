"""What triggers younger than capture have turned around in the log is put in order before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.replica import capture
from syncline.replica.freeze import freeze
from tests.support.device import Bench

DDL = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER NOT NULL DEFAULT 0);"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"])
    made.pull(made.put("t", [1, "a", 10], [2, "b", 20]))
    yield made
    made.close()


def ops(bench: Bench) -> list[tuple[str, int]]:
    return bench.rows(f"SELECT op, k0 FROM {bench.log('t')} ORDER BY seq")


def renewed(bench: Bench) -> None:
    assert capture.renew(bench.store, bench.device.tables.values()) == ["t"]


SOFT = "AFTER DELETE ON t WHEN OLD.n >= 0 BEGIN INSERT INTO t VALUES (OLD.id, OLD.a, -1); END"


@pytest.mark.parametrize(
    ("trigger", "statements", "before", "after"),
    [
        (SOFT, ["DELETE FROM t WHERE id = 1"], "ID", "DI"),
        (SOFT, ["UPDATE t SET a = 'y' WHERE id = 1", "DELETE FROM t WHERE id = 1"], "UID", "UDI"),
        (SOFT, ["INSERT OR IGNORE INTO t VALUES (1, 'x', 0)", "DELETE FROM t WHERE id = 1"], "MID", "MDI"),
        (
            "AFTER INSERT ON t BEGIN UPDATE t SET a = a || NEW.id WHERE id = NEW.id; END",
            ["INSERT INTO t VALUES (3, 'x', 0)"],
            "UI",
            "IU",
        ),
        (
            "AFTER UPDATE ON t WHEN NEW.n = 0 BEGIN DELETE FROM t WHERE id = NEW.id; END",
            ["UPDATE t SET n = 0 WHERE id = 1"],
            "DU",
            "UD",
        ),
        (
            "AFTER INSERT ON t WHEN NEW.n < 0 BEGIN DELETE FROM t WHERE id = NEW.id; END",
            ["INSERT INTO t VALUES (3, 'x', -1)"],
            "DI",
            "ID",
        ),
        (
            "AFTER INSERT ON t BEGIN SELECT 1; END",
            [
                "DELETE FROM t WHERE id = 1",
                "INSERT INTO t VALUES (1, 'x', 0)",
                "UPDATE t SET n = 9 WHERE id = 1",
            ],
            "DIU",
            "DIU",
        ),
    ],
)
def test_the_log_is_in_the_order_in_which_it_happened_l2(
    bench: Bench, trigger: str, statements: list[str], before: str, after: str
) -> None:
    bench.app.execute(f"CREATE TRIGGER app {trigger}")
    for statement in statements:
        bench.app.execute(statement)
    assert "".join(op for op, _ in ops(bench)) == before
    renewed(bench)
    assert "".join(op for op, _ in ops(bench)) == after


def test_a_soft_delete_is_sent_as_one_l2(bench: Bench) -> None:
    bench.app.execute(f"CREATE TRIGGER app {SOFT}")
    bench.app.execute("DELETE FROM t WHERE id = 1")
    renewed(bench)
    assert freeze(bench.device) is not None
    ((group,),) = bench.chunks()
    assert (group.op, bench.declared(group)) == ("R", [[1, "a", -1]])


def test_a_counter_that_a_younger_trigger_rounds_counts_from_where_it_was(bench: Bench) -> None:
    bench.app.execute(
        "CREATE TRIGGER app AFTER UPDATE OF n ON t WHEN NEW.n % 10 BEGIN"
        " UPDATE t SET n = NEW.n / 10 * 10 WHERE id = NEW.id; END"
    )
    bench.app.execute("UPDATE t SET n = 37 WHERE id = 1")
    renewed(bench)
    assert freeze(bench.device) is not None
    ((group,),) = bench.chunks()
    assert bench.declared(group) == [[1, 20]]
