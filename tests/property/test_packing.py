"""Whatever stands in rows comes back from sealing, and a packed body that was changed is refused."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from msgspec import Raw

from syncline.errors import Malformed
from syncline.protocol import codec
from syncline.protocol.body import open_groups, open_push, seal
from syncline.protocol.messages import Changes, Group, Push, PushGroup
from syncline.protocol.negotiation import Form

UUIDS = some.uuids().map(str)
FEW = some.sampled_from(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"])
NEARLY = (
    UUIDS.map(str.upper)
    | UUIDS.map(str.encode)
    | UUIDS.map(lambda uuid: uuid + "0")
    | UUIDS.map(lambda uuid: uuid[1:])
    | some.text(some.characters(exclude_categories=["Cs"]), min_size=36, max_size=36)
    | some.text("0123456789abcdef-", min_size=36, max_size=36)
)
ANYTHING = some.none() | some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False) | NEARLY | UUIDS
COLUMNS = some.sampled_from([UUIDS, UUIDS, FEW, ANYTHING])


@some.composite
def tables_of_rows(draw: Any) -> list[list[Any]]:
    """Rows whose places hold uuids only, few different ones, or anything."""
    columns = draw(some.lists(COLUMNS, min_size=1, max_size=5))
    return draw(some.lists(some.tuples(*columns).map(list), max_size=12))  # type: ignore[no-any-return]


ROWS = tables_of_rows() | some.integers(0, 3).flatmap(
    lambda width: some.lists(some.lists(ANYTHING, min_size=width, max_size=width), max_size=4)
)


def exactly(rows: Any) -> str:
    """Tells 1 from 1.0 and 0.0 from -0.0, unlike ==."""
    return repr(rows)


@given(some.lists(ROWS, max_size=3))
def test_what_is_sealed_is_what_is_opened(tables: list[list[list[Any]]]) -> None:
    """L8."""
    groups = [Group(number, "U", [0], rows) for number, rows in enumerate(tables)]
    before = exactly(groups)
    assert exactly(open_groups(*seal(groups))) == before
    pushed = [PushGroup(number, "I", [0], rows, [1] * len(rows)) for number, rows in enumerate(tables)]
    assert exactly(open_push(*seal(pushed))) == exactly(pushed)
    assert exactly(groups) == before


@given(ROWS)
def test_sealing_what_was_opened_gives_the_same_bytes(rows: list[list[Any]]) -> None:
    """L7."""
    body, digest = seal([Group(0, "U", [0], rows)])
    assert seal(open_groups(body, digest)) == (body, digest)


@given(ROWS)
def test_both_forms_have_one_digest(rows: list[list[Any]]) -> None:
    """L8."""
    body, digest = seal([PushGroup(0, "I", [0], rows, [1] * len(rows))])
    push = Push("r", 1, "f", [], digest, Raw(body))
    again = codec.decode(codec.encode(push, Form.JSON), Push, Form.JSON)
    assert (bytes(again.groups), again.digest) == (body, digest)
    body, digest = seal([Group(0, "U", [0], rows)])
    page = codec.decode(
        codec.encode(Changes("w", digest=digest, groups=Raw(body)), Form.JSON), Changes, Form.JSON
    )
    assert bytes(page.groups) == body


@given(tables_of_rows(), some.integers(0), some.integers(0, 255))
def test_a_changed_byte_is_read_or_malformed(rows: list[list[Any]], where: int, byte: int) -> None:
    """L12: the digest fits, so it is not what keeps the reader from failing in another way."""
    body = bytearray(seal([Group(0, "U", [0], rows)])[0])
    body[where % len(body)] = byte
    try:
        open_groups(bytes(body), hashlib.sha256(body).hexdigest())
    except Malformed:
        pass
