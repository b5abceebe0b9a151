"""Tables that are altered after init: numbers, versions, and a log that goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Key, Position
from syncline.model.evolution import compare
from syncline.model.schema import Schema, TableSchema
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import Words, World

MANY = 1200
"""More rows than travel one by one in any database."""

Spelled = Callable[[Words], str]
"""A statement in the words of the database."""


def added(words: Words) -> str:
    return words.add_column("customer", "grade integer DEFAULT 7")


def renamed(words: Words) -> str:
    return words.rename_column("customer", "name", "title")


def renamed_key(words: Words) -> str:
    return words.rename_column("customer", "id", "code")


def numbers(table: TableSchema) -> dict[str, int]:
    return {column.name: column.number for column in table.columns}


def is_told(world: World, start: Position, table: str, keys: set[Key]) -> bool:
    """Whether rows that were not captured are sent, or the position is refused, so that all is compared."""
    try:
        return set(world.since(start)[table]) >= keys
    except WatermarkRefused as refused:
        return refused.code == "watermark_lost"


class EvolvingConformance:
    """`prepare` after the user's ALTER, `version`, `signature`, chunks of some columns, inserts that lack
    columns, capture before and after."""

    # Numbers

    def test_a_new_column_has_a_number_of_its_own_and_the_others_keep_theirs(self, world: World) -> None:
        before = world.schema
        world.run(added(world.words))
        done = world.renew()
        assert (done.before, done.schema) == (before, world.schema)
        old, new = numbers(before.table("customer")), numbers(world.schema.table("customer"))
        assert new == old | {"grade": max(old.values()) + 1}
        assert world.schema.number_of("customer") == before.number_of("customer")

    def test_a_dry_run_tells_the_schema_and_changes_nothing(self, world: World) -> None:
        world.run(added(world.words))
        catalogue = world.database.catalogue
        names = [table.name for table in world.schema.tables]
        planned = catalogue.prepare(catalogue.reflect(names), dry_run=True)
        assert planned.before == world.schema
        assert planned.schema is not None
        assert catalogue.load() == world.schema
        assert world.renew().schema == planned.schema

    def test_a_renamed_column_keeps_its_number(self, world: World) -> None:
        before = numbers(world.schema.table("customer"))
        world.run(renamed(world.words))
        world.renew()
        after = numbers(world.schema.table("customer"))
        assert after == {"title" if name == "name" else name: n for name, n in before.items()}

    def test_a_renamed_key_column_keeps_its_number_and_its_log(self, world: World) -> None:
        before = numbers(world.schema.table("line"))
        start = world.now()
        world.run("INSERT INTO customer (id) VALUES ('a')", "INSERT INTO invoice VALUES (1, 'a', 1, '')")
        world.run("INSERT INTO line VALUES (1, 5, 0)")
        world.run(world.words.rename_column("line", "n", "place"))
        world.renew()
        after = numbers(world.schema.table("line"))
        assert after == {"place" if name == "n" else name: n for name, n in before.items()}
        assert list(world.since(start)["line"]) == [(1, 5)]

    def test_columns_that_trade_names_trade_numbers(self, world: World) -> None:
        before, start = numbers(world.schema.table("customer")), world.now()
        world.run("INSERT INTO customer (id, name) VALUES ('a', 'Ada')")
        world.run(
            world.words.rename_column("customer", "name", "other"),
            world.words.rename_column("customer", "city", "name"),
            world.words.rename_column("customer", "other", "city"),
        )
        world.renew()
        after = numbers(world.schema.table("customer"))
        if world.words.knows_columns:
            assert (after["name"], after["city"]) == (before["city"], before["name"])
        else:
            assert after == before
            assert world.read(lambda transaction: transaction.log.standings([start])) == ["lost"]

    def test_a_name_that_was_given_up_can_be_taken_by_a_new_column(self, world: World) -> None:
        before = numbers(world.schema.table("customer"))
        world.run(renamed(world.words), world.words.add_column("customer", f"name {world.words.text}"))
        world.renew()
        after = numbers(world.schema.table("customer"))
        assert after["title"] == before["name"]
        assert after["name"] not in before.values()

    def test_a_renamed_table_keeps_its_number_and_its_log(self, world: World) -> None:
        number, start = world.schema.number_of("tree"), world.now()
        world.run("INSERT INTO tree VALUES (1, NULL)")
        world.run(world.words.rename_table("tree", "bush"))
        world.renew(new=["bush"], gone=["tree"])
        assert world.schema.number_of("bush") == number
        world.run("INSERT INTO bush VALUES (2, 1)")
        assert set(world.since(start)["bush"]) == {(1,), (2,)}

    def test_tables_that_trade_names_trade_numbers(self, world: World) -> None:
        before = {name: world.schema.number_of(name) for name in ("tree", "noted")}
        world.run(
            world.words.rename_table("tree", "other"),
            world.words.rename_table("noted", "tree"),
            world.words.rename_table("other", "noted"),
        )
        world.renew()
        assert {name: world.schema.number_of(name) for name in ("tree", "noted")} == {
            "noted": before["tree"],
            "tree": before["noted"],
        }

    def test_a_table_that_took_the_place_of_another_is_the_one_of_its_name(self, world: World) -> None:
        """Rebuilt beside it and swapped in; what was not captured meanwhile is made good."""
        number = world.schema.number_of("noted")
        world.run("INSERT INTO noted VALUES (1)")
        start = world.now()
        world.run("CREATE TABLE fresh (id integer PRIMARY KEY)", world.words.insert("fresh", "(2)", "(3)"))
        world.run(world.words.rename_table("noted", "stale"), world.words.rename_table("fresh", "noted"))
        world.renew()
        assert world.schema.number_of("noted") == number
        assert is_told(world, start, "noted", {(2,), (3,)})
        later = world.now()
        world.run("INSERT INTO noted VALUES (4)", "INSERT INTO stale VALUES (5)")
        assert set(world.since(later)["noted"]) == {(4,)}

    def test_a_table_that_was_created_anew_is_the_one_of_its_name(self, world: World) -> None:
        number, start = world.schema.number_of("noted"), world.now()
        world.run("DROP TABLE noted", f"CREATE TABLE noted (id integer PRIMARY KEY, note {world.words.text})")
        world.run("INSERT INTO noted (id) VALUES (1)")
        world.renew()
        assert world.schema.number_of("noted") == number
        world.run("INSERT INTO noted (id) VALUES (2)")
        assert is_told(world, start, "noted", {(1,), (2,)})

    # Versions

    def test_versions_are_kept_until_they_are_forgotten(self, world: World) -> None:
        versions: list[Schema] = [world.schema]
        for name in ("one", "two"):
            world.run(world.words.add_column("tree", f"{name} {world.words.text}"))
            world.renew()
            versions.append(world.schema)
        with world.database.write(UNBOUNDED) as transaction:
            # Where others had a table for a moment, what was prepared till then was a version, too.
            assert transaction.ledger.forget_versions({versions[1].fingerprint}) >= 1
            assert transaction.ledger.forget_versions(()) == 1
            assert transaction.ledger.forget_versions(()) == 0
        assert world.database.catalogue.load() == versions[2]

    def test_a_name_that_comes_back_means_what_it_meant(self, world: World) -> None:
        first = world.schema
        world.run(world.words.rename_table("tree", "bush"))
        world.renew(new=["bush"], gone=["tree"])
        world.run(world.words.rename_table("bush", "tree"))
        world.renew(new=["tree"], gone=["bush"])
        assert world.schema.number_of("tree") == first.number_of("tree")
        assert numbers(world.schema.table("tree")) == numbers(first.table("tree"))

    # Signature

    @pytest.mark.parametrize(
        "statement",
        [
            added,
            renamed,
            lambda words: words.rename_table("customer", "client"),
            lambda words: "CREATE TABLE another (id integer PRIMARY KEY)",
            lambda words: "DROP TABLE sample",
            lambda words: "CREATE INDEX by_balance ON customer (balance)",
            lambda words: "CREATE UNIQUE INDEX by_name ON contact (name)",
        ],
    )
    def test_what_alters_tables_alters_the_signature(self, world: World, statement: Spelled) -> None:
        before = world.database.catalogue.signature()
        world.run(statement(world.words))
        assert world.database.catalogue.signature() != before

    def test_what_writes_rows_leaves_the_signature_as_it_is(self, world: World) -> None:
        before = world.database.catalogue.signature()
        world.run("INSERT INTO customer (id) VALUES ('a')", "UPDATE customer SET name = 'x'")
        world.push(world.stage("insert", "tree", [[1, None]]))
        world.since(world.now())
        assert world.database.catalogue.signature() == before

    # Rows

    def test_some_columns_are_read_in_chunks(self, world: World) -> None:
        world.insert("customer", "('a', 'Ada', 'x', 1)", "('b', 'Bob', 'y', 2)")
        world.run(added(world.words))
        world.renew()
        number, grade = world.number("customer"), numbers(world.schema.table("customer"))["grade"]
        with world.database.read(UNBOUNDED) as transaction:
            assert transaction.rows.chunk(number, None, 9, [grade]) == [["a", 7], ["b", 7]]
            assert transaction.rows.chunk(number, ("a",), 9, [grade]) == [["b", 7]]
            assert transaction.rows.chunk(number, None, 9, []) == [["a"], ["b"]]
            assert transaction.rows.chunk(number, None, 1) == [["a", "Ada", "x", 1, 7]]

    @pytest.mark.parametrize("count", [1, MANY])
    def test_an_insert_may_lack_columns(self, world: World, count: int) -> None:
        world.run(added(world.words))
        world.renew()
        keys: list[list[Value]] = [[f"{n:04}", "x"] for n in range(count)]
        start = world.now()
        stage = world.stage("insert", "customer", keys, ["name"])
        with world.database.write(UNBOUNDED) as transaction:
            transaction.rows.stage(stage)
            assert transaction.rows.lock([stage], hopeful=True) == [[]]
            assert transaction.rows.apply([stage], "r1") == []
            assert transaction.rows.differing(stage) == []
        with world.database.read(UNBOUNDED) as transaction:
            rows = transaction.rows.chunk(world.number("customer"), None, count)
        assert rows == [[key, "x", None, None, 7] for key, _ in keys]
        assert world.since(start)["customer"][("0000",)] == {"name", "city", "balance", "grade"}

    # Capture

    @pytest.mark.parametrize(
        "statement",
        [
            added,
            renamed,
            lambda words: words.rename_column("customer", "balance", "due"),
            renamed_key,
        ],
    )
    def test_l4_writes_before_between_and_after_reach_every_position(
        self, world: World, statement: Spelled
    ) -> None:
        moments = [world.now()]
        key = "code" if statement is renamed_key else "id"
        world.run(
            world.words.insert("customer (id, city)", "('a', 'x')", "('b', 'y')", "('c', 'z')"),
            world.words.insert("customer (id, city)", "('d', 'w')", "('e', 'v')"),
        )
        moments.append(world.now())
        world.run("UPDATE customer SET city = 'x2' WHERE id = 'a'")
        moments.append(world.now())
        world.run(statement(world.words))
        world.run(
            f"UPDATE customer SET city = 'y2' WHERE {key} = 'b'",
            f"DELETE FROM customer WHERE {key} = 'c'",
            f"INSERT INTO customer ({key}) VALUES ('f')",
            f"UPDATE customer SET {key} = 'g' WHERE {key} = 'd'",
        )
        world.renew()
        moments.append(world.now())
        world.run(f"UPDATE customer SET city = 'v2' WHERE {key} = 'e'")
        between: set[Key] = {("b",), ("c",), ("d",), ("f",), ("g",)}
        expected: list[set[Key]] = [
            {("a",), ("e",)} | between,
            {("a",), ("e",)} | between,
            {("e",)} | between,
            {("e",)},
        ]
        if statement is renamed_key and not world.words.captures_renamed_keys:
            for moment, keys in zip(moments, expected, strict=True):
                assert is_told(world, moment, "customer", keys)
            moments, expected = moments[-1:], expected[-1:]
        for moment, keys in zip(moments, expected, strict=True):
            self._reached(world, moment, keys)

    def _reached(self, world: World, moment: Position, keys: set[Key]) -> None:
        assert world.read(lambda transaction: transaction.log.standings([moment])) == ["sound"]
        found = world.since(moment)["customer"]
        assert set(found) == keys
        assert all("city" in columns for columns in found.values())

    def test_what_the_change_means_is_told_from_the_versions(self, world: World) -> None:
        world.run(added(world.words), renamed(world.words))
        done = world.renew()
        assert done.before is not None
        assert done.schema is not None
        change = compare(done.before, done.schema, world.database.catalogue.is_wider)
        assert change.breaking == ()
        (table,) = change.tables
        new = {number: name for name, number in numbers(done.schema.table("customer")).items()}
        assert [new[number] for number in table.added] == ["grade"]
        assert [new[number] for number in table.renamed] == ["title"]
        assert (table.gone, table.retyped) == ((), ())
