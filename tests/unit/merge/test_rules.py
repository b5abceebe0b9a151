"""Rules that do not fit a table are refused before anything is merged (law L12)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from syncline import Table
from syncline.errors import ConfigurationError
from syncline.merge.policies import Contest
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, ForeignKey, TableSchema
from syncline.model.values import Value

STOCK = TableSchema(
    "stock",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("name", "text", "TEXT"),
        ColumnSchema("qty", "integer", "INTEGER"),
        ColumnSchema("price", "decimal", "DECIMAL_TEXT$(10,2)"),
        ColumnSchema("seen", "timestamp", "TEXT"),
    ),
    ("id",),
)


def keep_ours(base: Value, ours: Value, theirs: Value) -> Value:
    return ours


def test_columns_not_named_are_lww() -> None:
    rules = resolve(STOCK, Table(merge={"qty": "sum", "seen": "max"}))
    assert [policy.name for policy in rules.columns.values()] == ["lww", "sum", "lww", "max"]
    assert not rules.row.whole and rules.deletes.name == "newer_wins"


def test_sum_max_and_min_depend_on_the_present_value() -> None:
    rules = resolve(STOCK, Table(merge={"qty": "sum", "price": "min", "seen": "review"}))
    assert rules.computed_mask == 0b0110


def test_numbers_are_compared_as_numbers_and_text_as_text() -> None:
    assert resolve(STOCK, Table()).numeric == {0: False, 1: True, 2: True, 3: False}


@pytest.mark.parametrize("policy", ["row", "hub_wins", "replica_wins", "review"])
def test_a_word_for_the_table_makes_rows_compete_as_a_whole(policy: str) -> None:
    row = resolve(STOCK, Table(merge=policy)).row
    assert row.name == policy and row.whole


def test_lww_for_the_table_is_the_default() -> None:
    assert resolve(STOCK, Table(merge="lww")) == resolve(STOCK, Table())


def test_a_function_is_a_policy() -> None:
    policy = resolve(STOCK, Table(merge={"name": keep_ours})).columns[0]
    assert policy.reads_base and policy.settle(Contest(1, 2, 3, True, False)) == (2, "merged")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Table(merge="rows"), ["table stock: merge 'rows'", "did you mean 'row'"]),
        (Table(merge={"qty": "summ"}), ["merge.qty", "'summ'", "did you mean 'sum'"]),
        (
            Table(merge={"quantity": "sum"}),
            ["merge.quantity (it does not exist): column 'quantity' is none of name, qty, price, seen"],
        ),
        (Table(merge={"nmae": "lww"}), ["column 'nmae' is none of", "did you mean 'name'"]),
        (Table(merge={"id": "lww"}), ["id", "part of the key"]),
        (Table(merge={"name": "sum"}), ["name is text", "only numbers add up"]),
        (Table(merge={"seen": "sum"}), ["seen is timestamp"]),
        (Table(deletes="newest"), ["deletes", "'newest'", "newer_wins"]),
    ],
)
def test_what_is_wrong_is_named(rules: Table, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(STOCK, rules)
    assert caught.value.detail.startswith("table stock: ")
    for word in words:
        assert word in caught.value.detail


def test_a_word_that_resembles_nothing_gets_no_suggestion() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(STOCK, Table(deletes="?"))
    known = "newer_wins, delete_wins, update_wins"
    assert caught.value.detail == f"table stock: deletes '?' is none of {known}"


@pytest.mark.parametrize("choice", ["local_rows", "inserts"])
def test_what_local_rows_and_inserts_may_be_is_said(choice: str) -> None:
    with pytest.raises(ConfigurationError, match=f"table stock: {choice} 'keep' is none of "):
        resolve(STOCK, Table(**{choice: "keep"}))  # type: ignore[arg-type]


KEYS = [
    ([("id", "integer", "INTEGER")], [], True),
    ([("id", "any", "INT")], [], True),  # a SQLite table that is not strict keeps integers there
    ([("id", "any", "ANY")], [], False),
    ([("id", "text", "INTEGER")], [], False),  # what is written in it is no integer
    ([("id", "text", "TEXT")], [], False),
    ([("id", "uuid", "UUID")], [], False),
    ([("a", "integer", "INTEGER"), ("b", "integer", "INTEGER")], [], False),
    ([("a", "integer", "INTEGER"), ("b", "integer", "INTEGER")], ["a"], False),
    ([("id", "integer", "INTEGER")], ["id"], False),  # it says whose row this one is
    ([("id", "integer", "INTEGER")], ["other"], True),
]


@pytest.mark.parametrize(("key", "pointing", "counted"), KEYS)
def test_two_inserts_of_one_key_are_two_things_where_the_key_is_counted_up(
    key: list[tuple[str, str, str]], pointing: list[str], counted: bool
) -> None:
    columns = [*(ColumnSchema(*column) for column in key), ColumnSchema("other", "integer", "INTEGER")]
    foreign = tuple(ForeignKey((name,), "stock", ("id",)) for name in pointing)
    table = TableSchema("t", tuple(columns), tuple(name for name, _, _ in key), foreign)
    assert resolve(table, Table()).key_taken is counted
    assert resolve(table, Table(inserts="key_taken")).key_taken
    assert not resolve(table, Table(inserts="same_row")).key_taken


async def waits(base: Value, ours: Value, theirs: Value) -> Value:
    return ours


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"merge": None}, "merge of a table is NoneType"),
        ({"merge": keep_ours}, "merge of a table is function"),
        ({"merge": {"qty": None}}, "merge.qty of a table is NoneType"),
        ({"merge": {"qty": 7}}, "merge.qty of a table is int"),
        ({"merge": {7: "sum"}}, "a column in merge of a table is int"),
        ({"merge": {"qty": waits}}, "merge.qty is a coroutine function"),
        ({"inserts": 7}, "inserts of a table is int"),
        ({"deletes": None}, "deletes of a table is NoneType"),
        ({"local_rows": True}, "local_rows of a table is bool"),
        ({"key": None}, "key of a table is NoneType"),
        ({"key": "ab"}, "key of a table is str"),
        ({"key": [None]}, "key of a table is list"),
        ({"forms": 7}, "forms of a table is int"),
    ],
)
def test_rules_of_another_type_are_refused_where_they_are_made(given: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(where)):
        Table(**given)
