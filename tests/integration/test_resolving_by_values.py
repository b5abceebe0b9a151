"""A conflict is decided by the values that a Python program has, from the device and at the hub (law L12)."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import syncline
from syncline.errors import ResolutionRefused, ValueRefused
from tests.support.application import sql
from tests.support.either import centre_with, run

NUMBER = UUID("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")
AT = datetime(2024, 2, 29, 10, 0, 0, 250000)
WEST = timezone(-timedelta(hours=5))


class Shade(enum.Enum):
    """What an application has for a text."""

    DARK = "dark"


TYPED = [
    ("boolean", True, 1),
    ("boolean", False, 0),
    ("numeric(10,2)", Decimal("1.5"), "1.50"),
    ("numeric(10,2)", 3, "3.00"),
    ("integer", Decimal("7"), 7),
    ("float8", Decimal("0.5"), 0.5),
    ("uuid", NUMBER, str(NUMBER)),
    ("timestamp", AT, "2024-02-29T10:00:00.25"),
    ("timestamptz", AT.replace(tzinfo=WEST), "2024-02-29T15:00:00.25Z"),
    ("timestamptz", AT.replace(tzinfo=UTC), "2024-02-29T10:00:00.25Z"),
    ("date", date(2024, 2, 29), "2024-02-29"),
    ("time", time(9, 30), "09:30:00"),
    ("text", Shade.DARK, "dark"),
    ("bytea", bytearray(b"\x00\xff"), b"\x00\xff"),
]
UNTYPED = [
    ("TEXT", AT, "2024-02-29T10:00:00.250000"),
    ("NUMERIC", Decimal("1.5"), 1.5),
    ("TEXT", Decimal("1.50"), "1.50"),
    ("INTEGER", True, 1),
    ("TEXT", NUMBER, str(NUMBER)),
    ("BLOB", memoryview(b"\xff"), b"\xff"),
]
CASES = [("postgresql", *case) for case in TYPED] + [("sqlite", *case) for case in UNTYPED]


def disputed(
    request: pytest.FixtureRequest, folder: Path, kind: str, type_: str
) -> tuple[syncline.Hub, Path, int]:
    """A hub, a device file, and the number of an open conflict of a column of this type."""
    url = centre_with(request, kind, folder, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {type_}, w INTEGER)")
    hub = syncline.Hub(url, {"t": syncline.Table(merge="review")})
    hub.init()
    run(url, "INSERT INTO t VALUES (1, NULL, 0)")
    file = folder / "d.db"
    with syncline.clone(hub, file) as replica:
        sql(file, "UPDATE t SET w = 1")
        run(url, "UPDATE t SET w = 2")
        replica.sync()
    (note,) = hub.conflicts()
    return hub, file, note.id


@pytest.mark.parametrize("by", ["device", "hub"])
@pytest.mark.parametrize(("kind", "type_", "value", "spelled"), CASES)
def test_l8_a_value_of_python_is_spelled_as_the_column_says(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, type_: str, value: Any, spelled: Any, by: str
) -> None:
    """The whole row is decided: its values, but for the key."""
    hub, file, number = disputed(request, tmp_path, kind, type_)
    with hub, syncline.connect(file, hub=hub) as replica:
        decided = (replica if by == "device" else hub).resolve(number, "value", [value, 5])
        assert decided.outcome == "resolved"
        replica.sync()
        assert sql(file, "SELECT v, w FROM t") == [(spelled, 5)]
        assert replica.verify().equal


@pytest.mark.parametrize(
    "value",
    [object(), 1 << 63, 1j, {"a": 1}, "\ud800", timedelta(1), {1, 2}, b"x".hex, Decimal],
    ids=lambda value: type(value).__name__,
)
def test_l12_what_is_no_value_is_refused_by_name(
    request: pytest.FixtureRequest, tmp_path: Path, value: Any
) -> None:
    hub, file, number = disputed(request, tmp_path, "sqlite", "TEXT")
    with hub, syncline.connect(file, hub=hub) as replica:
        for side in (replica, hub):
            with pytest.raises(ValueRefused):
                side.resolve(number, "value", [value, 5])


@pytest.mark.parametrize(("type_", "value"), [("integer", AT), ("date", Decimal("1")), ("uuid", True)])
def test_l12_a_value_of_another_type_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, type_: str, value: Any
) -> None:
    hub, file, number = disputed(request, tmp_path, "postgresql", type_)
    with hub, syncline.connect(file, hub=hub) as replica:
        with pytest.raises(ResolutionRefused):
            replica.resolve(number, "value", [value, 5])
        assert replica.sync().pull is not None
