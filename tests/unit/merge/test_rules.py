"""Rules that do not fit a table are refused before anything is merged (law L12)."""

from __future__ import annotations

import pytest

from syncline import Table
from syncline.errors import ConfigurationError
from syncline.merge.policies import Contest
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import Value

STOCK = TableSchema(
    "stock",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("name", "text", "TEXT"),
        ColumnSchema("qty", "integer", "INTEGER"),
        ColumnSchema("price", "decimal", "DECIMAL_TEXT(10,2)"),
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
        (Table(merge="rows"), ["stock", "'rows'", "did you mean 'row'"]),
        (Table(merge={"qty": "summ"}), ["merge.qty", "'summ'", "did you mean 'sum'"]),
        (Table(merge={"quantity": "sum"}), ["quantity", "does not exist", "name, qty, price, seen"]),
        (Table(merge={"id": "lww"}), ["id", "part of the key"]),
        (Table(merge={"name": "sum"}), ["name is text", "only numbers add up"]),
        (Table(merge={"seen": "sum"}), ["seen is timestamp"]),
        (Table(deletes="newest"), ["deletes", "'newest'", "newer_wins"]),
    ],
)
def test_what_is_wrong_is_named(rules: Table, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(STOCK, rules)
    for word in words:
        assert word in caught.value.detail
