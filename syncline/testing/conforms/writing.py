"""Staging, locking, rivals, applying, side effects."""

from __future__ import annotations

import pytest

from syncline.errors import Conflict
from syncline.hub.contract import Stage
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value, identical
from syncline.testing.conforms.centre import World

ALL = {"name", "city", "balance"}


class WriteConformance:
    """`stage`, `lock`, `rivals`, `apply`, `differing`, `unstage`."""

    def test_what_is_applied_is_stored_and_logged_with_its_origin(self, world: World) -> None:
        world.insert("customer", "('a', 'Ada', 'x', 1)", "('b', 'Bob', 'y', 2)")
        start = world.now()
        assert (
            world.push(
                world.stage("insert", "customer", [["c", "Cy", "z", 3]]),
                world.stage("update", "customer", [["a", "New"]], ["name"]),
                world.stage("delete", "customer", [["b"]]),
            )
            == []
        )
        assert world.rows("customer") == [["a", "New", "x", 1], ["c", "Cy", "z", 3]]
        assert world.since(start, "r1") == {}
        assert world.since(start, "r2") == {"customer": {("c",): ALL, ("a",): {"name"}, ("b",): ALL}}

    def test_stages_are_freed_before_the_end_and_others_follow(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            for first in (0, 1000):
                many: list[list[Value]] = [[str(first + n), "x", None, 1] for n in range(1000)]
                stage = world.stage("insert", "customer", many)
                transaction.rows.stage(stage)
                transaction.rows.lock([stage])
                assert transaction.rows.apply([stage], "r1") == []
                transaction.rows.unstage()
        assert len(world.rows("customer")) == 2000

    def test_a_replaced_row_touches_every_column(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', 'x', 1)")
        start = world.now()
        world.push(world.stage("update", "customer", [["a", "Ada", "x", 1]], op="R"))
        assert world.since(start) == {"customer": {("a",): ALL}}

    def test_a_row_can_have_several_log_entries(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', 'x', 1)")
        start = world.now()
        stage = world.stage("update", "customer", [["a", "New", 2]], ["name", "balance"])
        stage.entries = [(0, 0b001, 70_000), (0, 0b100, 70_001)]
        world.push(stage)
        with world.database.write(UNBOUNDED) as transaction:
            other = world.stage("update", "customer", [["a", "z"]], ["city"])
            transaction.rows.stage(other)
            rivals = transaction.rows.rivals(other, [start], [], "r2")
        assert [(r.row, r.op, r.mask, r.hlc, r.origin) for r in rivals] == [
            (0, "U", 0b001, 70_000, "r1"),
            (0, "U", 0b100, 70_001, "r1"),
        ]

    def test_lock_lists_what_is_not_as_expected(self, world: World) -> None:
        world.insert("customer (id)", "('a')", "('b')")
        with world.database.write(UNBOUNDED) as transaction:
            stages = [
                world.stage("insert", "customer", [["x", 1, None, 1], ["a", 1, None, 1]]),
                world.stage("update", "customer", [["b", "1"], ["y", "1"], ["z", "1"]], ["name"]),
                world.stage("delete", "customer", [["q"], ["a"]]),
            ]
            for stage in stages:
                transaction.rows.stage(stage)
            assert transaction.rows.lock(stages) == [[1], [1, 2], [0]]

    @pytest.mark.parametrize("first", [0, 499])
    def test_a_row_to_insert_that_nobody_looked_for_is_found_all_the_same(
        self, world: World, first: int
    ) -> None:
        """By `lock`, if it looks, or by `apply`."""
        world.run("INSERT INTO customer (id) VALUES ('500')")
        rows: list[list[Value]] = [[str(n), "x", None, 1] for n in range(first, 1000)]
        stage = world.stage("insert", "customer", rows)
        try:
            with world.database.write(UNBOUNDED) as transaction:
                transaction.rows.stage(stage)
                found = transaction.rows.lock([stage], hopeful=True)
                if found == [[]]:
                    transaction.rows.apply([stage], "r1")
        except Conflict:
            found = [[500 - first]]
        assert found == [[500 - first]]
        assert world.rows("customer") == [["500", None, None, None]]

    def test_rivals_are_what_others_did_after_the_base(self, world: World) -> None:
        start = world.now()
        world.run(
            world.words.insert(
                "customer", "('a', 'Ada', 'x', 1)", "('b', 'Bob', 'y', 1)", "('c', 'C', 'z', 1)"
            )
        )
        middle = world.now()
        world.run("UPDATE customer SET balance = 5 WHERE id = 'a'", "DELETE FROM customer WHERE id = 'b'")
        world.push(world.stage("update", "customer", [["a", "Mine"]], ["name"]), origin="r1")
        world.push(world.stage("update", "customer", [["a", "Rome"]], ["city"]), origin="r2")
        with world.database.write(UNBOUNDED) as transaction:
            stage = world.stage("update", "customer", [["c", "1"], ["a", "2"], ["b", "3"]], ["name"])
            transaction.rows.stage(stage)
            transaction.rows.lock([stage])
            rivals = transaction.rows.rivals(stage, [middle], [], "r1")
            assert sorted((r.row, r.op, r.mask, r.origin) for r in rivals) == [
                (1, "U", 0b010, "r2"),
                (1, "U", 0b100, "hub"),
                (2, "D", 0b111, "hub"),
            ]
            by_row = transaction.rows.rivals(stage, [start, middle, transaction.log.now()], [0, 2, 1], "r1")
            assert sorted((r.row, r.op) for r in by_row) == [(0, "I"), (2, "D")]
            assert all(not middle.sees(rival.place) for rival in rivals)
            assert all(transaction.log.now().sees(rival.place) for rival in rivals)

    def test_rivals_come_in_log_order(self, world: World) -> None:
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('a')")
        world.run("DELETE FROM customer")
        world.run("INSERT INTO customer (id) VALUES ('a')")
        world.run("UPDATE customer SET name = 'x'")
        with world.database.write(UNBOUNDED) as transaction:
            stage = world.stage("update", "customer", [["a", "1"]], ["name"])
            transaction.rows.stage(stage)
            rivals = transaction.rows.rivals(stage, [start], [], "r1")
        assert [rival.op for rival in rivals] == ["I", "D", "I", "U"]
        assert [rival.hlc for rival in rivals] == sorted(rival.hlc for rival in rivals)

    def test_what_is_discarded_is_not_written(self, world: World) -> None:
        stage = world.stage("insert", "tree", [[1, None], [2, None], [3, None]])
        with world.database.write(UNBOUNDED) as transaction:
            transaction.rows.stage(stage)
            transaction.rows.discard(stage, [1])
            assert transaction.rows.apply([stage], "r1") == []
        assert [row[0] for row in world.rows("tree")] == [1, 3]

    def test_what_happens_in_a_transaction_that_fails_is_undone(self, world: World) -> None:
        start = world.now()
        stage = world.stage("insert", "tree", [[1, None]])
        with pytest.raises(RuntimeError), world.database.write(UNBOUNDED) as transaction:
            transaction.rows.stage(stage)
            transaction.rows.apply([stage], "r1")
            raise RuntimeError
        assert world.rows("tree") == []
        assert world.since(start) == {}

    @pytest.mark.parametrize("order", [1, -1])
    def test_l9_self_references_are_written_in_any_order(self, world: World, order: int) -> None:
        rows: list[list[Value]] = [[1, "Ada", None], [2, "Bob", 1], [3, "Cy", 2]]
        assert world.push(world.stage("insert", "employee", rows[::order])) == []
        assert world.rows("employee") == rows
        keys: list[list[Value]] = [[1], [2], [3]]
        assert world.push(world.stage("delete", "employee", keys[::order])) == []
        assert world.rows("employee") == []

    def test_l9_a_cycle_of_two_tables_is_written_and_deleted(self, world: World) -> None:
        hens, eggs = world.stage("insert", "hen", [[1, 10]]), world.stage("insert", "egg", [[10, 1]])
        rank = world.schema.rank
        pair = sorted([hens, eggs], key=lambda stage: rank[stage.table])
        assert world.push(*pair) == []
        assert world.rows("hen") == [[1, 10]]
        assert world.rows("egg") == [[10, 1]]
        gone = {"hen": world.stage("delete", "hen", [[1]]), "egg": world.stage("delete", "egg", [[10]])}
        assert world.push(*(gone[world.schema.by_number[stage.table].name] for stage in reversed(pair))) == []
        assert world.rows("hen") == world.rows("egg") == []

    def test_cascades_of_a_push_have_the_origin_hub(self, world: World) -> None:
        world.needs_cascades()
        world.run(
            "INSERT INTO customer (id) VALUES ('a')",
            "INSERT INTO invoice VALUES (1, 'a', 5, '')",
            "INSERT INTO line VALUES (1, 1, 1)",
        )
        start = world.now()
        assert world.push(world.stage("delete", "invoice", [[1]])) == []
        assert {name: list(rows) for name, rows in world.since(start, "r1").items()} == {"line": [(1, 1)]}
        assert set(world.since(start, "r2")) == {"invoice", "line"}

    def test_cascades_within_a_table_have_the_origin_hub(self, world: World) -> None:
        world.needs_cascades()
        world.insert("tree", "(1, NULL)", "(2, 1)", "(3, 2)", "(4, NULL)")
        start = world.now()
        assert world.push(world.stage("delete", "tree", [[1]])) == []
        assert world.rows("tree") == [[4, None]]
        assert set(world.since(start, "r1")["tree"]) == {(2,), (3,)}
        assert set(world.since(start, "r2")["tree"]) == {(1,), (2,), (3,)}

    def test_the_rows_that_point_at_staged_ones_are_found_by_what_those_hold(self, world: World) -> None:
        world.run(
            world.words.insert(
                "customer", "('a', 'Ada', '1', 0)", "('b', 'Bob', '2', 0)", "('1', 'Cy', '3', 0)"
            ),
            world.words.insert("invoice", "(1, 'a', 5, '')", "(2, '1', 5, '')", "(3, 'a', 5, '')"),
            world.words.insert("line", "(1, 1, 1)", "(2, 7, 1)"),
            world.words.insert("tree", "(1, NULL)", "(2, 1)", "(3, 2)", "(4, 1)"),
        )
        invoice, line, tree = (world.schema.number_of(name) for name in ("invoice", "line", "tree"))
        with world.database.write(UNBOUNDED) as transaction:
            for table, keys, child, pair, expected in (
                ("customer", ["b", "a"], invoice, ("customer_id", "id"), [(1, (1,)), (1, (3,))]),
                ("customer", ["b", "a"], invoice, ("customer_id", "city"), [(1, (2,))]),
                ("invoice", [3, 2, 9], line, ("invoice_id", "id"), [(1, (2, 7))]),
                ("tree", [2, 1], tree, ("parent", "id"), [(0, (3,)), (1, (2,)), (1, (4,))]),
                ("tree", [3], tree, ("parent", "id"), []),
            ):
                stage = world.stage("delete", table, [[key] for key in keys])
                transaction.rows.stage(stage)
                transaction.rows.lock([stage])
                assert sorted(transaction.rows.children(stage, child, [pair])) == expected
                transaction.rows.discard(stage, [len(keys) - 1])
                left = [one for one in expected if one[0] < len(keys) - 1]
                assert sorted(transaction.rows.children(stage, child, [pair])) == left

    def test_a_row_deleted_by_the_push_and_by_its_cascade_is_the_pushs(self, world: World) -> None:
        world.insert("tree", "(1, NULL)", "(2, 1)")
        start = world.now()
        assert world.push(world.stage("delete", "tree", [[1], [2]])) == []
        assert world.rows("tree") == []
        assert world.since(start, "r1") == {}

    def test_what_a_trigger_made_of_a_row_is_found(self, world: World) -> None:
        start = world.now()
        stage = world.stage("insert", "contact", [[1, "ada", None], [2, "BOB", "BOB"]])
        with world.database.write(UNBOUNDED) as transaction:
            transaction.rows.stage(stage)
            assert transaction.rows.apply([stage], "r1") == []
            assert transaction.rows.differing(stage) == [0]
        assert world.rows("contact") == [[1, "ada", "ADA"], [2, "BOB", "BOB"]]
        assert set(world.since(start, "r1")["noted"]) == {(1,), (2,)}
        assert not world.schema.table("contact").exact

    def test_an_edit_of_a_table_with_triggers_does_not_rival_itself(self, world: World) -> None:
        world.run("INSERT INTO contact (id, name) VALUES (1, 'ada')")
        start = world.now()
        assert world.push(world.stage("update", "contact", [[1, "eve"]], ["name"])) == []
        assert world.rows("contact") == [[1, "eve", "EVE"]]
        assert world.since(start, "r2")["contact"] == {(1,): {"name", "shown"}}
        assert "name" not in world.since(start, "r1").get("contact", {}).get((1,), set())

    def test_l8_values_come_back_as_they_went(self, world: World) -> None:
        rows: list[list[Value]] = [
            [1, 2**63 - 1, 0.1, "", b""],
            [
                2,
                -(2**63),
                -1.7976931348623157e308,
                "\u05e9\u05dc\u05d5\u05dd \U0001f600 e\u0301",
                b"\x00\xff\x00",
            ],
            [3, 0, 5e-324, "a'b\"c\\;--\n\t%s ?", bytes(range(256))],
            [4, None, None, None, None],
            [5, 1, 3.0, "\u200f1e5", b"1"],
        ]
        stage = world.stage("insert", "sample", rows)
        with world.database.write(UNBOUNDED) as transaction:
            transaction.rows.stage(stage)
            assert transaction.rows.apply([stage], "r1") == []
            assert transaction.rows.differing(stage) == []
        for stored, sent in zip(world.rows("sample"), rows, strict=True):
            assert all(identical(left, right) for left, right in zip(stored, sent, strict=True)), (
                stored,
                sent,
            )

    def test_a_batch_of_thousands_goes_through_at_once(self, world: World) -> None:
        stage = world.stage("insert", "tree", [[number, number - 1 or None] for number in range(1, 5001)])
        assert world.push(stage) == []
        changed = [[number, None] for number in range(1, 5001)]
        assert world.push(world.stage("update", "tree", changed, ["parent"])) == []
        assert world.read(lambda transaction: transaction.rows.estimate()) in range(10_001)
        assert world.push(world.stage("delete", "tree", [[number] for number in range(1, 5001)])) == []
        assert world.rows("tree") == []

    def test_stages_of_one_table_can_be_applied_one_after_the_other(self, world: World) -> None:
        stages: list[Stage] = [world.stage("insert", "tree", [[number, None]]) for number in range(3)]
        with world.database.write(UNBOUNDED) as transaction:
            for stage in stages:
                transaction.rows.stage(stage)
                assert transaction.rows.apply([stage], "r1") == []
        assert len(world.rows("tree")) == 3
