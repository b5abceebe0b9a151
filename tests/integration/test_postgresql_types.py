"""Law L8 on PostgreSQL: a value comes back as it went, through reading, staging (both ways) and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.hub.contract import codes
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value, identical
from syncline.testing.conforms.centre import World
from tests.support.postgres import prepared

SAMPLES: dict[str, tuple[str, list[Value]]] = {
    "smallint": ("integer", [-32768, 32767, 0]),
    "integer": ("integer", [-(2**31), 2**31 - 1]),
    "bigint": ("integer", [-(2**63), 2**63 - 1, 2**53 + 1]),
    "boolean": ("boolean", [0, 1]),
    "real": ("float", [0.5, 3.4028234663852886e38, 1.401298464324817e-45, "NaN", float("inf"), -0.0]),
    "double precision": (
        "float",
        [0.1, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), "NaN", 1e22],
    ),
    "numeric": ("decimal", ["0.1", "-123456789012345678901234567890.1234567890", "1.00", "NaN", "Infinity"]),
    "numeric(10,2)": ("decimal", ["0.10", "-99999999.99"]),
    "money": ("decimal", ["12.34", "-0.05"]),
    "text": (
        "text",
        ["", "it's \\ \t\n\r \"x\"", "שלום \U0001f600 e\u0301", "\\N", "x" * 1_000_000, "NULL", "{}"],
    ),
    "varchar(5)": ("text", ["", "abcde"]),
    "char(3)": ("text", ["abc", "a"]),
    "name": ("text", ["x"]),
    '"char"': ("text", ["x"]),
    "bytea": ("blob", [b"", b"\x00\xff\\x00", bytes(range(256)), b"\0" * 100_000]),
    "timestamp": (
        "timestamp",
        ["2024-02-29T23:59:59.123456", "0001-01-01T00:00:00", "294276-12-31T23:59:59.999999", "infinity",
         "4713-01-01 00:00:00 BC", "2024-01-01T00:00:00.5"],
    ),
    "timestamptz": (
        "timestamptz",
        ["2024-02-29T23:59:59.123456Z", "0001-01-01T00:00:00Z", "-infinity", "infinity",
         "0044-03-15 12:00:00+00 BC"],
    ),
    "date": ("date", ["2024-02-29", "infinity", "0044-03-15 BC", "5874897-12-31"]),
    "time": ("time", ["00:00:00", "24:00:00", "12:34:56.789"]),
    "timetz": ("timetz", ["12:00:00+05:30", "00:00:00-12"]),
    "interval": ("interval", ["P1Y2M3DT4H5M6.789S", "PT0S", "P-1DT-2H"]),
    "uuid": ("uuid", ["00000000-0000-0000-0000-000000000000", "6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11"]),
    "json": ("json", ['{"b": 1,  "a":[1.50,-0.0]}', "null", '"\\u00e9"']),
    "jsonb": ("json", ['{"a": [1.50, null, true], "b": "x"}', "[]"]),
    "mood": ("enum", ["sad", "so 'so'"]),
    "age": ("integer", [0, 149]),
    "int[]": ("json", ["[]", "[1,null,3]", "[[1,2],[3,4]]"]),
    "text[]": ("json", ['["a \\"b\\" \\\\ {c},","NULL",null,""]', "[]"]),
    "float8[]": ("json", ["[-0,0.1,1e+22]", '["NaN","Infinity"]']),
    "numeric(6,2)[]": ("json", ["[1.50,-0.10]"]),
    "timestamptz[]": ("json", ['["2024-02-29T12:00:00+00:00"]']),
    "boolean[]": ("json", ["[true,false,null]"]),
    "jsonb[]": ("other", ['{"{\\"a\\": 1}",NULL}']),
    "pair": ("other", ['(1,"x y")']),
    "int4range": ("other", ["[1,5)", "empty", "(,)"]),
    "inet": ("other", ["192.168.0.1", "::1/64"]),
    "macaddr": ("other", ["08:00:2b:01:02:03"]),
    "bit(4)": ("other", ["1010"]),
    "varbit": ("other", ["", "10101"]),
    "point": ("other", ["(1.5,-2)"]),
    "tsvector": ("other", ["'a' 'b':1A"]),
    "xml": ("other", ["<a>b</a>"]),
    "oid": ("other", ["4294967295"]),
}  # fmt: skip
MADE = (
    "CREATE TYPE mood AS ENUM ('sad', 'so ''so''')",
    "CREATE DOMAIN age AS int CHECK (VALUE < 150)",
    "CREATE TYPE pair AS (a int, b text)",
)


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(SAMPLES))
    world = prepared(postgres_url, *MADE, f"CREATE TABLE v (id int PRIMARY KEY, {columns})")
    yield world
    world.database.close()


def sample_rows() -> list[list[Value]]:
    longest = max(len(values) for _, values in SAMPLES.values())
    rows: list[list[Value]] = [[0] + [None] * len(SAMPLES)]
    for number in range(longest):
        rows.append([number + 1, *(values[number % len(values)] for _, values in SAMPLES.values())])
    return rows


def assert_identical(stored: list[list[Value]], sent: list[list[Value]]) -> None:
    names = ["id", *SAMPLES]
    for left, right in zip(stored, sent, strict=True):
        differing = [
            (name, a, b) for name, a, b in zip(names, left, right, strict=True) if not identical(a, b)
        ]
        assert differing == []


def test_every_type_has_its_portable_type(world: World) -> None:
    types = {
        name: column.type
        for name, column in zip(SAMPLES, world.schema.table("v").values.values(), strict=True)
    }
    assert types == {name: portable for name, (portable, _) in SAMPLES.items()}


@pytest.mark.parametrize("copies", [1, 80], ids=["as a parameter", "by COPY"])
def test_l8_every_type_comes_back_as_it_went(world: World, copies: int) -> None:
    rows = [
        [copy * 100 + int(str(row[0])), *(None if copy and very_long(value) else value for value in row[1:])]
        for copy in range(copies)
        for row in sample_rows()
    ]  # fmt: skip
    stage = world.stage("insert", "v", rows)
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[]]
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == []
        keys = [(row[0],) for row in rows]
        found = transaction.rows.find(0, keys, range(len(SAMPLES)))
    assert_identical(sorted(found, key=lambda row: int(str(row[0]))), rows)
    assert_identical(world.rows("v"), rows)


def test_l8_updates_carry_every_type(world: World) -> None:
    rows = sample_rows()
    world.push(world.stage("insert", "v", [[row[0], *rows[0][1:]] for row in rows]))
    assert world.push(world.stage("update", "v", rows)) == []
    assert_identical(world.rows("v"), rows)


def test_l8_every_type_that_can_be_a_key_is_one(postgres_url: str) -> None:
    keyed = [name for name in SAMPLES if name not in ("json", "point", "xml")]
    tables = [f"CREATE TABLE k{number} (k {name} PRIMARY KEY, v int)" for number, name in enumerate(keyed)]
    world = prepared(postgres_url, *MADE, *tables)
    try:
        for number, name in enumerate(keyed):
            check_key(world, f"k{number}", [value for value in SAMPLES[name][1] if not very_long(value)])
    finally:
        world.database.close()


def very_long(value: Value) -> bool:
    return isinstance(value, (str, bytes)) and len(value) > 2000


def check_key(world: World, table: str, values: list[Value]) -> None:
    start = world.now()
    assert world.push(world.stage("insert", table, [[value, 1] for value in values])) == []
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("update", table, [[value, 2] for value in values])
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[]]
        assert len(transaction.rows.rivals(stage, [start], [], "r2")) == len(values)
        assert transaction.rows.apply([stage], "r2") == []
        position = world.number(table)
        found = transaction.rows.find(position, [(value,) for value in values], [0])
    assert {repr(row) for row in found} == {repr([value, 2]) for value in values}
    assert {repr(row) for row in world.rows(table)} == {repr([value, 2]) for value in values}
    assert {repr(key[0]) for key in world.since(start)[table]} == {repr(value) for value in values}
    world.run(f"UPDATE {table} SET v = 3")
    assert {repr(key[0]) for key in world.since(start, "r1")[table]} == {repr(value) for value in values}
    assert world.push(world.stage("delete", table, [[value] for value in values])) == []
    assert world.rows(table) == []


BAD: list[tuple[str, Value]] = [
    ("smallint", 40000), ("smallint", "1"), ("smallint", 1.0), ("boolean", 2), ("boolean", "true"),
    ("double precision", "1.5"), ("double precision", b"x"), ("real", 1e300), ("numeric", "abc"),
    ("numeric", 1), ("numeric(10,2)", "123456789.12"),
    ("text", 5), ("text", b"x"), ("text", "a\0b"), ("text", "\ud800"),
    ("varchar(5)", "abcdef"), ("bytea", "x"), ("timestamp", "yesterday noon-ish"), ("timestamp", 0),
    ("date", "2024-02-30"), ("uuid", "zzz"), ("json", "{"), ("jsonb", '"\\u0000"'), ("mood", "happy"),
    ("age", 200), ("int[]", "{1,2}"), ("int[]", '["x"]'), ("inet", "nowhere"), ("bit(4)", "11111"),
]  # fmt: skip


@pytest.mark.parametrize("many", [False, True], ids=["alone", "among hundreds"])
def test_what_a_type_cannot_hold_is_refused_by_row(world: World, many: bool) -> None:
    names = list(SAMPLES)
    good = [0] * len(SAMPLES)
    rows: list[list[Value]] = []
    for number, (name, value) in enumerate(BAD):
        row: list[Value] = [number, *([None] * len(good))]
        row[1 + names.index(name)] = value
        rows.append(row)
    fine: list[list[Value]] = [[1000 + number, *([None] * len(good))] for number in range(600 if many else 1)]
    stage = world.stage("insert", "v", rows + fine)
    refused: dict[int, Any] = {}
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[]]
        while found := transaction.rows.apply([stage], "r1"):
            refused.update({refusal.row: refusal for refusal in found})
            transaction.rows.discard(stage, [refusal.row for refusal in found])
    assert sorted(refused) == list(range(len(BAD)))
    assert {refusal.code for refusal in refused.values()} <= {codes.INVALID, codes.CHECK}
    assert len(world.rows("v")) == len(fine)


def test_keys_in_another_spelling_have_no_row_and_are_refused(postgres_url: str) -> None:
    world = prepared(
        postgres_url,
        "CREATE TABLE u (id uuid PRIMARY KEY, v int)",
        "CREATE TABLE w (at timestamptz, n numeric, v int, PRIMARY KEY (at, n))",
        "CREATE TABLE i (id int PRIMARY KEY, v int)",
        "INSERT INTO u VALUES ('6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11', 1)",
        "INSERT INTO w VALUES ('2024-01-01 00:00Z', 1.0, 1)",
        "INSERT INTO i VALUES (1, 1)",
    )
    others: dict[str, list[list[Value]]] = {
        "u": [["6F1D7F8A-3B1C-4E6F-9A53-8F5B0C9E2D11"], ["zzz"], [5], ["a\0"], [None]],
        "w": [["2024-01-01 00:00:00+00", "1.0"], ["x", "1"], [1, "1.0"]],
        "i": [["1"], [2**40], [1.0], ["x"], [b"1"]],
    }
    try:
        for table, keys in others.items():
            position = world.number(table)
            with world.database.read(UNBOUNDED) as reading:
                assert reading.rows.find(position, [tuple(key) for key in keys], []) == []
            with world.database.write(UNBOUNDED) as transaction:
                for form, rows in (("insert", [[*key, 1] for key in keys]), ("delete", keys)):
                    stage = world.stage(form, table, rows)  # type: ignore[arg-type]
                    transaction.rows.stage(stage)
                    assert transaction.rows.lock([stage]) == [[]]
                    assert transaction.rows.rivals(stage, [transaction.log.now()], [], "r") == []
                    refused = transaction.rows.apply([stage], "r1")
                    assert sorted(refusal.row for refusal in refused) == list(range(len(keys)))
                    transaction.rows.discard(stage, range(len(keys)))
                    assert transaction.rows.apply([stage], "r1") == []
    finally:
        world.database.close()


def test_equal_keys_of_different_spelling_are_not_one_row(postgres_url: str) -> None:
    world = prepared(
        postgres_url,
        "CREATE TABLE w (n numeric PRIMARY KEY, v int)",
        "INSERT INTO w VALUES (1.0, 1)",
    )
    stage = world.stage("update", "w", [["1.00", 5]])
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage]) == [[0]]
        assert transaction.rows.find(0, [("1.00",)], [0]) == []
    (refusal,) = world.push(world.stage("insert", "w", [["1.00", 5]]))
    assert refusal.code == codes.UNIQUE
    assert world.rows("w") == [["1.0", 1]]
    world.database.close()


def test_a_value_spelled_otherwise_is_found_to_differ(world: World) -> None:
    spelled: dict[str, Value] = {
        "numeric(10,2)": "1.005", "double precision": 5, "real": 0.1, "timestamp": "2024-01-01 00:00:00",
        "timestamptz": "2024-01-01T02:00:00+02:00", "uuid": "6F1D7F8A-3B1C-4E6F-9A53-8F5B0C9E2D11",
        "jsonb": '{"a":1}', "char(3)": "a ", "interval": "1 day", "int[]": "[1, 2]", "inet": "::0001",
    }  # fmt: skip
    names = list(SAMPLES)
    rows: list[list[Value]] = [[0] + [None] * len(names)]
    for number, (name, value) in enumerate(spelled.items(), 1):
        row: list[Value] = [number] + [None] * len(names)
        row[1 + names.index(name)] = value
        rows.append(row)
    stage = world.stage("insert", "v", rows)
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == list(range(1, len(rows)))


CERTAIN: dict[str, tuple[list[str], list[str]]] = {
    "uuid": (["6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11"], ["6F1D7F8A-3B1C-4E6F-9A53-8F5B0C9E2D11"]),
    "date": (
        ["2024-02-29", "0001-01-01", "9999-12-31"],
        ["2024-2-9", "infinity", "20240229", "0044-03-15 BC"],
    ),
    "timestamp": (
        ["2024-02-29T23:59:59.999999", "2024-01-01T00:00:00"],
        ["2024-01-01T24:00:00", "2024-01-01T00:00:60", "2024-01-01 00:00:00", "2024-01-01T00:00:00.10"],
    ),
    "timestamptz": (
        ["2024-02-29T23:59:59.5Z"],
        ["2024-02-29T23:59:59.5+00", "2024-02-29T23:59:59.5000001Z", "2024-02-29T23:59:59.50Z"],
    ),
    "time": (["23:59:59.000001", "00:00:00"], ["24:00:00", "1:00:00", "00:00:00.0"]),
    "numeric": (["0", "-1", "1.50", "0.00", "1" * 40], ["-0", "-0.0", "01", "1e3", "+1", ".5", "NaN", "1."]),
    "numeric(10,2)": (["0.00", "-1.50", "99999999.99"], ["1.5", "1", "-0.00", "1.005", "00.50"]),
    "numeric(5)": (["0", "-12345"], ["1.0", "-0", "00"]),
    "timestamp(3)": ([], ["2024-01-01T00:00:00.000001", "2024-01-01T00:00:00.001"]),
    "time(0)": ([], ["00:00:00.5", "00:00:00"]),
}


def test_l8_what_is_called_certain_comes_back_as_it_went_and_the_rest_is_compared(postgres_url: str) -> None:
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(CERTAIN))
    world = prepared(postgres_url, f"CREATE TABLE certain (id int PRIMARY KEY, {columns})")
    rows: list[list[Value]] = []
    with world.database.write(UNBOUNDED) as transaction:
        for column, (name, (good, bad)) in enumerate(CERTAIN.items()):
            for text in [*good, *bad]:
                row: list[Value] = [len(rows)] + [None] * len(CERTAIN)
                row[1 + column] = text
                rows.append(row)
                stage = world.stage("insert", "certain", [row])
                transaction.rows.stage(stage)
                assert stage.handle.certain == (text in good), f"{name} {text}"
                if text in good:
                    assert transaction.rows.apply([stage], "r1") == []
    stored = {row[0]: row for row in world.rows("certain")}
    for row in rows:
        if row[0] in stored:
            assert_identical_rows(stored[row[0]], row)
    assert len(stored) == sum(len(good) for good, _ in CERTAIN.values())
    world.database.close()


def assert_identical_rows(stored: list[Value], sent: list[Value]) -> None:
    assert all(identical(left, right) for left, right in zip(stored, sent, strict=True)), (stored, sent)


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
cells = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | text,
    st.none() | st.binary(),
    st.none() | st.integers(-(10**40), 10**40).map(lambda number: f"{number}.{number % 97:02}"),
)


@pytest.fixture
def narrow(postgres_url: str) -> Iterator[World]:
    world = prepared(
        postgres_url,
        "CREATE TABLE v (id int PRIMARY KEY, i bigint, f float8, t text, b bytea, d numeric)",
        "CREATE TABLE k (t text, i bigint, b bytea, PRIMARY KEY (t, i, b))",
    )
    yield world
    world.database.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(cells, min_size=1, max_size=8), st.booleans())
def test_l8_any_values_come_back_as_they_went(
    narrow: World, values: list[tuple[Value, ...]], copied: bool
) -> None:
    rows: list[list[Value]] = [[number, *row] for number, row in enumerate(values * (70 if copied else 1))]
    narrow.run("TRUNCATE v")
    assert narrow.push(narrow.stage("insert", "v", rows)) == []
    stored = narrow.read(lambda transaction: transaction.rows.chunk(narrow.number("v"), None, 9999))
    for left, right in zip(stored, rows, strict=True):
        assert all(map(identical, left, right))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(text, st.integers(-(2**63), 2**63 - 1), st.binary()), min_size=1, max_size=8, unique=True
    )
)
def test_l8_any_composite_key_finds_its_row(narrow: World, keys: list[tuple[Value, ...]]) -> None:
    narrow.run("TRUNCATE k")
    assert narrow.push(narrow.stage("insert", "k", [list(key) for key in keys])) == []
    position = narrow.number("k")
    with narrow.database.read(UNBOUNDED) as transaction:
        assert {tuple(row) for row in transaction.rows.find(position, keys, [])} == set(keys)
        walked, after = [], None
        while chunk := transaction.rows.chunk(position, after, 2):
            walked += chunk
            after = tuple(chunk[-1])
    assert {tuple(row) for row in walked} == set(keys)
    assert len(walked) == len(keys)


@pytest.mark.parametrize("many", [0, 600])
def test_l8_spaces_that_a_varchar_cuts_off_are_told(postgres_url: str, many: int) -> None:
    world = prepared(postgres_url, "CREATE TABLE t (id int PRIMARY KEY, v varchar(3))")
    rows: list[list[Value]] = [[1, "abc  "], [2, "ab "], [3, None], [4, "é🙂x"]]
    rows += [[number, "x"] for number in range(5, 5 + many)]
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("insert", "t", rows)
        transaction.rows.stage(stage)
        assert transaction.rows.lock([stage], hopeful=True) == [[]]
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == [0]
    assert world.rows("t")[:4] == [[1, "abc"], [2, "ab "], [3, None], [4, "é🙂x"]]
    world.database.close()


@pytest.mark.parametrize("many", [0, 600])
def test_l8_a_key_that_a_varchar_would_cut_is_refused(postgres_url: str, many: int) -> None:
    world = prepared(postgres_url, "CREATE TABLE t (id varchar(3) PRIMARY KEY)")
    rows: list[list[Value]] = [["abc  "], ["ab "], ["abcd"], *([f"{n}"] for n in range(many))]
    refused = world.push_what_fits(world.stage("insert", "t", rows))
    assert refused == {("t", ("abc  ",)), ("t", ("abcd",))}
    assert len(world.rows("t")) == len(rows) - 2
    world.database.close()
