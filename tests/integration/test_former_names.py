"""A configuration goes on meaning what it meant when the centre renames: on every server of a hub, on one
that starts later, for `init` and for `doctor`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline import Hub, Table
from syncline.cli import run
from syncline.errors import SchemaError
from syncline.protocol.messages import Limits
from syncline.replica.device import Device
from syncline.replica.store import Store

DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, city TEXT, visits INTEGER NOT NULL DEFAULT 0);
CREATE TABLE line (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id), amount INTEGER);
INSERT INTO customer VALUES (1, 'x', 0)
"""
RULES = {
    "customer": Table(merge={"visits": "sum", "city": "review"}, inserts="same_row", local_rows="cascade"),
    "line": Table(merge={"amount": "max"}, deletes="update_wins", local_rows="null"),
}
TOML = """
[tables.customer]
merge = { visits = "sum", city = "review" }
[tables.line]
merge = { amount = "max" }
"""
RENAME = "ALTER TABLE customer RENAME COLUMN city TO town; ALTER TABLE customer ADD COLUMN vip INTEGER"


class Centre:
    """A central database that other programs alter."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def run(self, script: str) -> None:
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "centre.db", isolation_level=None)) as connection:
                connection.executescript(script)
        else:
            with psycopg.connect(self.url) as connection:
                connection.execute(script.encode())

    def hub(self, rules: dict[str, Table] | None = None) -> Hub:
        return Hub(self.url, RULES if rules is None else rules)

    def toml(self, tables: str = TOML) -> Path:
        path = self.folder / "syncline.toml"
        path.write_text(f'[hub]\ndatabase = "{self.url}"\n{tables}')
        return path


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/centre.db"
    else:
        url = request.getfixturevalue("postgres_url")
    made = Centre(url, tmp_path)
    made.run(DDL)
    yield made


def seen(hub: Hub) -> None:
    """Have a server look at once, however short ago it looked."""
    hub._follower.look_now()


def rules_of(hub: Hub, table: str, column: str) -> str:
    number = hub.schema.number_of(table)
    rules = hub._central.known()[1][number]
    return rules.columns[hub.schema.table(table).column(column).number].name


def test_rules_go_on_on_a_server_that_learns_of_a_rename_from_another(centre: Centre) -> None:
    with centre.hub() as one, centre.hub() as two:
        one.init()
        with syncline.clone(one, centre.folder / "d.db") as replica:
            seen(two)
            centre.run(RENAME)
            seen(one)
            seen(two)
            for server in (one, two):
                assert rules_of(server, "customer", "town") == "review"
            replica.sync()
        with syncline.connect(centre.folder / "d.db", hub=two) as replica:
            with closing(sqlite3.connect(centre.folder / "d.db")) as app, app:
                app.execute("UPDATE customer SET visits = visits + 1, city = 'y'")
            replica.sync()
        with centre.hub() as later:
            later.check()
            assert rules_of(later, "customer", "town") == "review"


def test_tables_and_every_setting_of_theirs_go_on_under_former_names(centre: Centre) -> None:
    with centre.hub() as one, centre.hub() as two:
        one.init()
        seen(two)
        centre.run("ALTER TABLE line RENAME TO item; ALTER TABLE item RENAME COLUMN amount TO total")
        centre.run("ALTER TABLE customer RENAME TO client; ALTER TABLE client RENAME COLUMN visits TO calls")
        for server in (two, one):
            seen(server)
            assert rules_of(server, "item", "total") == "max"
            assert rules_of(server, "client", "calls") == "sum"
            number = server.schema.number_of("client")
            assert not server._central.known()[1][number].key_taken
            assert server._central.known()[1][server.schema.number_of("item")].deletes.name == "update_wins"
        with (
            syncline.clone(two, centre.folder / "d.db"),
            closing(Store.open(centre.folder / "d.db")) as store,
        ):
            device = Device.load(store)
            modes = {t.table.name: device.local_rows(t) for t in device.tables.values()}
            assert modes == {"client": "cascade", "item": "null"}


def test_a_policy_of_a_dropped_column_is_let_go_and_said(centre: Centre) -> None:
    with (
        centre.hub({"line": Table(merge={"amount": "max"}), "customer": Table()}) as one,
        centre.hub() as two,
    ):
        one.init()
        seen(two)
        if centre.url.startswith("sqlite"):
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'line'"
            with closing(sqlite3.connect(centre.folder / "centre.db")) as connection:
                names = [name for (name,) in connection.execute(triggers)]
            centre.run("".join(f"DROP TRIGGER {name};" for name in names))
        centre.run("ALTER TABLE line DROP COLUMN amount")
        for server in (one, two):
            seen(server)
            assert [column.name for column in server.schema.table("line").columns] == ["id", "customer"]
        assert "line.amount: the column is gone; take it out of syncline.toml" in one.init().notes


@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE line", "line: there is no such table"),
        ("DROP TABLE line; CREATE TABLE line (id INTEGER, amount INTEGER)", "line: has no primary key"),
    ],
)
def test_a_table_that_cannot_take_part_any_more_keeps_no_server_from_starting(
    centre: Centre, change: str, said: str, is_served: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that starts does what one that runs does; a name that no table ever had is a mistake."""
    toml = str(centre.toml())
    assert run(["init", toml]) == 0
    with centre.hub() as running:
        seen(running)
        centre.run(change)
        if is_served:
            seen(running)
    with centre.hub() as started:
        started.check()
        assert [table.name for table in started.schema.tables] == ["customer"]
    capsys.readouterr()
    assert run(["doctor", toml]) == 3
    assert said in "".join(capsys.readouterr())
    with (
        centre.hub({"customer": Table(), "lnie": Table()}) as wrong,
        pytest.raises(SchemaError, match="no such table"),
    ):
        wrong.check()


