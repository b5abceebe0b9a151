"""Keys that the central database alone can spell: taken in any spelling, and one row on both sides (L8)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub, Replica
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m

KINDS = {
    "interval": ("1 day 24:00:00", "P1DT24H", "2 weeks"),
    "jsonb": ('{"b":1,"a":[1,2]}', '{"a": [1, 2], "b": 1}', '{"c":1e1}'),
    "int[]": ("[1, 2,3]", "[1,2,3]", "[ 4 ]"),
    "int4range": ("[1,3]", "[1,4)", "(4,9]"),
    "inet": ("10.1.2.3/32", "10.1.2.3", "::0:1"),
    "cidr": ("10.1", "10.1.0.0/16", "10/8"),
    "char(4)": ("ab  ", "ab", "cd   "),
    "numeric(6,2)": ("1.005", "1.01", "2.999"),
    "numeric": ("  +1.50", "1.50", "1e3"),
    "timestamptz": (
        "2024-01-01 10:00 Europe/Paris",
        "2024-01-01T09:00:00Z",
        "2024-01-01T10:00:00.0000004+05:45",
    ),
    "timestamp(0)": ("2024-01-01T10:00:00.6", "2024-01-01T10:00:01", "Jan 2 2024"),
    "date": ("Feb 29 2024", "2024-02-29", "20240301"),
    "timetz": ("10:00+1", "10:00:00+01", "11:00Z"),
    "bit(4)": ("xA", "1010", "b0001"),
    "money": ("7", "7.00", "$8"),
    "real": (0.1, 0.10000000149011612, 0.2),
    "macaddr": ("08-00-2B-01-02-03", "08:00:2b:01:02:03", "0800.2b01.0204"),
    "citext": ("Anna", "Anna", "BERT"),
    "mood": ("ok", "ok", "sad"),
}
"""A type, a key as a device spells it, what PostgreSQL makes of it, and another one."""


def called(name: str, what: str = "") -> str:
    """The table whose key is of this type, or one that refers to it."""
    return re.sub(r"\W+", "_", f"of {name} {what}").strip("_")


@dataclass
class Centre:
    url: str
    hub: Hub
    device: Replica
    other: Replica
    app: sqlite3.Connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC") as connection:
            return connection.execute(query).fetchall()

    def assert_equal(self) -> None:
        for device in (self.device, self.other):
            device.sync()
            found = device.verify()
            assert found.equal, found.differences


SOME = ("interval", "jsonb", "inet", "char(4)", "numeric(6,2)", "numeric", "date", "bit(4)", "citext")


@contextmanager
def centre_of(url: str, folder: Path, kinds: Iterable[str]) -> Iterator[Centre]:
    statements = ["CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('ok', 'sad')"]
    for name in kinds:
        table, child, pair = called(name), called(name, "child"), called(name, "pair")
        statements += [
            f"CREATE TABLE {table} (k {name} PRIMARY KEY, v text)",
            f"CREATE TABLE {child} (id int PRIMARY KEY, k {name} REFERENCES {table})",
            f"CREATE TABLE {pair} (n int, k {name} REFERENCES {table}, v text, PRIMARY KEY (k, n))",
        ]
    statements += [
        "CREATE TABLE firm (a inet, b int, name text, PRIMARY KEY (a, b))",
        "CREATE TABLE staff (id int PRIMARY KEY, a inet, b int, boss int REFERENCES staff,"
        " FOREIGN KEY (a, b) REFERENCES firm ON UPDATE CASCADE)",
        "CREATE TABLE plain (id int PRIMARY KEY, name text); INSERT INTO plain VALUES (1, 'a')",
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("; ".join(statements))
    file = folder / "device.db"
    with Hub(url) as hub:
        hub.init()
        with (
            syncline.clone(hub, file) as device,
            syncline.clone(hub, folder / "other.db") as other,
            closing(sqlite3.connect(file, isolation_level=None)) as app,
        ):
            app.execute("PRAGMA foreign_keys = ON")
            yield Centre(url, hub, device, other, app)


@pytest.fixture
def centre(postgres_url: str, tmp_path: Path) -> Iterator[Centre]:
    with centre_of(postgres_url, tmp_path, SOME) as centre:
        yield centre


@pytest.fixture
def full(postgres_url: str, tmp_path: Path) -> Iterator[Centre]:
    with centre_of(postgres_url, tmp_path, KINDS) as centre:
        yield centre


def test_every_spelling_of_a_key_is_one_row_and_its_children_follow(full: Centre) -> None:
    centre = full
    for name, (first, _, second) in KINDS.items():
        for number, key in enumerate((first, second)):
            centre.app.execute(f"INSERT INTO {called(name)} VALUES (?, 'new')", (key,))
            centre.app.execute(f"UPDATE {called(name)} SET v = 'edited' WHERE k = ?", (key,))
            centre.app.execute(f"INSERT INTO {called(name, 'child')} VALUES (?, ?)", (number, key))
            centre.app.execute(f"INSERT INTO {called(name, 'pair')} VALUES (?, ?, 'p')", (number, key))
    shown = centre.device.preview()
    assert (shown.rejected, shown.overruled) == ((), ())
    report = centre.device.sync()
    assert (report.push.rejected, report.push.overruled, report.push.conflicts) == ((), 0, 0)
    for name, (_, expected, _) in KINDS.items():
        there = centre.app.execute(f"SELECT k, v FROM {called(name)}").fetchall()
        assert len(there) == 2 and (expected, "edited") in there, name
        query = "SELECT count(*) FROM {0} JOIN {1} ON {0}.k = {1}.k"
        for child in ("child", "pair"):
            joined = query.format(called(name), called(name, child))
            assert centre.app.execute(joined).fetchone() == (2,), name
            assert centre.rows(joined) == [(2,)], name
    centre.assert_equal()


@pytest.mark.parametrize("verb", ["sync", "pull"])
def test_the_key_of_a_row_that_others_made_in_another_spelling_is_that_row(centre: Centre, verb: str) -> None:
    with psycopg.connect(centre.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO of_citext VALUES ('Zoe', 'theirs'); INSERT INTO of_interval VALUES ('48:00')"
        )
        connection.execute("INSERT INTO of_numeric VALUES (1.500, 'theirs')")
    centre.app.execute("INSERT INTO of_citext VALUES ('ZOE', 'mine')")
    centre.app.execute("INSERT INTO of_citext_child VALUES (1, 'ZOE')")
    centre.app.execute("INSERT INTO of_interval VALUES ('2 days', 'mine')")
    centre.app.execute("INSERT INTO of_numeric VALUES ('1.5', 'mine')")
    getattr(centre.device, verb)()
    assert centre.app.execute("SELECT k, v FROM of_citext").fetchall() == [("Zoe", "mine")]
    assert centre.app.execute("SELECT k, v FROM of_interval").fetchall() == [("PT48H", "mine")]
    assert centre.app.execute("SELECT k, v FROM of_numeric").fetchall() == [("1.500", "mine")]
    report = centre.device.sync()
    assert report.push.rejected == ()
    assert centre.rows("SELECT k::text, v FROM of_citext") == [("Zoe", "mine")]
    centre.assert_equal()


def test_a_key_that_moves_and_one_that_goes_again(centre: Centre) -> None:
    centre.app.execute("INSERT INTO of_interval VALUES ('P1D', 'a')")
    centre.device.sync()
    centre.app.execute("UPDATE of_interval SET k = '1 day', v = 'b'")
    centre.app.execute("INSERT INTO of_interval VALUES ('3 hours', 'c'), ('4 hours', 'd')")
    centre.app.execute("DELETE FROM of_interval WHERE k = '4 hours'")
    centre.app.execute("REPLACE INTO of_interval VALUES ('3 hours', 'e')")
    report = centre.device.sync()
    assert report.push.rejected == ()
    assert centre.rows("SELECT k::text, v FROM of_interval ORDER BY k") == [("03:00:00", "e"), ("1 day", "b")]
    assert centre.app.execute("SELECT k, v FROM of_interval ORDER BY k").fetchall() == [
        ("P1D", "b"),
        ("PT3H", "e"),
    ]
    centre.assert_equal()


def test_composite_foreign_keys_and_cascades_follow(centre: Centre) -> None:
    centre.app.execute("INSERT INTO firm VALUES ('10.1.2.3/32', 1, 'f')")
    centre.app.execute("INSERT INTO staff VALUES (1, '10.1.2.3/32', 1, NULL), (2, '10.1.2.3/32', 1, 1)")
    assert centre.device.sync().push.rejected == ()
    assert (
        centre.app.execute("SELECT a, b FROM firm JOIN staff USING (a, b)").fetchall()
        == [("10.1.2.3", 1)] * 2
    )
    centre.assert_equal()


def test_what_cannot_be_a_key_is_rejected_alone(centre: Centre) -> None:
    for name, key in (("interval", "soon"), ("char(4)", "abcde"), ("bit(4)", "10101"), ("jsonb", "{")):
        centre.app.execute(f"INSERT INTO {called(name)} VALUES (?, 'bad')", (key,))
        centre.app.execute(f"INSERT INTO {called(name)} VALUES (?, 'good')", (KINDS[name][0],))
    report = centre.device.sync()
    assert [edit.values["v"] for edit in report.push.rejected] == ["bad"] * 4
    assert {edit.code for edit in report.push.rejected} == {"invalid_value"}
    for name in ("interval", "char(4)", "bit(4)", "jsonb"):
        assert centre.rows(f"SELECT v FROM {called(name)}") == [("good",)]
    centre.assert_equal()


def test_rows_of_the_files_own_tables_follow_too(centre: Centre) -> None:
    centre.app.execute("INSERT INTO of_interval VALUES ('1 day', 'a'), ('2 days', 'b')")
    centre.app.execute("CREATE TABLE own (k TEXT REFERENCES of_interval)")
    centre.app.execute("INSERT INTO own VALUES ('1 day')")
    assert centre.device.sync().push.rejected == ()
    assert centre.app.execute("SELECT k FROM own").fetchall() == [("P1D",)]
    centre.assert_equal()


def test_a_check_of_the_files_own_holds_back_its_rows_alone(centre: Centre) -> None:
    centre.app.execute("CREATE UNIQUE INDEX mine ON of_interval (substr(k, 1, 3))")
    centre.app.execute("INSERT INTO of_interval VALUES ('1 day', 'a'), ('1.0 day', 'same'), ('PT5H', 'b')")
    centre.app.execute("INSERT INTO plain VALUES (2, 'b')")
    report = centre.device.sync()
    assert [edit.values["v"] for edit in report.push.rejected] == ["same"]
    assert centre.rows("SELECT count(*) FROM plain") == [(2,)]


def test_two_rows_of_a_file_whose_keys_are_one_value_are_one_row_and_the_later_is_kept(
    centre: Centre,
) -> None:
    centre.app.execute("INSERT INTO of_interval VALUES ('1 day', 'first'), ('P1D', 'second')")
    report = centre.device.sync()
    assert len(report.push.rejected) == 1 and "spelled otherwise" in report.push.rejected[0].detail
    assert centre.rows("SELECT count(*) FROM of_interval") == [(1,)]
    centre.assert_equal()


def test_a_file_that_is_tracked_is_spelled_as_the_centre_has_it(centre: Centre, tmp_path: Path) -> None:
    with psycopg.connect(centre.url, autocommit=True) as connection:
        connection.execute("INSERT INTO of_inet VALUES ('10.1.2.3', 'same')")
    file = tmp_path / "own.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as app:
        app.execute("CREATE TABLE of_inet (k TEXT PRIMARY KEY, v TEXT)")
        app.execute("CREATE TABLE of_inet_child (id INTEGER PRIMARY KEY, k TEXT REFERENCES of_inet)")
        app.execute("INSERT INTO of_inet VALUES ('10.1.2.3/32', 'same'), ('::0:1', 'here')")
        app.execute("INSERT INTO of_inet_child VALUES (1, '::0:1')")
    with syncline.connect(file, hub=centre.hub) as replica:
        replica.track("of_inet", "of_inet_child")
        assert sum(replica.status().pending.values()) == 2
        assert replica.sync().push.rejected == ()
        assert replica.verify().equal
    assert centre.rows("SELECT host(k), v FROM of_inet ORDER BY 1") == [("10.1.2.3", "same"), ("::1", "here")]
    assert centre.rows("SELECT host(k) FROM of_inet_child") == [("::1",)]
    centre.assert_equal()


def test_nothing_is_asked_of_what_a_device_can_spell_by_itself(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    handle = centre.hub.handle

    def noting(actor: Any, request: Any) -> m.Response:
        seen.append(request)
        return handle(actor, request)

    monkeypatch.setattr(centre.hub, "handle", noting)
    centre.app.execute("INSERT INTO plain VALUES (2, 'b')")
    centre.app.execute("INSERT INTO of_date VALUES ('2024-02-29 00:00', 'a')")
    centre.app.execute("INSERT INTO of_numeric_6_2 VALUES (7, 'a')")
    assert centre.device.sync().push.rejected == ()
    assert not any(isinstance(request, m.Spell) for request in seen)
    centre.app.executemany("INSERT INTO of_interval VALUES (?, 'a')", [(f"{n} hours",) for n in range(600)])
    seen.clear()
    assert centre.device.sync().push.rejected == ()
    assert [len(request.keys) for request in seen if isinstance(request, m.Spell)] == [600]
    assert centre.rows("SELECT count(*) FROM of_interval") == [(600,)]
    centre.assert_equal()


def test_the_hub_gives_back_what_it_cannot_spell(centre: Centre) -> None:
    number = centre.hub.schema.number_of("of_interval")
    name = str(centre.device.id)

    def spelled(table: int, *keys: list[Any]) -> list[list[Any]]:
        answer = centre.hub.handle(ANYONE, m.Spell(name, table, list(keys)))
        assert isinstance(answer, m.Spelled)
        return answer.keys

    assert spelled(number, ["1 day"], ["never"], [7], ["24:00"]) == [["P1D"], ["never"], [7], ["PT24H"]]
    assert spelled(number, ["1 day", 1]) == [["1 day", 1]]
    assert spelled(9999, ["1 day"]) == [["1 day"]]
    assert spelled(number) == []
