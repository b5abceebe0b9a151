"""The digest test vectors of docs/protocol.md, and what a receiver refuses before it looks at a row."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from syncline.errors import DigestMismatch, Malformed, ValueRefused
from syncline.protocol import codec
from syncline.protocol.body import open_groups, open_push, seal, whole_digest
from syncline.protocol.messages import Changes, Group, Push, PushGroup
from syncline.protocol.negotiation import Form

PAGE = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


def vectors() -> list[dict[str, Any]]:
    blocks = re.findall(r"```json\n(\[.*?\])\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found: list[dict[str, Any]] = msgspec.json.decode(blocks[-1])
    return found


def sealed(rows: list[list[Any]]) -> tuple[bytes, str]:
    return seal([PushGroup(0, "I", [], rows, [1] * len(rows))])


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_the_documented_bytes_and_digests_are_those_of_the_code(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["msgpack"])
    assert hashlib.sha256(body).hexdigest() == vector["sha256"]
    opened: Any = open_groups if vector["of"] == "group" else open_push
    assert seal(opened(body, vector["sha256"])) == (body, vector["sha256"])


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_the_json_form_of_a_vector_has_the_same_digest(vector: dict[str, Any]) -> None:
    source = PAGE.read_text(encoding="utf-8")
    groups = next(
        line.removeprefix('   "groups": ').removesuffix(",")
        for line in source[source.index(f'"name": "{vector["name"]}"') :].splitlines()
        if line.startswith('   "groups": ')
    )
    if vector["of"] == "group":
        changes = codec.decode(f'{{"groups": {groups}}}'.encode(), Changes, Form.JSON)
        assert bytes(changes.groups).hex() == vector["msgpack"]
    else:
        text = f'{{"replica": "r", "number": 1, "schema": "s", "bases": [], "groups": {groups}}}'
        push = codec.decode(text.encode(), Push, Form.JSON)
        assert (bytes(push.groups).hex(), push.digest) == (vector["msgpack"], vector["sha256"])


def test_the_documented_digest_of_two_chunks_is_that_of_the_code() -> None:
    digests = [vector["sha256"] for vector in vectors()]
    assert whole_digest(digests[-2:]) in PAGE.read_text(encoding="utf-8")
    assert whole_digest(digests[:1]) == digests[0]


def test_a_changed_byte_is_noticed() -> None:
    body, digest = seal([Group(0, "U", [0], [[1, "Ann"]])])
    with pytest.raises(DigestMismatch):
        open_groups(Raw(body.replace(b"Ann", b"Bob")), digest)


def test_a_digest_over_something_that_is_no_list_of_groups_is_malformed() -> None:
    body = msgspec.msgpack.encode({"rows": 1})
    with pytest.raises(Malformed):
        open_push(body, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    "cell",
    [True, [1], {"a": 1}, 2**63, 2**64 - 1, msgspec.msgpack.Ext(5, b"x")],
    ids=["bool", "list", "map", "2^63", "2^64-1", "extension"],
)
def test_a_cell_that_is_no_value_is_malformed(cell: Any) -> None:
    with pytest.raises(Malformed):
        open_push(*sealed([[1, "fine"], [2, cell]]))


def test_text_that_is_no_unicode_is_refused_when_it_is_sealed() -> None:
    with pytest.raises(ValueRefused):
        sealed([["\ud800"]])
