"""init: what is reflected, what is installed, what is refused."""

from __future__ import annotations

import pytest

from syncline.errors import NotPrepared, SchemaError
from syncline.model.schema import from_plain, to_plain
from syncline.testing.centre import TABLES, TRACKED, Centre, World


class PrepareConformance:
    """`reflect`, `prepare`, `load`, `hub_id`."""

    def test_a_second_init_finds_nothing_to_do(self, world: World) -> None:
        again = world.database.prepare(world.database.reflect(TRACKED))
        assert again.statements == []

    def test_load_gives_the_schema_that_was_prepared(self, world: World) -> None:
        assert world.schema == world.database.reflect(TRACKED)
        assert from_plain(to_plain(world.schema)).fingerprint == world.schema.fingerprint

    def test_init_alters_no_table_of_the_user(self, centre: Centre) -> None:
        centre.run(*TABLES)
        database = centre.open()
        before = database.reflect(None)
        database.prepare(before)
        assert database.reflect(None) == before
        database.close()

    def test_a_dry_run_says_what_it_would_do_and_does_nothing(self, centre: Centre) -> None:
        centre.run(*TABLES)
        database = centre.open()
        schema = database.reflect(None)
        planned = database.prepare(schema, dry_run=True)
        assert planned.statements
        with pytest.raises(NotPrepared):
            database.load()
        assert database.prepare(schema, dry_run=True).statements == planned.statements
        database.close()

    def test_a_database_without_init_says_so(self, centre: Centre) -> None:
        database = centre.open()
        with pytest.raises(NotPrepared):
            database.load()
        with pytest.raises(NotPrepared):
            _ = database.hub_id
        database.close()

    def test_remove_takes_everything_away_again_and_a_second_time_nothing(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        before = world.database.reflect(None)
        first = world.database.hub_id
        planned = world.database.remove(dry_run=True)
        assert planned.statements
        world.database.load()
        assert world.database.remove() == planned
        with pytest.raises(NotPrepared):
            world.database.load()
        assert world.database.reflect(None) == before
        assert world.database.remove().statements == []
        world.run("INSERT INTO customer (id) VALUES ('b')")
        world.database.prepare(before)
        assert world.database.hub_id != first
        again = World(world.centre, world.database, world.database.load())
        assert [row[0] for row in again.rows("customer")] == ["a", "b"]

    def test_the_hub_id_is_made_once(self, world: World) -> None:
        world.database.prepare(world.schema)
        other = world.centre.open()
        assert other.hub_id == world.database.hub_id
        assert len(other.hub_id) == 36
        other.close()

    def test_all_tables_that_cannot_take_part_are_named_at_once(self, centre: Centre) -> None:
        centre.run("CREATE TABLE keyless (a integer)", *TABLES)
        database = centre.open()
        with pytest.raises(SchemaError) as caught:
            database.reflect(["customer", "nowhere", "keyless"])
        assert "nowhere" in caught.value.detail
        assert "keyless" in caught.value.detail
        assert "keyless" not in [table.name for table in database.reflect(None).tables]
        database.close()

    def test_parents_come_before_children(self, world: World) -> None:
        assert world.position("customer") < world.position("invoice") < world.position("line")

    def test_a_table_can_join_later_and_the_log_goes_on(self, centre: Centre) -> None:
        centre.run(*TABLES)
        database = centre.open()
        database.prepare(database.reflect(["customer"]))
        database.load()
        database.prepare(database.reflect(["customer", "invoice"]))
        world = World(centre, database, database.load())
        start = world.now()
        centre.run("INSERT INTO customer (id) VALUES ('a')", "INSERT INTO invoice VALUES (1, 'a', 1, '')")
        assert {name: list(rows) for name, rows in world.since(start).items()} == {
            "customer": [("a",)],
            "invoice": [(1,)],
        }
        database.close()

    def test_another_opening_of_the_database_sees_it_all(self, world: World) -> None:
        world.push(world.stage("insert", "tree", [[1, None]]))
        other = world.centre.open()
        assert other.load() == world.schema
        with other.read() as transaction:
            assert transaction.chunk(world.position("tree"), None, 10) == [[1, None]]
        other.close()
