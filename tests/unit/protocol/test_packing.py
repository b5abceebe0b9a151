"""Columns of uuids in the canonical bytes: what is packed, that it comes back, and what is refused."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import msgspec
import pytest

from syncline.errors import Malformed, SynclineError, TooLarge
from syncline.protocol import codec, limits
from syncline.protocol.body import encode_group, open_groups, open_push, seal, seal_encoded
from syncline.protocol.messages import Changes, Group, Limits, Push, PushGroup
from syncline.protocol.negotiation import Form
from syncline.replica.freeze import Frozen
from syncline.replica.push import rows_of

ANN = "0b5f0a4e-32c9-4d5e-9f3c-7a1b2c3d4e5f"
BOB = "ffeeddcc-bbaa-9988-7766-554433221100"
CAT = "00000000-0000-0000-0000-00000000000a"


def raw(*uuids: str) -> bytes:
    return bytes.fromhex("".join(uuids).replace("-", ""))


def planes(*uuids: str) -> bytes:
    return b"".join(raw(*uuids)[byte::16] for byte in range(16))


def plain(groups: list[Any]) -> list[Any]:
    """The fields of groups as they are encoded."""
    found: list[Any] = msgspec.msgpack.decode(seal(groups)[0])
    return found


def digested(groups: list[Any]) -> tuple[bytes, str]:
    body = msgspec.msgpack.encode(groups)
    return body, hashlib.sha256(body).hexdigest()


def test_a_column_of_uuids_is_packed_by_planes_and_null_in_the_rows() -> None:
    assert plain([Group(3, "U", [0], [[ANN, "x"], [BOB, "y"]])]) == [
        [3, "U", [0], [[None, "x"], [None, "y"]], [[0, 1, planes(ANN, BOB)]]]
    ]


def test_uuids_of_which_one_stands_twice_are_packed_by_rows() -> None:
    rows: list[list[Any]] = [[1, ANN], [2, BOB], [3, ANN]]
    assert plain([Group(0, "U", [0], rows)])[0][4] == [[1, 0, raw(ANN, BOB, ANN)]]


def test_the_packed_places_are_the_last_field_of_either_group() -> None:
    sent = PushGroup(1, "U", [2], [[ANN, 5]], [7], [0], [[7]], [[0]])
    assert plain([sent]) == [[1, "U", [2], [[None, 5]], [7], [0], [[7]], [[0]], [[0, 1, raw(ANN)]]]]
    assert plain([Group(1, "U", [2], [[ANN, 5]])]) == [[1, "U", [2], [[None, 5]], [[0, 1, raw(ANN)]]]]


def test_deleted_rows_keep_their_number_when_nothing_but_the_key_was_in_them() -> None:
    group = PushGroup(0, "D", [], [[ANN], [BOB]], [1, 2])
    assert plain([group])[0][3] == [[None], [None]]
    body, digest = seal([group])
    assert open_push(body, digest) == [group]
    assert rows_of(Frozen(number=1, digest=digest, body=body, bases=["w"], fingerprint="f")) == 2


def test_all_places_of_a_row_may_be_packed() -> None:
    group = Group(0, "U", [0, 1], [[ANN, BOB, BOB], [BOB, CAT, BOB]])
    assert [one[:2] for one in plain([group])[0][4]] == [[0, 1], [1, 1], [2, 0]]
    assert open_groups(*seal([group])) == [group]


NOT_PACKED: dict[str, list[list[Any]]] = {
    "upper case": [[ANN.upper()]],
    "one digit in upper case": [[ANN], [BOB.replace("f", "F", 1)]],
    "braces": [["{" + ANN + "}"]],
    "no dashes": [[ANN.replace("-", "")]],
    "a prefix": [["urn:uuid:" + ANN]],
    "a dash elsewhere": [["0b5f0a4-e32c9-4d5e-9f3c-7a1b2c3d4e5f"]],
    "five dashes": [["0b5f0a4e-32c9-4d5e-9f3c-7a1b2c3d4-5f"]],
    "no hexadecimal digit": [["0b5f0a4g-32c9-4d5e-9f3c-7a1b2c3d4e5f"]],
    "a line's end": [[ANN[:-1] + "\n"]],
    "digits of another script": [["٠b5f0a4e-32c9-4d5e-9f3c-7a1b2c3d4e5f"]],
    "a null later": [[ANN], [None]],
    "a null first": [[None], [ANN]],
    "an integer": [[ANN], [7]],
    "a blob of the same bytes": [[ANN], [ANN.encode()]],
    "only blobs": [[ANN.encode()]],
    "sixteen bytes": [[raw(ANN)]],
    "some other text": [[ANN], ["x" * 36]],
    "lengths that even out": [[ANN + BOB[0]], [BOB[1:]]],
    "lengths that even out, later": [[CAT], [ANN + BOB[0]], [BOB[1:]]],
    "a row without the place": [[1, ANN], [2]],
    "rows of nothing": [[], []],
    "no rows": [],
}


@pytest.mark.parametrize("rows", NOT_PACKED.values(), ids=NOT_PACKED.keys())
def test_a_place_with_anything_else_in_it_stays_as_it_is(rows: list[list[Any]]) -> None:
    """L8."""
    group = Group(0, "U", [0], rows)
    body, digest = seal([group])
    assert body == msgspec.msgpack.encode([group])
    assert open_groups(body, digest) == [group]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 999, 1_000, 1_001, 2_500, 70_000])
def test_any_number_of_rows_comes_back(count: int) -> None:
    """L8."""
    rows: list[list[Any]] = [
        [number, f"{number:08x}-0000-4000-8000-{number * 7919:012x}", "x"] for number in range(count)
    ]
    body, digest = seal([Group(0, "U", [0, 1], rows)])
    (group,) = open_groups(body, digest)
    assert group.rows == rows
    assert len(body) < len(msgspec.msgpack.encode(rows))


def test_what_is_sealed_stays_as_it_was() -> None:
    rows: list[Any] = [(ANN, 1), (BOB, 2)]
    group = Group(0, "U", [0], rows)
    before = copy.deepcopy(rows)
    encode_group(group)
    seal([group])
    assert rows == before
    assert group.rows is rows


def test_groups_encoded_one_by_one_are_the_same_bytes() -> None:
    groups = [Group(0, "U", [0], [[ANN, 1]]), Group(1, "D", [], [[7]]), Group(2, "D", [], [[BOB]])]
    assert seal_encoded([encode_group(group) for group in groups]) == seal(groups)


def test_groups_that_pack_nothing_are_read_as_well() -> None:
    """An outbox may hold a push of before uuids were packed."""
    group = PushGroup(0, "D", [], [[ANN], [BOB]], [1, 2])
    assert open_push(*digested([group])) == [group]


def test_the_json_form_shows_whole_rows_and_has_the_same_digest() -> None:
    group = PushGroup(0, "D", [], [[ANN], [BOB]], [1, 2])
    body, digest = seal([group])
    shown = codec.encode(Push("r", 1, "s", ["w"], digest, msgspec.Raw(body)), Form.JSON)
    assert msgspec.json.decode(shown)["groups"] == [
        {"table": 0, "op": "D", "columns": [], "rows": [[ANN], [BOB]], "hlc": [1, 2], "base": []}
        | {"column_hlc": None, "column_base": None}
    ]
    again = codec.decode(shown, Push, Form.JSON)
    assert (bytes(again.groups), again.digest) == (body, digest)
    page = codec.encode(
        Changes("w", groups=msgspec.Raw(seal([Group(0, "U", [0], [[ANN, 1]])])[0])), Form.JSON
    )
    assert msgspec.json.decode(page)["groups"][0]["rows"] == [[ANN, 1]]


TWO = [[None, 1], [None, 2]]
BAD: dict[str, list[Any]] = {
    "too few bytes": [TWO, [[0, 1, bytes(31)]]],
    "too many bytes": [TWO, [[0, 1, bytes(33)]]],
    "one uuid for two rows": [TWO, [[0, 0, bytes(16)]]],
    "no bytes": [TWO, [[0, 1, b""]]],
    "a place behind the row": [TWO, [[2, 1, bytes(32)]]],
    "a place before the row": [TWO, [[-1, 1, bytes(32)]]],
    "a place far behind the row": [TWO, [[2**63, 1, bytes(32)]]],
    "a place that only one row has": [[[1, None], [2]], [[1, 1, bytes(32)]]],
    "a place with a value in it": [[[None, 1], [BOB, 2]], [[0, 1, bytes(32)]]],
    "one place twice": [[[None, None]] * 2, [[0, 1, bytes(32)], [0, 1, bytes(32)]]],
    "places that descend": [[[None, None]] * 2, [[1, 1, bytes(32)], [0, 1, bytes(32)]]],
    "an order that is none": [TWO, [[0, 2, bytes(32)]]],
    "bytes that are text": [TWO, [[0, 1, "x" * 32]]],
    "no order": [TWO, [[0, bytes(32)]]],
    "a field too many": [TWO, [[0, 1, bytes(32), 0]]],
    "no rows": [[], [[0, 1, b""]]],
    "rows of nothing": [[[], []], [[0, 1, bytes(32)]]],
    "no list": [TWO, 5],
    "null": [TWO, None],
    "another field behind": [TWO, [[0, 1, bytes(32)]], []],
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD.keys())
def test_packed_places_that_do_not_fit_are_malformed(parts: list[Any]) -> None:
    """L12."""
    rows, *packed = parts
    with pytest.raises(Malformed):
        open_groups(*digested([[4, "U", [0], rows, *packed]]))
    with pytest.raises(Malformed):
        open_push(*digested([[4, "U", [0], rows, [1] * len(rows), [], None, None, *packed]]))


def test_a_packed_place_that_does_not_fit_names_the_table() -> None:
    """L12."""
    with pytest.raises(Malformed, match="table 4: 31 bytes"):
        open_groups(*digested([[4, "U", [0], TWO, [[0, 1, bytes(31)]]]]))


@pytest.mark.parametrize("count", [1, 1_000, 100_000])
def test_empty_packed_places_are_refused_before_they_are_made(count: int) -> None:
    """L11."""
    group = [0, "U", [0], TWO, [1, 1], [], None, None, [[0, 1, b""]] * count]
    body, digest = digested([group])
    with pytest.raises(Malformed, match="less than a uuid"):
        limits.check(Push("r", 1, "s", ["w"], digest, msgspec.Raw(body)), Limits())


def test_rows_are_counted_though_their_only_value_is_packed() -> None:
    """L11."""
    body, digest = seal([PushGroup(0, "D", [], [[ANN], [BOB], [CAT]], [1] * 3)])
    push = Push("r", 1, "s", ["w"], digest, msgspec.Raw(body))
    limits.check(push, Limits(push_rows=3))
    with pytest.raises(TooLarge):
        limits.check(push, Limits(push_rows=2))


def test_text_that_is_no_unicode_beside_a_packed_place_is_refused() -> None:
    with pytest.raises(SynclineError) as caught:
        seal([Group(0, "U", [0], [[ANN, "\ud800"]])])
    assert caught.value.code == "value_refused"
