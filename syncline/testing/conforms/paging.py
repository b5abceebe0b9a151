"""Positions, pages of the log, rows and chunks."""

from __future__ import annotations

import pytest

from syncline.hub.contract import Key
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World


class LogConformance:
    """`now`, `entries`, `rows`, `chunk`, `estimate`, `position`."""

    def test_a_position_survives_its_token(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('b')")
        token = start.token()
        assert token.isascii()
        assert "|" not in token
        assert list(world.since(world.database.position(token))["customer"]) == [("b",)]

    @pytest.mark.parametrize("token", ["", "x", "-1", "1 2", "s", "s-1", "sx", "\u0661", "9" * 400, "a:b:c"])
    def test_a_garbled_token_is_refused(self, world: World, token: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            world.database.position(token)

    def test_with_nothing_new_a_page_is_empty(self, world: World) -> None:
        start = world.now()
        page = world.read(lambda transaction: transaction.log.entries(start, "", 10))
        assert (page.touched, page.more, page.hlc) == ({}, False, 0)
        assert world.since(page.end) == {}

    def test_l4_small_pages_reach_everything_and_end(self, world: World) -> None:
        start = world.now()
        for number in range(10):
            world.run(
                f"INSERT INTO tree (id) VALUES ({number})", f"INSERT INTO customer (id) VALUES ('{number}')"
            )
        found: set[tuple[int, Key]] = set()
        after, more, pages = start, True, 0
        while more:
            with world.database.read(UNBOUNDED) as transaction:
                page = transaction.log.entries(after, "", 3)
            found |= {(number, key) for number, rows in page.touched.items() for key, _ in rows}
            after, more, pages = page.end, page.more, pages + 1
            assert pages < 30
        assert len(found) == 20

    def test_l4_what_commits_between_two_pages_arrives(self, world: World) -> None:
        start = world.now()
        world.insert("tree (id)", "(1)", "(2)", "(3)", "(4)")
        with world.database.read(UNBOUNDED) as transaction:
            page = transaction.log.entries(start, "", 2)
        world.run("INSERT INTO tree (id) VALUES (5)", "DELETE FROM tree WHERE id = 1")
        later = world.since(page.end)["tree"]
        seen = {key for rows in page.touched.values() for key, _ in rows}
        assert {(1,), (5,)} <= set(later)
        assert seen | set(later) == {(1,), (2,), (3,), (4,), (5,)}

    def test_l5_now_is_the_instant_of_its_transaction(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        with world.database.read(UNBOUNDED) as transaction:
            start = transaction.log.now()
            before = transaction.rows.chunk(world.number("customer"), None, 10)
        world.run("INSERT INTO customer (id) VALUES ('b')")
        assert [row[0] for row in before] == ["a"]
        assert list(world.since(start)["customer"]) == [("b",)]

    def test_l5_a_read_transaction_stays_at_one_instant(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        start = world.now()
        with world.database.read(UNBOUNDED) as transaction:
            transaction.log.now()
            world.run("INSERT INTO customer (id) VALUES ('b')", "INSERT INTO tree (id) VALUES (1)")
            assert transaction.log.entries(start, "", 10).touched == {}
            assert transaction.rows.find(world.number("customer"), [("b",)], []) == []
            assert len(transaction.rows.chunk(world.number("customer"), None, 10)) == 1
            end = transaction.log.now()
        assert set(world.since(end)) == {"customer", "tree"}

    def test_changes_of_one_row_become_one(self, world: World) -> None:
        world.run("INSERT INTO customer VALUES ('a', 'Ada', NULL, 1)")
        start = world.now()
        world.run("UPDATE customer SET name = 'B'", "UPDATE customer SET balance = 2")
        with world.database.read(UNBOUNDED) as transaction:
            page = transaction.log.entries(start, "", 10)
        assert [len(rows) for rows in page.touched.values()] == [1]
        assert world.since(start) == {"customer": {("a",): {"name", "balance"}}}

    def test_a_replica_does_not_get_its_own_edits_back(self, world: World) -> None:
        start = world.now()
        world.push(world.stage("insert", "customer", [["a", "Ada", None, 1]]), origin="r1")
        world.push(world.stage("insert", "customer", [["b", "Bob", None, 1]]), origin="r2")
        assert set(world.since(start, "r1")["customer"]) == {("b",)}
        assert set(world.since(start, "r2")["customer"]) == {("a",)}
        assert set(world.since(start)["customer"]) == {("a",), ("b",)}

    def test_rows_gives_those_that_exist_with_the_columns_asked_for(self, world: World) -> None:
        world.insert("customer", "('a', 'Ada', 'x', 1)", "('b', 'Bob', 'y', 2)")
        found = world.read(lambda t: t.rows.find(world.number("customer"), [("a",), ("b",), ("c",)], [2, 0]))
        assert sorted(found) == [["a", 1, "Ada"], ["b", 2, "Bob"]]
        assert world.read(lambda t: t.rows.find(world.number("customer"), [], [0])) == []

    def test_rows_takes_many_keys_and_composite_ones(self, world: World) -> None:
        rows: list[list[object]] = [[number % 7, number, 1] for number in range(1500)]
        world.run(
            "INSERT INTO customer (id) VALUES ('a')",
            *(f"INSERT INTO invoice VALUES ({number}, 'a', 1, '')" for number in range(7)),
        )
        world.push(world.stage("insert", "line", rows))  # type: ignore[arg-type]
        keys = [(number % 7, number) for number in range(0, 3000, 2)]
        found = world.read(lambda t: t.rows.find(world.number("line"), keys, []))
        assert sorted(map(tuple, found)) == sorted(key for key in keys if key[1] < 1500)

    def test_chunks_give_the_whole_table_in_key_order(self, world: World) -> None:
        world.run(
            "INSERT INTO customer (id) VALUES ('a')",
            world.words.insert("invoice", "(1, 'a', 1, '')", "(2, 'a', 1, '')", "(3, 'a', 1, '')"),
            world.words.insert(
                "line",
                "(2, 1, 5)",
                "(1, 3, 6)",
                "(1, 1, 7)",
                "(3, 1, 8)",
                "(2, 2, 9)",
                "(1, 2, 1)",
                "(3, 9, 2)",
            ),
        )
        assert [tuple(row) for row in world.rows("line")] == [
            (1, 1, 7), (1, 2, 1), (1, 3, 6), (2, 1, 5), (2, 2, 9), (3, 1, 8), (3, 9, 2),
        ]  # fmt: skip
        assert world.rows("tree") == []

    def test_a_chunk_goes_on_from_a_key_that_is_gone(self, world: World) -> None:
        world.insert("tree (id)", "(1)", "(2)", "(3)")
        first = world.read(lambda t: t.rows.chunk(world.number("tree"), None, 2))
        world.run("DELETE FROM tree WHERE id = 2")
        assert [row[0] for row in first] == [1, 2]
        assert world.read(lambda t: t.rows.chunk(world.number("tree"), (2,), 2)) == [[3, None]]
