"""A value comes back from the file as it went into it, in every form (law L8)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncline.errors import ConfigurationError
from syncline.model.forms import (
    FORMS,
    KINDS,
    PRESETS,
    Spelling,
    chosen,
    form_of,
    formed,
    in_numbers,
    spelling_of,
)
from syncline.model.schema import ColumnSchema
from syncline.model.spelling import iso
from syncline.model.values import Value, identical


def spelling(kind: str, form: str, declared: str = "TEXT") -> Spelling:
    column = ColumnSchema("x", kind, declared)
    found = spelling_of(formed(column, form_of(column, {KINDS[kind]: form})))
    assert found is not None
    return found


def assert_comes_back(one: Spelling, value: Value) -> Value:
    there = one.inward(value)
    assert identical(one.outward(there), value)
    assert identical(one.settle(there), there), "what is in the file is in its form"
    return there


@pytest.mark.parametrize(
    ("kind", "form", "value", "there"),
    [
        ("timestamp", "iso", "2024-02-29T10:00:00.5", "2024-02-29T10:00:00.5"),
        ("timestamp", "space", "2024-02-29T10:00:00.5", "2024-02-29 10:00:00.500000"),
        ("timestamp", "space", "2024-02-29T10:00:00", "2024-02-29 10:00:00"),
        ("timestamptz", "space", "2024-02-29T10:00:00Z", "2024-02-29 10:00:00"),
        ("timestamptz", "space6", "2024-02-29T10:00:00Z", "2024-02-29 10:00:00.000000"),
        ("timestamptz", "unix", "2024-02-29T10:00:00Z", 1709200800),
        ("timestamp", "unix", "1969-12-31T23:59:59.25", -0.75),
        ("timestamp", "space", "infinity", "infinity"),
        ("timestamp", "unix", "0044-03-15 00:00:00 BC", "0044-03-15 00:00:00 BC"),
        ("timestamp", "unix", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
        ("time", "space", "12:34:56.789", "12:34:56.789000"),
        ("time", "space6", "12:34:56", "12:34:56.000000"),
        ("time", "unix", "12:34:56", "12:34:56"),
        ("time", "space6", "24:00:00", "24:00:00"),
        ("uuid", "hex", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
        ("uuid", "blob", "00000000-0000-0000-0000-0000000000ff", b"\0" * 15 + b"\xff"),
        ("interval", "microseconds", "PT3H", 10_800_000_000),
        ("interval", "microseconds", "P-1DT-2H-3M-4.000005S", -93_784_000_005),
        ("interval", "microseconds", "PT-0.5S", -500_000),
        ("interval", "microseconds", "PT0S", 0),
        ("interval", "microseconds", "P7D", 604_800_000_000),
        ("interval", "microseconds", "P1Y2M3DT4H", "P1Y2M3DT4H"),
        ("interval", "epoch", "PT3H0.25S", "1970-01-01 03:00:00.250000"),
        ("interval", "epoch", "PT-1M", "1969-12-31 23:59:00.000000"),
        ("interval", "epoch", "P1M", "P1M"),
        ("interval", "epoch", "P9999999D", "P9999999D"),
        ("boolean", "text", 1, "true"),
        ("boolean", "text", 0, "false"),
    ],
)
def test_a_value_in_a_form(kind: str, form: str, value: Value, there: Value) -> None:
    assert identical(assert_comes_back(spelling(kind, form), value), there)


@given(st.sampled_from(FORMS["timestamps"]), st.sampled_from(["timestamp", "timestamptz"]), st.datetimes())
@example("unix", "timestamp", datetime(9999, 12, 31, 23, 59, 59, 999999))
def test_every_moment_comes_back(form: str, kind: str, at: datetime) -> None:
    value = iso(at) + ("Z" if kind == "timestamptz" else "")
    there = assert_comes_back(spelling(kind, form), value)
    assert spelling(kind, form).fits([there, None]) or form == "unix"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
def test_a_real_keeps_what_fifteen_digits_keep(number: Decimal) -> None:
    value = f"{number + 0:.2f}" if number else "0.00"
    one = spelling("decimal", "real", "DECIMAL_TEXT$(15,2)")
    assert isinstance(assert_comes_back(one, value), float)
    assert not one.is_lossy
    assert spelling("decimal", "real", "DECIMAL_TEXT$(16,2)").is_lossy
    assert spelling("decimal", "real", "DECIMAL_TEXT").is_lossy


@given(st.uuids(), st.sampled_from(FORMS["uuids"]))
def test_every_uuid_comes_back(one: object, form: str) -> None:
    there = assert_comes_back(spelling("uuid", form), str(one))
    assert spelling("uuid", form).fits([there])


UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize("form", ["hyphens", "hex"])
@pytest.mark.parametrize(
    "other",
    [
        UUID.upper(),
        UUID[:-1],
        f"{UUID}0",
        f"{{{UUID}}}",
        UUID.replace("-", "_"),
        UUID.replace("a", "g"),
        UUID.replace("a", "\uff11"),
        UUID.replace("a", "\udce4"),
        f"{UUID}\n{UUID}",
        f"{UUID}\n",
        "",
        7,
        UUID.encode(),
    ],
)
def test_a_column_that_has_anything_but_plain_uuids_does_not_fit(form: str, other: Value) -> None:
    fits = spelling("uuid", form).fits
    plain = UUID if form == "hyphens" else UUID.replace("-", "")
    strange = other.replace("-", "") if form == "hex" and isinstance(other, str) else other
    assert fits([plain] * 3)
    assert fits([plain, None, plain])
    assert fits([None])
    assert fits([])
    for column in ([strange], [plain, strange], [strange, plain, None], [None, strange]):
        assert not fits(column)


@pytest.mark.parametrize("strange", ["", "2024-02-29T10:00:00\n2024-02-29T10:00:00", "2024-02-29T10:00:00\n"])
def test_a_column_with_a_moment_of_several_lines_or_none_does_not_fit(strange: str) -> None:
    fits, plain = spelling("timestamp", "iso").fits, "2024-02-29T10:00:00"
    assert fits([plain, None])
    for column in ([strange], [plain, strange], [strange, plain, None]):
        assert not fits(column)


@pytest.mark.parametrize("digit", ["\uff14", "\u0664"])
def test_a_digit_of_another_script_is_none(digit: str) -> None:
    for fits, plain in (
        (spelling("timestamptz", "iso").fits, "2024-02-14T10:00:00.4Z"),
        (spelling("timestamp", "space6").fits, "2024-02-14 14:44:04.444444"),
        (spelling("decimal", "text", "_TEXT(9,2)").fits, "14.44"),
        (spelling("decimal", "text").fits, "14.4"),
    ):
        assert fits([plain])
        for place, character in enumerate(plain):
            if character == "4":
                assert not fits([plain, plain[:place] + digit + plain[place + 1 :]])


@given(
    st.timedeltas(timedelta(days=-(10**8)), timedelta(days=10**8)), st.sampled_from(["microseconds", "epoch"])
)
def test_every_duration_comes_back(one: timedelta, form: str) -> None:
    found = spelling("interval", form)
    micro = one // timedelta(microseconds=1)
    value = spelling("interval", "microseconds").outward(micro)
    there = assert_comes_back(found, value)
    assert form == "epoch" or there == micro
    assert found.fits([there, None]) or isinstance(there, str)
    assert found.is_lossy


def test_a_day_is_24_hours_where_an_interval_is_a_number() -> None:
    found = spelling("interval", "microseconds")
    assert found.settle("PT36H") == found.settle("P1DT12H") == 129_600_000_000
    assert found.outward(129_600_000_000) == "P1DT12H"
    assert formed(ColumnSchema("x", "interval", "TEXT"), "microseconds").declared == "BIGINT"


def test_what_can_be_chosen_and_what_cannot() -> None:
    assert chosen("django") == PRESETS["django"]
    assert chosen({"uuids": "hex"}) == {"uuids": "hex"}
    assert chosen(None) == {}
    for wrong in ({"uuid": "hex"}, {"uuids": "hexadecimal"}, "rails"):
        with pytest.raises(ConfigurationError) as refused:
            chosen(wrong)  # type: ignore[arg-type]
        assert refused.value.code == "form_unknown"
        assert refused.value.remedy.startswith("There is: ")


def test_a_form_is_declared_so_that_sqlite_compares_right() -> None:
    column = ColumnSchema("x", "decimal", "DECIMAL_TEXT$(10,2)")
    assert formed(column, "real").declared == "DECIMAL(10,2)"
    assert formed(column, "text").declared == "DECIMAL_TEXT$(10,2)"
    assert (
        formed(ColumnSchema("x", "uuid", "TEXT", default="lower(x)"), "hex").default
        == "replace(lower(x), '-', '')"
    )


NUMBERS = st.one_of(
    st.integers(-(2**66), 2**66).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr).filter(lambda text: "inf" not in text),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
)


@given(NUMBERS)
@example("-0")
@example("9223372036854775807")
@example("9223372036854775808")
@example("1e18")
@example("5.0")
def test_a_bare_number_of_json_is_what_sqlite_makes_of_it(text: str) -> None:
    one = spelling_of(in_numbers(ColumnSchema("x", "json", "TEXT")))
    assert one is not None
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute("CREATE TABLE t (j JSON)")
        file.execute("INSERT INTO t VALUES (?), ('true'), ('[5]'), ('\"5\"')", (text,))
        kept = [value for (value,) in file.execute("SELECT j FROM t")]
        there = [one.inward(value) for value in (text, "true", "[5]", '"5"')]
        assert kept == there and list(map(type, kept)) == list(map(type, there))
        assert one.fits(kept)
        assert one.inward(one.outward(kept[0])) == kept[0], "it comes back as what it is"
