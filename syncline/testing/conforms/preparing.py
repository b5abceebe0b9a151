"""init: what is reflected, what is installed, what is refused."""

from __future__ import annotations

from typing import ClassVar

import pytest

from syncline.errors import NotPrepared, SchemaError
from syncline.model.schema import from_plain, to_plain
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import TRACKED, Centre, Words, World


class PrepareConformance:
    """`reflect`, `prepare`, `load`, `hub_id`."""

    WORDS: ClassVar[Words]

    def test_a_second_init_finds_nothing_to_do(self, world: World) -> None:
        again = world.database.catalogue.prepare(world.database.catalogue.reflect(TRACKED))
        assert again.statements == []

    def test_load_gives_the_schema_that_was_prepared(self, world: World) -> None:
        assert world.schema == world.database.catalogue.reflect(TRACKED)
        assert from_plain(to_plain(world.schema)).fingerprint == world.schema.fingerprint

    def test_init_alters_no_table_of_the_user(self, centre: Centre) -> None:
        centre.run(*self.WORDS.tables)
        database = centre.open()
        before = database.catalogue.reflect(None)
        database.catalogue.prepare(before)
        assert database.catalogue.reflect(None) == before
        database.close()

    def test_a_dry_run_says_what_it_would_do_and_does_nothing(self, centre: Centre) -> None:
        centre.run(*self.WORDS.tables)
        database = centre.open()
        schema = database.catalogue.reflect(None)
        planned = database.catalogue.prepare(schema, dry_run=True)
        assert planned.statements
        with pytest.raises(NotPrepared):
            database.catalogue.load()
        assert database.catalogue.prepare(schema, dry_run=True).statements == planned.statements
        database.close()

    def test_a_database_without_init_says_so(self, centre: Centre) -> None:
        database = centre.open()
        with pytest.raises(NotPrepared):
            database.catalogue.load()
        with pytest.raises(NotPrepared):
            _ = database.catalogue.hub_id
        database.close()

    def test_remove_takes_everything_away_again_and_a_second_time_nothing(self, world: World) -> None:
        world.run("INSERT INTO customer (id) VALUES ('a')")
        before = world.database.catalogue.reflect(None)
        first = world.database.catalogue.hub_id
        planned = world.database.catalogue.remove(dry_run=True)
        assert planned.statements
        world.database.catalogue.load()
        assert world.database.catalogue.remove() == planned
        with pytest.raises(NotPrepared):
            world.database.catalogue.load()
        assert world.database.catalogue.reflect(None) == before
        assert world.database.catalogue.remove().statements == []
        world.run("INSERT INTO customer (id) VALUES ('b')")
        world.database.catalogue.prepare(before)
        assert world.database.catalogue.hub_id != first
        again = World(world.centre, world.database, world.database.catalogue.load(), words=self.WORDS)
        assert [row[0] for row in again.rows("customer")] == ["a", "b"]

    def test_the_hub_id_is_made_once(self, world: World) -> None:
        world.database.catalogue.prepare(world.schema)
        other = world.centre.open()
        assert other.catalogue.hub_id == world.database.catalogue.hub_id
        assert len(other.catalogue.hub_id) == 36
        other.close()

    def test_all_tables_that_cannot_take_part_are_named_at_once(self, centre: Centre) -> None:
        centre.run("CREATE TABLE keyless (a integer)", *self.WORDS.tables)
        database = centre.open()
        with pytest.raises(SchemaError) as caught:
            database.catalogue.reflect(["customer", "nowhere", "keyless"])
        assert "nowhere" in caught.value.detail
        assert "keyless" in caught.value.detail
        assert "keyless" not in [table.name for table in database.catalogue.reflect(None).tables]
        database.close()

    def test_parents_come_before_children(self, world: World) -> None:
        rank = world.schema.rank
        order = [rank[world.number(name)] for name in ("customer", "invoice", "line")]
        assert order == sorted(order)

    def test_a_table_can_join_later_and_the_log_goes_on(self, centre: Centre) -> None:
        centre.run(*self.WORDS.tables)
        database = centre.open()
        database.catalogue.prepare(database.catalogue.reflect(["customer"]))
        database.catalogue.load()
        database.catalogue.prepare(database.catalogue.reflect(["customer", "invoice"]))
        world = World(centre, database, database.catalogue.load(), words=self.WORDS)
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
        assert other.catalogue.load() == world.schema
        with other.read(UNBOUNDED) as transaction:
            assert transaction.rows.chunk(world.number("tree"), None, 10) == [[1, None]]
        other.close()
