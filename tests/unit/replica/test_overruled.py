"""Whether what the centre answers is what was sent, in another spelling (L8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from syncline.model.schema import ColumnSchema
from syncline.model.values import Value
from syncline.protocol.body import seal
from syncline.protocol.messages import ConflictNote, Group, Rejection, Verdict
from syncline.replica.draft import sealed
from syncline.replica.freeze import freeze
from syncline.replica.overruled import is_alike, overruled
from tests.support.device import Bench


@pytest.mark.parametrize(
    "kind, sent, stored",
    [
        ("json", '{"b":1,"a":[1.0]}', '{"a": [1.00], "b": 1}'),
        ("json", '["1", 2]', "[1,2]"),
        ("json", '["t", "off"]', "[true,false]"),
        ("json", '["2024-02-29 10:00", null]', '["2024-02-29T10:00:00+00:00",null]'),
        ("json", '[["A0EEBC999C0B4EF8BB6D6BB9BD380A11"]]', '[["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]]'),
        ("json", '["nan", "Infinity"]', '["NaN","infinity"]'),
        ("json", '["a"]', '["a  "]'),
        ("text", "ab", "ab   "),
        ("timestamp", "2024-02-29T10:00:60", "2024-02-29T10:01:00"),
        ("timestamp", "2024-02-29T24:00:00", "2024-03-01T00:00:00"),
        ("time", "12:34:60", "12:35:00"),
        ("time", "24:00", "24:00:00"),
        ("decimal", "1.5", "1.50"),
        ("float", 0.1, 0.10000000149011612),
        ("interval", "01:00:00", "PT1H"),
    ],
)
def test_another_spelling_is_no_other_value(kind: str, sent: Value, stored: Value) -> None:
    assert is_alike(ColumnSchema("x", kind, "TEXT"), sent, stored)


@pytest.mark.parametrize(
    "kind, sent, stored",
    [
        ("json", '["a", "b"]', '["a","c"]'),
        ("json", '["a", "b"]', '["a"]'),
        ("json", '["a", null]', '["a","null"]'),
        ("json", '["t"]', "[false]"),
        ("json", '[{"a":1}]', '[{"a": 2}]'),
        ("json", '["2024-02-29 10:00"]', '["2024-02-29T11:00:00+00:00"]'),
        ("json", "[1]", "1"),
        ("json", "[" * 100_000, "[]"),
        ("text", "ab", "AB"),
        ("text", None, "None"),
        ("text", "None", None),
        ("json", None, "null"),
        ("interval", None, "PT0S"),
        ("float", 0.1, 0.2),
        ("float", 1e300, 2e300),
        ("timestamp", "2024-02-29T10:00:00", "2024-02-29T10:00:01"),
        ("time", "24:00:00", "00:00:00"),
        ("decimal", "1.5", "1.51"),
    ],
)
def test_another_value_is_told(kind: str, sent: Value, stored: Value) -> None:
    assert not is_alike(ColumnSchema("x", kind, "TEXT"), sent, stored)


# Of a whole push ------------------------------------------------------------------------------------------

DDL = "CREATE TABLE t (id INTEGER, part TEXT, a TEXT, n INTEGER, j TEXT, PRIMARY KEY (id, part))"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"], types={"a": "text", "j": "json"})
    made.pull(made.put("t", *([i, "p", "a", 1, "{}"] for i in range(1, 9))))
    made.app.executescript(
        """UPDATE t SET a = 'mine', j = '{"x": 1}' WHERE id IN (1, 2);
        UPDATE t SET n = n + 5 WHERE id = 3;
        DELETE FROM t WHERE id IN (4, 5);
        UPDATE t SET a = 'mine' WHERE id IN (6, 7, 8);
        INSERT INTO t VALUES (9, 'p', 'new', 3, '[]'), (10, 'p', 'new', 3, '[]')"""
    )
    assert freeze(made.device) is not None
    yield made
    made.close()


def of(bench: Bench, *overrides: Group, **fields: Any) -> list[tuple[Value, dict[str, Value] | None]]:
    """What is told of the push in flight: by the first column of its key, each row as the hub has it."""
    body, digest = seal(list(overrides)) if overrides else (b"", "")
    verdict = Verdict(bench.store.state().push, [], digest, Raw(body), made=1, **fields)
    t = bench.schema.table("t")
    names = {column.number: column.name for column in t.columns}
    found = []
    for row in overruled(bench.device, verdict, (part for part in sealed(bench.store))):
        assert row.table == t and row.key[1] == "p"
        values = None if row.values is None else {names.get(i, "?"): value for i, value in row.values.items()}
        found.append((row.key[0], values))
    return sorted(found, key=repr)


def test_rows_that_are_as_they_were_sent_are_no_loss_whatever_else_came_to_them(bench: Bench) -> None:
    assert of(bench) == []
    rows = [
        [1, "p", "mine  ", 7, '{"x":1.0}'],  # `n` was not sent
        [3, "p", "theirs", 106, "{}"],  # others have counted, too
        [9, "p", "new", 3, "[ ]"],
        [77, "p", "not sent", 1, "{}"],
    ]
    gone = bench.gone("t", (5, "p"), (78, "p"))
    assert of(bench, bench.put("t", *rows), gone) == []
    assert of(bench, bench.put("t", [1, "p", "mine"], columns=["a"])) == [(1, {"a": "mine"})]  # without `j`


def test_rows_that_are_otherwise_at_the_hub_are_told_as_they_are_there(bench: Bench) -> None:
    rows = [
        [1, "p", "theirs", 1, '{"x": 1}'],
        [2, "p", "mine", 1, '{"x": 2}'],
        [4, "p", "stays", 1, "{}"],
        [9, "p", "new", 4, "[]"],  # that is no increment
    ]
    as_told = [(row[0], dict(zip(("a", "n", "j"), row[2:], strict=True))) for row in rows]
    gone = bench.gone("t", (3, "p"), (10, "p"))
    expected = [*as_told, (3, None), (10, None)]
    assert of(bench, bench.put("t", *rows), gone) == sorted(expected, key=repr)
    refused = [Rejection(bench.schema.number_of("t"), [i, "p"], "check", "no", "Mend it.") for i in (2, 10)]
    rest = [one for one in expected if one[0] not in (2, 10)]
    assert of(bench, bench.put("t", *rows), gone, rejected=refused) == sorted(rest, key=repr)


@pytest.mark.parametrize("outcome", ["hub", "open", "merged", "replica"])
def test_what_lost_a_conflict_is_told_also_where_it_is_as_it_was_sent(bench: Bench, outcome: str) -> None:
    n = bench.schema.number_of("t")
    notes = [
        ConflictNote(
            i,
            "t",
            [i, "p"],
            "a",
            outcome,
            "replica-1",
            5,
            "o",
            6,
            "x",
            "m",
            "h",
            "2026-01-02",
            table_number=n,
        )
        for i in (6, 8)  # of 8 nothing is said how it is: it was accepted
    ]
    lost = [] if outcome == "replica" else [(6, {"a": "mine"})]
    assert of(bench, bench.put("t", [6, "p", "mine"], columns=["a"]), conflicts=notes) == lost


def test_the_push_is_read_only_where_there_is_a_row_to_compare(bench: Bench) -> None:
    def parts() -> Iterator[tuple[int, str, bytes]]:
        raise AssertionError("the push was read")
        yield 0, "", b""

    none = Verdict(1, [], "", Raw(b""), made=1)
    assert overruled(bench.device, none, parts()) == []
    body, digest = seal([bench.put("t", [1, "p", "theirs"], columns=["a"])])
    with pytest.raises(AssertionError):
        overruled(bench.device, Verdict(1, [], digest, Raw(body), made=1), parts())


def test_rows_of_a_table_or_a_column_that_the_file_has_not_got_are_passed_over(bench: Bench) -> None:
    n = bench.schema.number_of("t")
    a = bench.schema.table("t").column("a").number
    j = bench.schema.table("t").column("j").number
    here = Group(n, "U", [99, a, j], [[1, "p", "new", "mine", '{"x":1}'], [2, "p", "new", "theirs", "{}"]])
    groups = [here, Group(98, "U", [a], [[1, "p", "theirs"]]), Group(98, "D", [], [[2, "p"]])]
    assert of(bench, *groups) == [(2, {"?": "new", "a": "theirs", "j": "{}"})]
