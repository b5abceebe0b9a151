"""Each policy by itself: what it makes of one contest, and the words that people read about it."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline import Reject
from syncline.merge.policies import (
    COLUMN_POLICIES,
    DELETE_POLICIES,
    FUNCTION_REMEDY,
    FUNCTION_SUMMARY,
    ROW_POLICIES,
    Contest,
    Settled,
    column_summary,
    default,
    from_function,
    listed,
    row_summary,
)
from syncline.model.values import Value


def settled(policy: str, hub: Value, sent: Value, newer: bool = False, numeric: bool = True) -> Settled:
    return COLUMN_POLICIES[policy].settle(Contest(None, hub, sent, newer, numeric))


def called(function: Any, *contest: Value) -> Settled:
    base, hub, sent = contest or (1, 2, 3)
    return from_function(function).settle(Contest(base, hub, sent, False, False))


@given(st.integers(-9, 9), st.integers(-9, 9), st.booleans())
def test_what_becomes_of_two_numbers(hub: int, sent: int, newer: bool) -> None:
    assert settled("lww", hub, sent, newer) == (sent, "replica" if newer else "hub")
    assert settled("sum", hub, sent, newer) == (hub + sent, "merged")
    assert settled("max", hub, sent, newer) == (max(hub, sent), "replica" if sent > hub else "hub")
    assert settled("min", hub, sent, newer) == (min(hub, sent), "replica" if sent < hub else "hub")
    assert settled("hub_wins", hub, sent, newer) == (sent, "hub")
    assert settled("replica_wins", hub, sent, newer) == (sent, "replica")
    assert settled("review", hub, sent, newer) == (sent, "open")


@pytest.mark.parametrize(
    ("numeric", "larger", "smaller"),
    [(True, "10.0", "9.5"), (False, "9.5", "10.0")],
)
def test_decimals_are_compared_as_numbers_and_text_as_text(numeric: bool, larger: str, smaller: str) -> None:
    for hub, sent in (("9.5", "10.0"), ("10.0", "9.5")):
        assert settled("max", hub, sent, numeric=numeric).value == larger
        assert settled("min", hub, sent, numeric=numeric).value == smaller


@pytest.mark.parametrize("policy", ["max", "min"])
def test_a_value_wins_against_none(policy: str) -> None:
    assert settled(policy, None, 4) == (4, "replica")
    assert settled(policy, 4, None) == (4, "hub")


# Functions


@pytest.mark.parametrize("value", [None, 0, 2**63 - 1, -(2**63), 1.5, "", b"x"])
def test_what_a_function_returns_is_the_value(value: Value) -> None:
    assert called(lambda base, ours, theirs: value) == (value, "merged")


def test_a_function_is_given_the_base_then_the_centres_value_then_the_devices() -> None:
    assert called(lambda *three: repr(three), 7, 8, 9).value == "(7, 8, 9)"


def test_a_float_that_is_no_number_is_written_in_words() -> None:
    assert called(lambda *_: math.nan).value == "NaN"
    assert called(lambda *_: math.inf).value == math.inf


@pytest.mark.parametrize("value", [True, "half \ud800", 2**63, -(2**63) - 1, [1], Decimal(1), object()])
def test_what_cannot_be_carried_rejects_the_edit_and_names_function_and_type(value: Any) -> None:
    def add_tax(base: Value, ours: Value, theirs: Value) -> Any:
        return value

    with pytest.raises(Reject) as caught:
        called(add_tax)
    detail = f"the merge function add_tax returned {type(value).__name__}, which cannot be carried"
    assert (caught.value.detail, caught.value.code) == (detail, "merge_function_failed")
    assert caught.value.remedy == FUNCTION_REMEDY


def test_what_a_function_raises_is_told_with_its_name() -> None:
    def divide(base: Value, ours: Value, theirs: Value) -> Any:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(Reject) as caught:
        called(divide)
    assert caught.value.detail == "the merge function divide failed: ZeroDivisionError: by nothing"
    assert (caught.value.code, caught.value.remedy) == ("merge_function_failed", FUNCTION_REMEDY)

    class Nameless:
        def __call__(self, *_: Value) -> Value:
            raise ValueError("no")

    with pytest.raises(Reject) as caught:
        called(Nameless())
    assert caught.value.detail == "the merge function ? failed: ValueError: no"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (SystemExit("stop"), "SystemExit: stop"),
        (asyncio.CancelledError("left"), "CancelledError: left"),
        (BaseExceptionGroup("both", [GeneratorExit()]), "BaseExceptionGroup: both (1 sub-exception)"),
        (ValueError("half \ud800"), "ValueError: half ?"),
    ],
)
def test_whatever_a_function_raises_rejects_its_edit_in_words_that_travel(
    error: BaseException, told: str
) -> None:
    """As a server calls it: in a thread that is not the main one."""

    def fail(*_: Value) -> Value:
        raise error

    with ThreadPoolExecutor(1) as threads, pytest.raises(Reject) as caught:
        threads.submit(called, fail).result()
    assert caught.value.detail == f"the merge function fail failed: {told}"


def test_an_error_that_cannot_be_shown_rejects_its_edit_too() -> None:
    def fail(*_: Value) -> Value:
        raise Unspeakable

    with pytest.raises(Reject, match="failed: Unspeakable: Unspeakable, which cannot be shown"):
        called(fail)


def test_a_person_who_stops_the_program_stops_it() -> None:
    def fail(*_: Value) -> Value:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(fail)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (Reject(413), ("413", "rejected_by_rule", Reject.remedy)),  # type: ignore[arg-type]
        (Reject(None), ("None", "rejected_by_rule", Reject.remedy)),  # type: ignore[arg-type]
        (Reject(ValueError("too high")), ("too high", "rejected_by_rule", Reject.remedy)),  # type: ignore[arg-type]
        (Reject("half \ud800", code="too_high"), ("half ?", "too_high", Reject.remedy)),
        (Reject("x", code=7, remedy=8), ("x", "rejected_by_rule", "8")),  # type: ignore[arg-type]
        (Reject("x", code="a\nb"), ("x", "rejected_by_rule", Reject.remedy)),
        (Reject("x\0", code="", remedy="\ud800"), ("x?", "rejected_by_rule", "?")),
    ],
)
def test_what_a_function_refuses_with_travels(raised: Reject, told: tuple[str, str, str]) -> None:
    def refuse(*_: Value) -> Value:
        raise raised

    with pytest.raises(Reject) as caught:
        called(refuse)
    assert (caught.value.detail, caught.value.code, caught.value.remedy) == told


def test_a_policy_from_a_function_is_asked_with_the_base_and_travels_as_a_value() -> None:
    policy = from_function(lambda base, ours, theirs: None)
    assert (policy.name, policy.summary) == ("function", FUNCTION_SUMMARY)
    assert (policy.reads_base, policy.uses_present, policy.travels) == (True, False, "value")


# Words


def test_every_policy_is_told_in_its_own_words() -> None:
    for name, column in COLUMN_POLICIES.items():
        assert column_summary(name) == column.summary
    for name, row in ROW_POLICIES.items():
        assert row_summary(name) == row.summary
    for name, deletes in DELETE_POLICIES.items():
        assert row_summary(name) == deletes.summary
    assert column_summary("function") == FUNCTION_SUMMARY
    assert (column_summary("newer"), row_summary("newer")) == ("", "")


def test_help_lists_name_and_words_and_the_first_policy_is_the_default() -> None:
    assert default(COLUMN_POLICIES).name == "lww"
    assert default(ROW_POLICIES).name == "lww"
    assert default(DELETE_POLICIES).name == "newer_wins"
    assert listed(DELETE_POLICIES)[0] == "newer_wins    the newer of an update and a delete wins"
    assert len(listed(COLUMN_POLICIES)) == len(COLUMN_POLICIES)
