"""Old values in the log: what rows were like at a position."""

from __future__ import annotations

import pytest

from syncline.errors import SchemaError
from syncline.hub.contract import Former, Key, Outdated, Position
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World

MANY = 1200
"""More rows than travel one by one in any database."""

DECLARED = {
    "customer": ["city", "balance"],
    "line": ["qty"],
    "tree": ["parent"],
    "employee": ["boss"],
    "contact": ["shown"],
    "sample": ["big", "ratio", "body", "octets"],
}

TWO = "('a', 'Ada', 'Rome', 1)", "('b', 'Bob', 'Oslo', 2)"

WAS_ADA: dict[str, Value] = {"city": "Rome", "balance": 1}
WAS_BOB: dict[str, Value] = {"city": "Oslo", "balance": 2}

Was = dict[str, Value] | None


def former(world: World, after: Position, table: str, *keys: Key) -> dict[Key, Was]:
    """What is told of these rows: old values by name; None: they were not there."""
    columns = world.schema.table(table).values
    found: dict[Key, Was] = {}
    for key, one in told(world, after, table, *keys).items():
        assert one.values is not None, "what it was is not known"
        found[key] = {columns[n].name: value for n, value in one.values.items()} if one.existed else None
    return found


def told(world: World, after: Position, table: str, *keys: Key) -> dict[Key, Former]:
    with world.database.read(UNBOUNDED) as transaction:
        return transaction.log.former(after, world.number(table), keys)


