"""Every portable type passes both ways through both databases unchanged (law L8: fidelity).

Values go device -> centre -> other device, and centre -> device. What arrives is compared by storage
class and to the bit.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import syncline
from syncline.model.values import Value, identical
from tests.support.postgres import PostgresServer

MEGABYTE = random.Random(1).randbytes(2**20)
TEXTS: list[Value] = [
    "", " ", "0", "NULL", "é", "e\u0301", "🎸🏳️‍🌈", "شكرا جزيلا", "שלום \u200fעולם", "\u202eabc",
    "\ufeffx", "\uffff\U0010ffff",
    "a\r\nb\tc", "\x01\x7f\x85", "'; DROP TABLE v; --", '"', "\\", "%s ? $1 :a {}", "ﬁ", "x" * 2**20,
]  # fmt: skip
INTEGERS: list[Value] = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS: list[Value] = [
    0.0, -0.0, 1.0, 0.1, 1 / 3, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324,
    2.2250738585072014e-308, 9007199254740993.0, math.inf, -math.inf,
]  # fmt: skip
BLOBS: list[Value] = [b"", b"\x00", b"\x00" * 1000, bytes(range(256)), b"text", MEGABYTE]
NINES = "9" * 30

POSTGRESQL: dict[str, tuple[str, list[Value]]] = {
    "small": ("smallint", [0, 32767, -32768]),
    "whole": ("integer", [0, 2**31 - 1, -(2**31)]),
    "large": ("bigint", INTEGERS),
    "yes": ("boolean", [0, 1]),
    "single": ("real", [0.0, -0.0, 1.5, 3.4028234663852886e38, 2.0**-149, math.inf, -math.inf, "NaN"]),
    "double": ("double precision", [*FLOATS, "NaN"]),
    "exact": ("numeric", ["0", "-1", NINES, f"-0.{NINES}", f"{NINES}.{NINES}", "1.0", "1.00", "NaN"]),
    "price": ("numeric(12,2)", ["0.00", "-0.01", "9999999999.99"]),
    "body": ("text", TEXTS),
    "short": ("varchar(5)", ["", "12345", "ááááá", "🎸🎸🎸🎸🎸"]),
    "padded": ("char(4)", ["", "a", "abcd"]),
    "raw": ("bytea", BLOBS),
    "moment": ("timestamp", [
        "2026-11-21T12:34:56", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1969-12-31T23:59:59.1",
        "294276-12-31T23:59:59.999999", "infinity", "-infinity", "0044-03-15 12:00:00 BC",
    ]),
    "instant": ("timestamptz", [
        "2026-11-21T12:34:56Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
        "2026-03-29T01:30:00.5Z", "infinity", "-infinity",
    ]),
    "day": ("date", ["2026-02-28", "0001-01-01", "9999-12-31", "infinity", "0044-03-15 BC"]),
    "clock": ("time", ["00:00:00", "23:59:59.999999", "24:00:00"]),
    "zoned": ("timetz", ["00:00:00+00", "23:59:59.999999-15:59", "12:00:00+05:30"]),
    "span": ("interval", ["PT0S", "P1Y2M-3DT4H5M6.7S", "P-178000000Y"]),
    "id2": ("uuid", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    "doc": ("json", ['{"b":1,  "a": [1.0, null, "\\u00e9"], "a": 2}', "null", '""', "1e400", "[]"]),
    "docb": ("jsonb", ['{"a": [1.0, null, "é"]}', "null", '""', "[]", str(10**40), "1.10"]),
    "mood": ("mood", ["sad", "überglücklich", "it's"]),
    "list": ("text[]", ["[]", '["a","","NULL","\\"",null,"é{},"]', '[["a","b"],["c","d"]]']),
    "numbers": ("integer[]", ["[]", "[1,-2,null]"]),
    "host": ("inet", ["10.0.0.1", "10.0.0.0/8", "::1", "fe80::/10"]),
    "mac": ("macaddr", ["08:00:2b:01:02:03"]),
    "bits": ("bit varying", ["", "0", "1010"]),
    "period": ("int4range", ["empty", "[1,10)", "(,)"]),
    "spot": ("point", ["(1,2)", "(0.1,-0.5)"]),
}  # fmt: skip
"""Column -> (type, values in their one spelling). (A jsonb itself has no negative zero.)"""

SQLITE: dict[str, tuple[str, list[Value]]] = {
    "large": ("INTEGER", INTEGERS),
    # SQLite itself stores -0.0 as 0.0 in a column of REAL affinity
    "double": ("REAL", [value for value in FLOATS if str(value) != "-0.0"]),
    "body": ("TEXT", TEXTS),
    "raw": ("BLOB", [*BLOBS, *INTEGERS, *FLOATS, "text", ""]),
    "free": ("", [*INTEGERS, *FLOATS, *TEXTS, *BLOBS]),
    "number": ("NUMERIC", [0, 2**63 - 1, 0.5, "not a number", b"\x00", 1e300]),
    "moment": ("DATETIME", ["2026-11-21 12:34:56", "12:00"]),
    "yes": ("BOOLEAN", [0, 1]),
}


@dataclass
class World:
    """A centre with one table of every type, and two devices in the same process."""

    kind: str
    types: dict[str, tuple[str, list[Value]]]
    hub: syncline.Hub
    files: tuple[Path, Path]
    write: Callable[[int, str, Any], None]
    """Another program puts a value, in its portable spelling, into a column of a new row of the centre."""
    close: Callable[[], None]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, rows: list[dict[str, Value]]) -> dict[int, dict[str, Value]]:
        """Insert rows on the first device, sync both; the rows by id."""
        sent = {next(self.numbers): row for row in rows}
        with closing(sqlite3.connect(self.files[0])) as connection, connection:
            for number, row in sent.items():
                names = ", ".join(f'"{name}"' for name in ("id", *row))
                places = ", ".join("?" * (len(row) + 1))
                connection.execute(f"INSERT INTO v ({names}) VALUES ({places})", [number, *row.values()])
        self.sync()
        return sent

    def sync(self) -> None:
        for file in self.files:
            with syncline.connect(file, hub=self.hub) as replica:
                replica.sync()
                problems = [f"{r.code}: {r.detail}" for r in replica.rejected()]
                assert not problems, problems

    def on_devices(self) -> list[dict[int, dict[str, Value]]]:
        """What both devices hold, by id."""
        found = []
        for file in self.files:
            with closing(sqlite3.connect(file)) as connection:
                connection.row_factory = sqlite3.Row
                found.append({row["id"]: dict(row) for row in connection.execute("SELECT * FROM v")})
        return found


def differences(world: World, sent: dict[int, dict[str, Value]]) -> list[str]:
    """Every value that is not on both devices as it was sent."""
    wrong = []
    for place, rows in zip(("sender", "receiver"), world.on_devices(), strict=True):
        for number, row in sent.items():
            for column, value in row.items():
                found = rows.get(number, {}).get(column, "(no row)")
                if not identical(found, value):
                    shown = f"{str(value)[:60]!r} ({type(value).__name__}) is {str(found)[:60]!r}"
                    wrong.append(f"{column} on the {place}: {shown} ({type(found).__name__})")
    return wrong


def columns_of(types: dict[str, tuple[str, list[Value]]]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, (kind, _) in types.items())


def sqlite_world(folder: Path) -> World:
    central = folder / "central.db"
    connection = sqlite3.connect(central, isolation_level=None)
    connection.execute(f"CREATE TABLE v (id INTEGER PRIMARY KEY, {columns_of(SQLITE)})")
    hub = syncline.Hub(f"sqlite:///{central}", tables={"v": syncline.Table()})

    def write(number: int, column: str, value: Any) -> None:
        connection.execute(f'INSERT INTO v (id, "{column}") VALUES (?, ?)', (number, value))

    return World("sqlite", SQLITE, hub, files(folder), write, lambda: (connection.close(), hub.close())[0])


def postgresql_world(folder: Path, url: str) -> World:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("CREATE TYPE mood AS ENUM ('sad', 'überglücklich', 'it''s')")
    connection.execute(f"CREATE TABLE v (id integer PRIMARY KEY, {columns_of(POSTGRESQL)})".encode())
    hub = syncline.Hub(url, tables={"v": syncline.Table()})

    def write(number: int, column: str, value: Any) -> None:
        kind = POSTGRESQL[column][0]
        if kind.endswith("[]") and value is not None:
            value = json.loads(value)
            place = f"%s::{kind}"
        else:
            value = value if isinstance(value, (bytes, str)) or value is None else repr(value)
            place = "%s::bytea" if isinstance(value, bytes) else f"%s::text::{kind}"
        connection.execute(f'INSERT INTO v (id, "{column}") VALUES (%s, {place})'.encode(), (number, value))

    return World(
        "postgresql", POSTGRESQL, hub, files(folder), write, lambda: (connection.close(), hub.close())[0]
    )


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "one.db", folder / "two.db"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("values")
    if request.param == "sqlite":
        made = sqlite_world(folder)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        made = postgresql_world(folder, server.database())
    made.hub.init()
    for file in made.files:
        syncline.clone(made.hub, file).close()
    yield made
    made.close()


def test_the_ends_of_every_range_pass_from_device_to_device(world: World) -> None:
    rows = [{name: value} for name, (_, values) in world.types.items() for value in [None, *values]]
    assert differences(world, world.send(rows)) == []


def test_the_ends_of_every_range_pass_from_the_centre_to_the_devices(world: World) -> None:
    sent = {}
    for name, (_, values) in world.types.items():
        for value in [None, *values]:
            number = next(world.numbers)
            world.write(number, name, value)
            sent[number] = {name: value}
    world.sync()
    assert differences(world, sent) == []


def test_a_new_device_has_them_all(world: World, tmp_path: Path) -> None:
    """Hydrate and pull give the same."""
    world.sync()
    file = tmp_path / "new.db"
    syncline.clone(world.hub, file).close()
    names = ", ".join(f'"{name}", typeof("{name}")' for name in world.types)
    query = f"SELECT id, {names} FROM v ORDER BY id"
    found = []
    for each in (file, world.files[1]):
        with closing(sqlite3.connect(each)) as connection:
            found.append([tuple(map(repr, row)) for row in connection.execute(query)])
    assert found[0] == found[1]


def text() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


def single() -> st.SearchStrategy[float]:
    return st.floats(width=32, allow_nan=False)


def decimal_text(digits: int, places: int) -> st.SearchStrategy[str]:
    """Decimals in their one spelling at a scale."""
    numbers = st.integers(-(10**digits) + 1, 10**digits - 1)

    def spell(number: int) -> str:
        plain = f"{abs(number):0{places + 1}}"
        whole, part = (plain[:-places], plain[-places:]) if places else (plain, "")
        return ("-" if number < 0 else "") + whole + ("." + part if part else "")

    return numbers.map(spell)


def moments(zone: str) -> st.SearchStrategy[str]:
    def spell(moment: Any) -> str:
        plain = moment.isoformat()
        return (plain.rstrip("0") if "." in plain else plain) + zone

    return st.datetimes().map(spell)


def large() -> st.SearchStrategy[int]:
    return st.integers(-(2**63), 2**63 - 1)


def double() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False)


RANDOM: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "postgresql": {
        "large": large(),
        "single": single(),
        "double": double(),
        "exact": st.integers(0, 12).flatmap(lambda places: decimal_text(30, places)),
        "price": decimal_text(12, 2),
        "body": text(),
        "raw": st.binary(max_size=60),
        "moment": moments(""),
        "instant": moments("Z"),
        "day": st.dates().map(str),
        "id2": st.uuids().map(str),
        "doc": st.recursive(st.none() | st.booleans() | text(), st.lists).map(json.dumps),
    },
    "sqlite": {
        "large": large(),
        "double": double().map(lambda value: value + 0.0),
        "body": text(),
        "raw": st.binary(max_size=60) | large() | double() | text(),
        "free": st.none() | large() | double() | text() | st.binary(max_size=60),
    },
}


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_random_values_pass_from_device_to_device(world: World, data: st.DataObject) -> None:
    row = st.fixed_dictionaries({name: st.none() | kind for name, kind in RANDOM[world.kind].items()})
    rows = data.draw(st.lists(row, min_size=1, max_size=40))
    assert differences(world, world.send(rows)) == []


def test_updates_carry_values_as_inserts_do(world: World) -> None:
    """Each column changes on its own, from the first of its values to the next."""
    sent = world.send([{name: values[0]} for name, (_, values) in world.types.items()])
    changed: dict[int, dict[str, Value]] = {}
    with closing(sqlite3.connect(world.files[0])) as connection, connection:
        for number, row in sent.items():
            for name in row:
                value = world.types[name][1][-1]
                connection.execute(f'UPDATE v SET "{name}" = ? WHERE id = ?', (value, number))
                changed[number] = {name: value}
    world.sync()
    assert differences(world, changed) == []


REFUSED: dict[str, list[tuple[str, Value]]] = {
    "postgresql": [
        ("small", 32768), ("whole", 2**31), ("large", "many"), ("yes", 2), ("exact", "1,5"),
        ("price", "99999999999.99"), ("body", "a\0b"), ("body", b"blob"), ("short", "123456"),
        ("raw", "text"),
        ("moment", "yesterday-ish"), ("day", "2026-02-30"), ("id2", "not-a-uuid"), ("doc", "{"),
        ("docb", "1e1000000"), ("mood", "angry"), ("list", "not json"), ("host", "300.0.0.1"),
        ("double", "many"), ("instant", 5.5e300),
    ],
    "sqlite": [],
}  # fmt: skip


def test_what_the_centre_cannot_hold_is_rejected_row_by_row_and_said(world: World) -> None:
    """L2 and L12: each with a code and a remedy; the rows around them arrive."""
    refused = REFUSED[world.kind]
    good = [next(world.numbers) for _ in refused]
    bad = {next(world.numbers): pair for pair in refused}
    with closing(sqlite3.connect(world.files[0])) as connection, connection:
        for number, (name, value) in bad.items():
            connection.execute(f'INSERT INTO v (id, "{name}") VALUES (?, ?)', (number, value))
        connection.executemany("INSERT INTO v (id) VALUES (?)", [(number,) for number in good])
    with syncline.connect(world.files[0], hub=world.hub) as replica:
        replica.sync()
        rejected = {edit.key[0]: edit for edit in replica.rejected()}
        for number, pair in bad.items():
            assert number in rejected, f"{pair} was not refused"
            assert rejected[number].code == "invalid_value", (pair, rejected[number])
        assert rejected.keys() == bad.keys()
        for edit in rejected.values():
            assert edit.detail and edit.remedy
            replica.discard(edit.id)
    with syncline.connect(world.files[1], hub=world.hub) as replica:
        replica.sync()
    with closing(sqlite3.connect(world.files[1])) as connection:
        ids = {number for (number,) in connection.execute("SELECT id FROM v")}
    assert set(good) <= ids and not bad.keys() & ids


def test_text_that_is_no_unicode_is_refused_on_the_device_and_named(world: World) -> None:
    """Half of a surrogate pair, and bytes that are no UTF-8, cannot travel."""
    number, other = next(world.numbers), next(world.numbers)
    halves = [b"\xed\xa0\x80", b"\xff\xfe"]
    with closing(sqlite3.connect(world.files[0])) as connection, connection:
        connection.execute("INSERT INTO v (id, body) VALUES (?, CAST(? AS TEXT))", (number, halves[0]))
        connection.execute("INSERT INTO v (id, body) VALUES (?, 'fine')", (other,))
    with syncline.connect(world.files[0], hub=world.hub) as replica:
        replica.sync()
        (edit,) = replica.rejected()
        assert edit.key == (number,) and edit.code == "value_refused"
        replica.discard(edit.id)
    with syncline.connect(world.files[1], hub=world.hub) as replica:
        replica.sync()
    assert world.on_devices()[1][other]["body"] == "fine"


def test_a_float_keeps_every_bit(world: World) -> None:
    """Compared as bits, so that a signed zero or a last digit cannot hide."""
    values = [struct.unpack("<d", random.Random(n).randbytes(8))[0] for n in range(300)]
    finite = [value for value in values if math.isfinite(value)]
    sent = world.send([{"double": value} for value in finite])
    for rows in world.on_devices():
        for number, row in sent.items():
            assert struct.pack("<d", rows[number]["double"]) == struct.pack("<d", row["double"])
