"""Rows that the central database will not hold: isolated, named, and nothing of the rest lost."""

from __future__ import annotations

from syncline.hub.contract import Refusal, codes
from syncline.model.values import Value
from syncline.testing.conforms.centre import World


class RefusalConformance:
    """Poison does not block: `apply` and what it refuses."""

    def only(self, refusals: list[Refusal]) -> Refusal:
        assert len(refusals) == 1, refusals
        assert refusals[0].detail
        return refusals[0]

    def test_l12_a_missing_parent_is_named(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        refusal = self.only(
            world.push(world.stage("insert", "invoice", [[1, "a", 1, ""], [2, "nobody", 1, ""]]))
        )
        assert (refusal.row, refusal.code) == (1, codes.FOREIGN_KEY)
        assert refusal.parent == (world.number("customer"), ("nobody",))

    def test_l12_an_update_to_a_missing_parent_is_refused(self, world: World) -> None:
        world.run("INSERT INTO employee VALUES (1, 'Ada', NULL)")
        refusal = self.only(world.push(world.stage("update", "employee", [[1, 9]], ["boss"])))
        assert (refusal.code, refusal.parent) == (codes.FOREIGN_KEY, (world.number("employee"), (9,)))

    def test_l12_a_value_that_must_be_unique(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', 'Rome', 1)")
        refusal = self.only(
            world.push(world.stage("insert", "customer", [["b", "B", "Oslo", 1], ["c", "C", "Rome", 1]]))
        )
        assert (refusal.row, refusal.code, refusal.parent) == (1, codes.UNIQUE, None)

    def test_l12_a_value_that_must_not_be_null(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        refusal = self.only(world.push(world.stage("insert", "invoice", [[1, "a", 1, None]])))
        assert refusal.code == codes.NOT_NULL

    def test_l12_a_value_that_a_check_forbids(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')", "INSERT INTO invoice VALUES (1, 'a', 1, '')")
        refusal = self.only(world.push(world.stage("update", "invoice", [[1, -1]], ["total"])))
        assert refusal.code == codes.CHECK

    def test_l12_a_row_that_a_trigger_forbids(self, world: World) -> None:
        stage = world.stage("insert", "contact", [[1, "ada", None], [2, "forbidden", None]])
        refusal = self.only(world.push(stage))
        assert (refusal.row, refusal.code) == (1, codes.TRIGGER)

    def test_l12_a_delete_under_whom_children_remain(self, world: World) -> None:
        world.run(
            world.words.insert("customer (id)", "('a')", "('b')"),
            "INSERT INTO invoice VALUES (1, 'a', 1, '')",
        )
        refusal = self.only(world.push(world.stage("delete", "customer", [["b"], ["a"]])))
        assert (refusal.row, refusal.code, refusal.parent) == (1, codes.FOREIGN_KEY, None)

    def test_l9_a_parent_goes_together_with_its_children(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')", "INSERT INTO invoice VALUES (1, 'a', 1, '')")
        assert (
            world.push(world.stage("delete", "invoice", [[1]]), world.stage("delete", "customer", [["a"]]))
            == []
        )
        assert world.rows("customer") == []

    def test_unique_values_that_later_rows_give_up_are_free(self, world: World) -> None:
        cities = ("Rome", "Oslo", "Bern")
        world.run(*(f"INSERT INTO customer (id, city) VALUES ('{city[0]}', '{city}')" for city in cities))
        found = world.push(
            world.stage("insert", "customer", [["new", "N", "Rome", 1]]),
            world.stage("update", "customer", [["O", "Bern"]], ["city"]),
            world.stage("delete", "customer", [["B"], ["R"]]),
        )
        assert found == []
        assert [[key, city] for key, _, city, _ in world.rows("customer")] == [["O", "Bern"], ["new", "Rome"]]

    def test_if_a_row_is_refused_nothing_of_the_call_stays(self, world: World) -> None:
        start = world.now()
        found = world.push(
            world.stage("insert", "customer", [["a", "Ada", "Rome", 1]]),
            world.stage("insert", "invoice", [[1, "a", 1, ""], [2, "nobody", 1, ""]]),
        )
        assert [world.row_of(refusal) for refusal in found] == [("invoice", (2,))]
        assert world.rows("customer") == world.rows("invoice") == []
        assert world.since(start) == {}

    def test_l2_beside_a_refused_unique_value_rows_that_would_move_stay(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', 'Rome', 1)")
        world.insert("employee", "(1, 'Ada', NULL)", "(2, 'Bob', 1)", "(3, 'Cy', NULL)")
        start = world.now()
        refusal = self.only(
            world.push(
                world.stage("delete", "employee", [[1]]),
                world.stage("update", "employee", [[2, 3]], ["boss"]),
                world.stage("insert", "customer", [["b", "Bob", "Rome", 1]]),
            )
        )
        assert (world.row_of(refusal), refusal.code) == (("customer", ("b",)), codes.UNIQUE)
        assert world.rows("employee") == [[1, "Ada", None], [2, "Bob", 1], [3, "Cy", None]]
        assert world.since(start) == {}

    def test_a_few_bad_rows_among_hundreds_are_isolated(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        rows: list[list[Value]] = [[number, "a", number, ""] for number in range(400)]
        rows[0][2], rows[123][3], rows[399][1] = -5, None, "nobody"
        refused = world.push_what_fits(world.stage("insert", "invoice", rows))
        assert refused == {("invoice", (0,)), ("invoice", (123,)), ("invoice", (399,))}
        assert len(world.rows("invoice")) == 397

    def test_l2_what_depends_on_a_refused_row_is_refused_with_it(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('x', NULL, 'Rome', 1)")
        refused = world.push_what_fits(
            world.stage("insert", "customer", [["a", "Ada", "Rome", 1], ["b", "Bob", "Oslo", 1]]),
            world.stage("insert", "invoice", [[1, "a", 1, ""], [2, "b", 1, ""]]),
            world.stage("insert", "line", [[1, 1, 1], [2, 1, 1]]),
        )
        assert refused == {("customer", ("a",)), ("invoice", (1,)), ("line", (1, 1))}
        assert world.rows("line") == [[2, 1, 1]]

    def test_l2_a_chain_within_a_table_is_refused_to_its_end(self, world: World) -> None:
        chain: list[list[Value]] = [[number, "x", number - 1] for number in range(1, 8)]
        refused = world.push_what_fits(world.stage("insert", "employee", [*chain, [99, "free", None]]))
        assert refused == {("employee", (number,)) for number in range(1, 8)}
        assert world.rows("employee") == [[99, "free", None]]

    def test_two_pushed_rows_that_claim_one_unique_value(self, world: World) -> None:
        refused = world.push_what_fits(
            world.stage("insert", "customer", [["a", "Ada", "Rome", 1], ["b", "Bob", "Rome", 1]])
        )
        assert len(refused) in (1, 2)
        assert len(world.rows("customer")) == 2 - len(refused)

    def test_the_log_holds_nothing_of_refused_rows(self, world: World) -> None:
        start = world.now()
        world.push_what_fits(world.stage("insert", "employee", [[1, "x", 77], [2, "y", None]]))
        assert set(world.since(start)["employee"]) == {(2,)}
