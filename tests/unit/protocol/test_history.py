"""The message records change only with the protocol version, or knowingly while it is not released."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from syncline.protocol.messages import PROTOCOL_VERSION

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (
    "# History\n\n## Version 1\n\nRecords: `one`\n\n- All.\n\n## Version 2, not released\n\nRecords: `two`\n"
)


@pytest.fixture(scope="module")
def history() -> ModuleType:
    spec = importlib.util.spec_from_file_location("history", DOCS / "history.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_records_are_those_of_this_version(history: ModuleType) -> None:
    trouble = history.trouble(history.PAGE.read_text(encoding="utf-8"), PROTOCOL_VERSION, history.present())
    assert trouble is None, f"\n{trouble}"


def test_an_unreleased_version_is_recorded_again(history: ModuleType) -> None:
    assert history.trouble(PAGE, 2, "two") is None
    assert "python3 run.py protocol" in history.trouble(PAGE, 2, "changed")
    again = history.with_hash(PAGE, 2, "changed")
    assert history.recorded(again) == {1: ("one", True), 2: ("changed", False)}
    assert history.trouble(again, 2, "changed") is None


def test_a_released_version_is_frozen(history: ModuleType) -> None:
    assert "Raise PROTOCOL_VERSION" in history.trouble(PAGE, 1, "changed")


def test_a_version_without_a_section_is_missed(history: ModuleType) -> None:
    assert "## Version 3, not released" in history.trouble(PAGE, 3, "three")


def test_the_hash_sees_names_order_types_bounds_defaults_unions_and_routes(history: ModuleType) -> None:
    lines = list(history.shape())
    pull = lines.index("record Pull")
    assert [line.split(":")[0].strip() for line in lines[pull + 1 : pull + 7]] == [
        *("after", "limit", "replica", "schema", "pending", "version")
    ]
    assert "  limit: int(ge=1, le=4611686018427387904) = 20000" in lines
    assert "  image: list[Any] | NoneType" in lines
    assert "  take: Literal['hub', 'sent', 'base', 'value']" in lines
    assert "  groups: Raw = 90" in lines
    assert "  bases: list[str(longest=32768)](limit='bases')" in lines
    assert any(line.startswith("union Request = Register | Reconcile | SchemaQuery | ") for line in lines)
    assert "route POST /sync/changes body: Push -> Verdict" in lines
    assert {"record PackedPushGroup", "record Limits", "schema ColumnSchema"} <= set(lines)
