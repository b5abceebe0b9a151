"""What `syncline conflicts` reads and says."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.cli.conflicts import _row, explained, read_value
from syncline.errors import UsageError
from syncline.merge.policies import CASCADE, NOTED
from syncline.protocol.messages import ConflictNote

NOON = (1_704_110_400_000 << 16) + 5


def note(column: str | None = "note", **given: Any) -> ConflictNote:
    found: dict[str, Any] = {
        "id": 7,
        "table": "farm",
        "key": [1],
        "column": column,
        "outcome": "open",
        "replica": "a" * 32,
        "hlc": NOON,
        "rival": "hub",
        "rival_hlc": NOON,
        "base": None,
        "sent": None,
        "hub": None,
        "at": "2024-02-29T10:00:00Z",
        "columns": [1] if column else [1, 2],
    }
    return ConflictNote(**{**found, **given})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("1.5", 1.5),
        ("null", None),
        ("Bern", "Bern"),
        ('"Bern"', "Bern"),
        ('{"a": 1}', '{"a": 1}'),
        ("[1, 2]", "[1, 2]"),
        ('{"$blob": "AAE="}', b"\x00\x01"),
        ("true", 1),
        ("[" * 50_000, "[" * 50_000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_is_json_or_text_and_json_that_is_no_value_is_text(text: str, value: Any) -> None:
    assert read_value(text, note(hub=3)) == value


@pytest.mark.parametrize("text", ["12", '{"a":1}', "[1]", "true", "plain"])
def test_where_the_column_holds_text_it_is_the_text(text: str) -> None:
    assert read_value(text, note(hub="here")) == text


def test_a_row_is_a_list_or_null_and_json_in_it_is_text() -> None:
    whole = note(None)
    assert read_value("null", whole) is None
    assert read_value('[1, "x"]', whole) == [1, "x"]
    assert read_value('[false, {"a": 1}]', whole) == [0, '{"a": 1}']


@pytest.mark.parametrize(
    ("text", "column"),
    [("[1]", None), ("x", None), ('{"a":1}', None), ('{"$blob": "?"}', "note"), ('{"$float": 1}', "note")],
)
def test_what_cannot_be_read_says_how_to_write_it(text: str, column: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        read_value(text, note(column))
    assert caught.value.code == "value_unreadable" and "$blob" in caught.value.remedy


def test_a_conflict_that_the_file_noted_says_when_and_not_1970() -> None:
    said = "\n".join(explained(note(id=-1, hlc=0, rival_hlc=0, sent=5, hub=6, outcome="hub"), {}))
    assert "1970" not in said
    assert "sent        5  noted 2024-02-29T10:00:00Z by device aaaaaaaa" in said
    assert "at the hub  6  by the central database" in said
    said = "\n".join(explained(note(sent=5, hub=6), {}))
    assert said.count("at 2024-01-01 12:00:00.000Z by") == 2


def test_l12_what_was_merged_is_shown_with_the_new_value() -> None:
    met = note(outcome="merged", policy="function", base="a", sent="ab", hub="ac", resolution="abc")
    assert "'abc'" in explained(met, {})[-1]
    assert _row(met)[-4:] == ["'a'", "'ab'", "'ac'", "'abc'"]
    assert _row(note(sent="ab"))[-1] == ""


@pytest.mark.parametrize("policy", NOTED)
@pytest.mark.parametrize("column", ["note", None])
def test_l12_what_a_conflict_is_noted_under_is_explained(policy: str, column: str | None) -> None:
    assert (
        f"Policy {policy} ({NOTED[policy]})" in explained(note(column, outcome="hub", policy=policy), {})[-1]
    )


def test_l12_what_a_cascade_took_is_told_apart_from_what_was_deleted() -> None:
    said = explained(note(None, outcome="replica", policy=CASCADE), {"a": "this device"})[0]
    assert said.endswith("that one, and had not seen this one as it was.")