class BeforeConformance:
    """Law L5 within a scope: a row that leaves it is told, though it looks as if it had never been in."""

    @pytest.fixture
    def keeping(self, world: World) -> World:
        """The suite's tables with old values kept of some columns, and two customers."""
        world.renew(before=DECLARED)
        world.insert("customer", *TWO)
        return world

    # Direct writes

    def test_an_update_keeps_what_it_changed(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("UPDATE customer SET balance = balance + 5")
        assert former(keeping, start, "customer", ("a",), ("b",)) == {("a",): WAS_ADA, ("b",): WAS_BOB}

    def test_an_update_of_other_columns_keeps_nothing(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("UPDATE customer SET name = 'x', balance = balance WHERE id = 'a'")
        assert former(keeping, start, "customer", ("a",), ("b",)) == {("a",): {}}

    def test_a_delete_keeps_what_was_there(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("DELETE FROM customer")
        assert former(keeping, start, "customer", ("a",), ("b",)) == {("a",): WAS_ADA, ("b",): WAS_BOB}

    def test_a_row_that_came_since_was_not_there(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("INSERT INTO customer VALUES ('c', 'Cy', 'Bonn', 3)", "UPDATE customer SET balance = 4")
        keeping.run("DELETE FROM customer WHERE id = 'c'")
        assert former(keeping, start, "customer", ("c",)) == {("c",): None}

    def test_each_position_is_told_what_it_saw(self, keeping: World) -> None:
        moments = [keeping.now()]
        for statement in (
            "UPDATE customer SET name = 'x' WHERE id = 'a'",
            "UPDATE customer SET city = 'Bonn' WHERE id = 'a'",
            "DELETE FROM customer WHERE id = 'a'",
            "INSERT INTO customer VALUES ('a', 'Ada', 'Kiel', 7)",
            "UPDATE customer SET balance = 8 WHERE id = 'a'",
        ):
            keeping.run(statement)
            moments.append(keeping.now())
        found = [former(keeping, moment, "customer", ("a",)) for moment in moments]
        assert found == [
            {("a",): WAS_ADA},
            {("a",): WAS_ADA},
            {("a",): {"city": "Bonn", "balance": 1}},
            {("a",): None},
            {("a",): {"city": "Kiel", "balance": 7}},
            {},
        ]

    def test_a_change_of_key_is_a_row_that_went_and_one_that_came(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("UPDATE customer SET id = 'c', balance = 9 WHERE id = 'a'")
        assert former(keeping, start, "customer", ("a",), ("c",)) == {("a",): WAS_ADA, ("c",): None}

    def test_what_cascades_keeps_what_was_there(self, keeping: World) -> None:
        keeping.needs_cascades()
        keeping.run("INSERT INTO invoice VALUES (1, 'a', 5, '')")
        keeping.insert("line", "(1, 1, 10)", "(1, 2, 20)")
        keeping.insert("tree", "(1, NULL)", "(2, 1)", "(3, 2)")
        start = keeping.now()
        keeping.run("DELETE FROM invoice", "DELETE FROM tree WHERE id = 1")
        lines = former(keeping, start, "line", (1, 1), (1, 2))
        assert lines == {(1, 1): {"qty": 10}, (1, 2): {"qty": 20}}
        trees = former(keeping, start, "tree", (1,), (2,), (3,))
        assert trees == {(1,): {"parent": None}, (2,): {"parent": 1}, (3,): {"parent": 2}}

    def test_an_upsert_keeps_what_it_overwrote(self, keeping: World) -> None:
        start = keeping.now()
        rows = "('a', 'Ada', 'Bonn', 9)", "('c', 'Cy', 'Kiel', 3)"
        keeping.run(keeping.words.upsert("customer", "id", "city", *rows))
        assert former(keeping, start, "customer", ("a",), ("c",)) == {("a",): WAS_ADA, ("c",): None}

    def test_what_a_users_trigger_writes_keeps_what_was_there(self, keeping: World) -> None:
        keeping.run("INSERT INTO contact (id, name) VALUES (1, 'ada')")
        start = keeping.now()
        keeping.run("UPDATE contact SET name = 'bob'")
        assert former(keeping, start, "contact", (1,)) == {(1,): {"shown": "ADA"}}

    def test_old_values_are_exact(self, keeping: World) -> None:
        keeping.insert("sample (id)", "(1)", "(2)")
        rows: list[list[Value]] = [
            [1, -(2**63), 5e-324, "a,'b=\\\"\n\u00e9", b"\x00\xff,'"],
            [2, 2**63 - 1, 0.1, "", b""],
        ]
        assert keeping.push(keeping.stage("update", "sample", rows)) == []
        start = keeping.now()
        keeping.run("UPDATE sample SET big = 0, ratio = NULL", "DELETE FROM sample")
        found = former(keeping, start, "sample", (1,), (2,))
        assert repr([list((found[n,] or {}).values()) for n in (1, 2)]) == repr([row[1:] for row in rows])

    # Pushes

    @pytest.mark.parametrize("count", [2, MANY])
    @pytest.mark.parametrize("op", ["U", "R"])
    def test_a_pushed_update_keeps_what_it_changed(self, keeping: World, count: int, op: str) -> None:
        parents: dict[int, Value] = {n: n - 1 or None for n in range(1, count + 1)}
        keeping.push(keeping.stage("insert", "tree", [[n, parent] for n, parent in parents.items()]))
        start = keeping.now()
        moved: list[list[Value]] = [[n, 1 if n > 1 else None] for n in parents]
        assert keeping.push(keeping.stage("update", "tree", moved, op=op)) == []
        keys = [(n,) for n in parents]
        assert former(keeping, start, "tree", *keys) == {(n,): {"parent": p} for n, p in parents.items()}

    @pytest.mark.parametrize("count", [2, MANY])
    def test_a_pushed_delete_keeps_what_was_there(self, keeping: World, count: int) -> None:
        """Children and parents in one push; some are gone with a cascade before it is their turn."""
        parents: dict[int, Value] = {n: 1 if n > 1 else None for n in range(1, count + 1)}
        keeping.push(keeping.stage("insert", "tree", [[n, parent] for n, parent in parents.items()]))
        start = keeping.now()
        assert keeping.push(keeping.stage("delete", "tree", [[n] for n in parents])) == []
        assert keeping.rows("tree") == []
        keys = [(n,) for n in parents]
        assert former(keeping, start, "tree", *keys) == {(n,): {"parent": p} for n, p in parents.items()}

    @pytest.mark.parametrize("count", [2, MANY])
    def test_a_pushed_insert_was_not_there(self, keeping: World, count: int) -> None:
        start = keeping.now()
        rows: list[list[Value]] = [[n, None, None, None, None] for n in range(count)]
        assert keeping.push(keeping.stage("insert", "sample", rows)) == []
        keys = [(n,) for n in range(count)]
        assert former(keeping, start, "sample", *keys) == dict.fromkeys(keys)

    def test_several_entries_of_one_pushed_row_tell_the_same(self, keeping: World) -> None:
        start = keeping.now()
        stage = keeping.stage("update", "customer", [["a", "Eva", "Bonn", 9]])
        masks = [1 << n for n in stage.columns]
        stage.entries = [(0, mask, stage.hlc[0] + place) for place, mask in enumerate(masks)]
        assert keeping.push(stage) == []
        assert former(keeping, start, "customer", ("a",)) == {("a",): WAS_ADA}

    def test_a_pushed_update_of_other_columns_keeps_nothing(self, keeping: World) -> None:
        start = keeping.now()
        keeping.push(keeping.stage("update", "customer", [["a", "Eva"]], ["name"]))
        assert former(keeping, start, "customer", ("a",)) == {("a",): {}}

    def test_values_that_trade_places_keep_what_was_there(self, keeping: World) -> None:
        start = keeping.now()
        swap: list[list[Value]] = [["a", "Oslo"], ["b", "Rome"]]
        assert keeping.push_what_fits(keeping.stage("update", "customer", swap, ["city"])) in (
            set(),
            {("customer", ("a",)), ("customer", ("b",))},
        )
        found = former(keeping, start, "customer", ("a",), ("b",))
        assert found in ({}, {("a",): WAS_ADA, ("b",): WAS_BOB})

    def test_beside_a_refused_row_the_others_keep_what_was_there(self, keeping: World) -> None:
        keeping.run("INSERT INTO customer VALUES ('c', 'Cy', 'Kiel', 3)")
        start = keeping.now()
        rows: list[list[Value]] = [["a", "Bonn"], ["b", "Kiel"]]
        refused = keeping.push_what_fits(keeping.stage("update", "customer", rows, ["city"]))
        assert refused == {("customer", ("b",))}
        assert former(keeping, start, "customer", ("a",), ("b",), ("c",)) == {("a",): WAS_ADA}

    def test_a_child_that_moves_before_its_parent_goes_keeps_its_parent(self, keeping: World) -> None:
        keeping.insert("tree", "(1, NULL)", "(2, NULL)", "(3, 1)")
        start = keeping.now()
        moves = keeping.stage("update", "tree", [[3, 2]])
        assert keeping.push(moves, keeping.stage("delete", "tree", [[1]])) == []
        assert keeping.rows("tree") == [[2, None], [3, 2]]
        found = former(keeping, start, "tree", (1,), (2,), (3,))
        assert found == {(1,): {"parent": None}, (3,): {"parent": 1}}

    def test_a_refused_row_beside_a_child_that_moves(self, keeping: World) -> None:
        """Rows are tried one by one then; what they were is told all the same, and once."""
        keeping.insert("employee", "(1, 'a', NULL)", "(2, 'b', NULL)", "(3, 'c', 1)", "(4, 'd', 1)")
        start = keeping.now()
        moves = keeping.stage("update", "employee", [[3, 2], [4, 99]], ["boss"])
        refused = keeping.push_what_fits(moves, keeping.stage("delete", "employee", [[1]]))
        assert ("employee", (4,)) in refused
        found = former(keeping, start, "employee", (1,), (2,), (3,), (4,))
        assert found == {(3,): {"boss": 1}}

    # Declaring

    def test_nothing_is_kept_unless_it_is_declared(self, world: World) -> None:
        world.insert("customer", *TWO)
        start = world.now()
        world.run("UPDATE customer SET city = 'x' WHERE id = 'a'", "DELETE FROM customer WHERE id = 'b'")
        assert former(world, start, "customer", ("a",), ("b",)) == {("a",): {}, ("b",): {}}

    def test_declaring_keeps_the_log_and_what_came_before_is_not_known(self, world: World) -> None:
        world.insert("customer", *TWO)
        start = world.now()
        world.run("UPDATE customer SET city = 'x' WHERE id = 'a'")
        world.run("UPDATE customer SET name = 'y' WHERE id = 'b'")
        world.renew(before=DECLARED)
        between = world.now()
        world.run("UPDATE customer SET city = 'z' WHERE id = 'b'")
        assert set(world.since(start)["customer"]) == {("a",), ("b",)}
        assert told(world, start, "customer", ("a",)) == {("a",): Former(True, None)}
        assert former(world, start, "customer", ("b",)) == {("b",): WAS_BOB}
        assert former(world, between, "customer", ("a",), ("b",)) == {("b",): WAS_BOB}

    def test_declaring_more_or_less_keeps_the_log(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("UPDATE customer SET city = 'x', name = 'y' WHERE id = 'a'")
        keeping.renew(before={"customer": ["city"]})
        assert former(keeping, start, "customer", ("a",)) == {("a",): {"city": "Rome"}}
        keeping.run("DELETE FROM customer WHERE id = 'b'")
        assert former(keeping, start, "customer", ("b",)) == {("b",): {"city": "Oslo"}}
        keeping.renew(before={"customer": ["city", "name"]})
        assert told(keeping, start, "customer", ("a",)) == {("a",): Former(True, None)}
        keeping.renew(before={})
        assert former(keeping, start, "customer", ("a",), ("b",)) == {("a",): {}, ("b",): {}}

    def test_what_is_declared_stays_declared_and_in_force(self, keeping: World) -> None:
        again = keeping.renew()
        assert again.statements == []
        keeping.run(keeping.words.add_column("customer", "grade integer DEFAULT 7"))
        keeping.renew()
        start = keeping.now()
        keeping.run("UPDATE customer SET city = 'x', grade = 1 WHERE id = 'a'")
        assert former(keeping, start, "customer", ("a",)) == {("a",): WAS_ADA}

    def test_a_column_is_known_again_under_another_name(self, keeping: World) -> None:
        start = keeping.now()
        keeping.run("UPDATE customer SET city = 'x' WHERE id = 'a'")
        keeping.run(keeping.words.rename_column("customer", "city", "town"))
        keeping.renew()
        keeping.run("DELETE FROM customer WHERE id = 'b'")
        found = former(keeping, start, "customer", ("a",), ("b",))
        assert found == {("a",): {"town": "Rome", "balance": 1}, ("b",): {"town": "Oslo", "balance": 2}}

    def test_l13_a_column_that_was_renamed_meanwhile_stops_nobody(self, keeping: World) -> None:
        """Before the hub has noticed: what a row was may not be told then, but that it was touched is."""
        start = keeping.now()
        keeping.run(keeping.words.rename_column("customer", "city", "town"))
        keeping.run("UPDATE customer SET town = 'x' WHERE id = 'a'", "DELETE FROM customer WHERE id = 'b'")
        keeping.renew()
        assert set(keeping.since(start)["customer"]) == {("a",), ("b",)}
        known = told(keeping, start, "customer", ("a",), ("b",))
        values = keeping.schema.table("customer").values
        columns = {column.name: number for number, column in values.items()}
        for key, was in ((("a",), WAS_ADA), (("b",), WAS_BOB)):
            right = {columns["town"]: was["city"], columns["balance"]: was["balance"]}
            assert known[key] in (Former(True, None), Former(True, right))

    def test_names_that_there_are_not_are_refused(self, world: World) -> None:
        for declared in ({"nowhere": ["x"]}, {"customer": ["nothing"]}):
            with pytest.raises(SchemaError):
                world.renew(before=declared)

    def test_another_hub_on_the_database_keeps_them_too(self, world: World) -> None:
        world.insert("customer", *TWO)
        other = world.opened()
        other.database.catalogue.load()
        world.renew(before=DECLARED)
        start = world.now()
        stage = other.stage("update", "customer", [["a", "Bonn"]], ["city"])
        try:
            other.push(stage)
        except Outdated:
            other.database.catalogue.load()
            stage.handle = None
            other.push(stage)
        other.database.close()
        assert former(world, start, "customer", ("a",)) == {("a",): WAS_ADA}

    # Retention

    def test_l11_compacting_leaves_what_old_values_need(self, keeping: World) -> None:
        start = keeping.now()
        for n in range(3):
            keeping.run(f"UPDATE customer SET balance = {n + 10} WHERE id = 'a'")
            keeping.run(f"UPDATE customer SET name = 'x{n}' WHERE id = 'b'")
        keeping.run("INSERT INTO noted VALUES (1)")
        with keeping.database.write(UNBOUNDED) as transaction:
            assert transaction.log.compact(1000).entries == 2, "those of b that say nothing more"
        assert former(keeping, start, "customer", ("a",)) == {("a",): WAS_ADA}