@pytest.mark.parametrize("is_served", [True, False])
def test_init_and_doctor_go_on_by_former_names_and_say_so(
    centre: Centre, is_served: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = str(centre.toml())
    assert run(["init", toml]) == 0
    centre.run(f"{RENAME}; ALTER TABLE line RENAME TO item")
    if is_served:
        with centre.hub() as server:
            server.check()
            seen(server)
    capsys.readouterr()
    item = "item" if centre.url.startswith("sqlite") else "public.item"
    assert run(["doctor", toml]) == 0, "servers follow by themselves"
    said = capsys.readouterr().out
    if is_served:
        assert f"line: it is called {item} now; write the new name into syncline.toml [former_name]" in said
        assert "trouble" not in said
    else:
        assert "[not_followed_yet]" in said and "no such table" not in said
    assert "customer.city: it is called town now; write the new name into syncline.toml" in said
    assert run(["init", toml, "--dry-run"]) == 0
    assert run(["init", toml]) == 0
    said = capsys.readouterr().out
    assert f"line: it is called {item} now; write the new name into syncline.toml" in said
    assert "customer.city: it is called town now; write the new name into syncline.toml" in said
    with centre.hub() as server:
        assert {table.name for table in server.schema.tables} == {"customer", "item"}
        assert rules_of(server, "item", "amount") == "max"
    new = TOML.replace("line", "item").replace("city", "town")
    assert run(["init", str(centre.toml(new))]) == 0
    assert "is called" not in capsys.readouterr().out
    assert run(["init", str(centre.toml(TOML.replace("city", "citi")))]) == 2, "a name that never was"


@pytest.mark.parametrize("is_new", [False, True])
def test_a_server_starts_after_a_rename_with_former_and_with_new_names(centre: Centre, is_new: bool) -> None:
    with centre.hub() as server:
        server.init()
    centre.run(f"{RENAME}; ALTER TABLE line RENAME TO item")
    customer = Table(merge={"visits": "sum", "town": "review"})
    rules = {"customer": customer, "item": RULES["line"]} if is_new else RULES
    with centre.hub(rules) as server:
        server.check()
        assert rules_of(server, "customer", "town") == "review"
        assert rules_of(server, "item", "amount") == "max"


def test_a_name_that_another_table_has_now_means_that_one(centre: Centre) -> None:
    with centre.hub() as server:
        server.init()
        centre.run(
            "ALTER TABLE line RENAME TO item; CREATE TABLE line (id INTEGER PRIMARY KEY, amount INTEGER)"
        )
        assert [t.name for t in server.schema.tables if t.name != "customer"] == ["item"]
        server.init()
        assert [len(t.columns) for t in server.schema.tables if t.name == "line"] == [2]


def test_l12_a_policy_by_a_name_that_a_new_column_has_now_is_said_to_be_of_that(centre: Centre) -> None:
    with centre.hub() as server:
        server.init()
        centre.run(
            "ALTER TABLE customer RENAME COLUMN city TO town; ALTER TABLE customer ADD COLUMN city TEXT"
        )
        seen(server)
        assert rules_of(server, "customer", "city") == "review"
        assert rules_of(server, "customer", "town") != "review"
        said = (
            "customer.city: this means the column that is called city now; the one that was called so before"
        )
        assert any(note.startswith(said) and "town" in note for note in server.init().notes)
        assert any(said in str(finding) for finding in server.examine())
    named = {**RULES, "customer": Table(merge={"visits": "sum", "city": "review", "town": "lww"})}
    with centre.hub(named) as server:
        assert not any("this means" in note for note in server.init().notes)


def test_a_key_goes_on_under_former_names(postgres_url: str, tmp_path: Path) -> None:
    centre = Centre(postgres_url, tmp_path)
    centre.run("CREATE TABLE reading (place text NOT NULL, day int NOT NULL, v int, UNIQUE (place, day))")
    rules = {"reading": Table(key=("place", "day"), merge={"v": "sum"}, forms={"booleans": "text"})}
    with centre.hub(rules) as one, centre.hub(rules) as two:
        one.init()
        seen(two)
        centre.run("ALTER TABLE reading RENAME place TO site; ALTER TABLE reading RENAME TO measure")
        for server in (one, two):
            seen(server)
            assert server.schema.table("measure").key == ("site", "day")
        notes = one.init().notes
        assert "reading.place: it is called site now; write the new name into syncline.toml" in notes
        assert [finding for finding in one.examine() if finding.level == "trouble"] == []
    with centre.hub(rules) as later:
        later.check()
        assert later.schema.table("measure").column("v").increment


def test_limits_by_table_are_told_by_number(centre: Centre) -> None:
    with Hub(centre.url, limits=Limits(local_rows={"*": "null", "line": "cascade"})) as hub:
        hub.init()
        centre.run("ALTER TABLE line RENAME TO item")
        seen(hub)
        number = hub.schema.number_of("item")
        assert hub._central.told(hub.schema).local_rows == {"*": "null", str(number): "cascade"}
