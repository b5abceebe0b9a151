"""Counters add up exactly and extremes are picked by value, whatever the class (laws L7 and L8)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import ValueRefused
from syncline.model.values import Value, add, identical, larger, smaller, subtract

INTEGERS = st.integers(-(2**62), 2**62 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**25), max_value=10**25)


@given(INTEGERS, INTEGERS)
def test_an_integer_increment_leads_from_the_old_value_to_the_new(old: int, new: int) -> None:
    assert identical(add(old, subtract(new, old)), new)


@given(FLOATS, FLOATS)
def test_a_float_increment_leads_from_the_old_value_to_the_new(old: float, new: float) -> None:
    result = add(old, subtract(new, old))
    assert isinstance(result, float) and math.isclose(result, new, rel_tol=1e-9, abs_tol=abs(old) * 1e-12)


@given(DECIMALS, DECIMALS)
def test_a_decimal_increment_is_exact(old: object, new: object) -> None:
    before, after = format(old, "f"), format(new, "f")  # type: ignore[arg-type]
    result = add(before, subtract(after, before))
    assert isinstance(result, str)
    assert subtract(result, after) in {"0", "-0"} or float(str(subtract(result, after))) == 0


@pytest.mark.parametrize(
    ("value", "increment", "result"),
    [
        (None, None, None),
        (None, 5, 5),
        (5, None, 5),
        (None, "1.50", "1.50"),
        (5, 7, 12),
        (5, -7, -2),
        (0.1, 0.2, 0.3),
        ("10.00", "0.05", "10.05"),
        ("99999999999999999999999999999.1", "0.9", "100000000000000000000000000000.0"),
        (2**63 - 1, 1, float(2**63)),
        (math.inf, 1.0, math.inf),
        (math.inf, -math.inf, "NaN"),
        ("NaN", 1.0, "NaN"),
        (1e308, 1e308, math.inf),
    ],
)
def test_a_sum_keeps_its_class(value: Value, increment: Value, result: Value) -> None:
    assert identical(add(value, increment), result)


@pytest.mark.parametrize("bad", ["many", "", b"5", "sNaN", "1e999999", "1e-999999", "9" * 30_000])
def test_what_is_no_number_or_too_long_a_number_is_refused(bad: Value) -> None:
    for left, right in ((bad, 1), (1, bad)):
        with pytest.raises(ValueRefused):
            add(left, right)
    with pytest.raises(ValueRefused):
        subtract(bad, 1)


@pytest.mark.parametrize(
    ("small", "large", "numeric"),
    [
        (1, 2, True),
        (-1, 0.5, True),
        ("9.5", "10.25", True),
        ("10.25", "9.5", False),
        (2, "10", True),
        (10**18, 10**18 + 1, True),
        (-math.inf, math.inf, True),
        (1e308, "NaN", True),
        ("1", b"0", False),
        ("2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z", False),
    ],
)
def test_the_larger_and_the_smaller_of_two_values(small: Value, large: Value, numeric: bool) -> None:
    assert identical(larger(small, large, numeric), large)
    assert identical(larger(large, small, numeric), large)
    assert identical(smaller(small, large, numeric), small)
    assert identical(smaller(large, small, numeric), small)


def test_a_null_is_no_value_yet_and_a_tie_keeps_the_left() -> None:
    assert larger(None, -5, True) == -5 and smaller(None, 5, True) == 5
    assert larger(5, None, True) == 5 and smaller(5, None, True) == 5
    assert larger(None, None, True) is None
    assert larger("1.0", "1.00", True) == "1.0" and smaller("1.00", "1.0", True) == "1.00"


def test_identical_tells_classes_and_bits_apart() -> None:
    assert not identical(1, 1.0) and not identical("1", 1) and not identical(b"a", "a")
    assert not identical(0.0, -0.0) and identical(-0.0, -0.0)
    assert not identical(None, 0) and identical(None, None)
