"""The test vectors of docs/verify.md, and the canonical order and bytes they stand for."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncline.errors import Malformed
from syncline.model.order import place
from syncline.protocol.canonical import FIRST_SLICE, SLICE_BYTES, Pace, RowsDigest, canonical_row
from syncline.protocol.jsonform import key_of, key_text

PAGE = Path(__file__).resolve().parents[3] / "docs" / "verify.md"


def vectors() -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(\{.*?\})\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = msgspec.json.decode(block)
    return found


def documented_rows() -> list[tuple[Any, ...]]:
    return [key_of(msgspec.json.encode(item["row"]).decode()) for item in vectors()["rows"]]


def test_the_documented_bytes_are_those_of_the_code() -> None:
    for row, item in zip(documented_rows(), vectors()["rows"], strict=True):
        assert bytes(canonical_row(row)).hex() == item["msgpack"], item


def test_the_documented_rows_stand_in_canonical_order() -> None:
    rows = documented_rows()
    assert [place(row[:2]) for row in rows] == sorted({place(row[:2]) for row in rows})
    shuffled = random.Random(3).sample(rows, len(rows))
    assert sorted(shuffled, key=lambda row: place(row[:2])) == rows


def test_the_documented_digest_is_that_of_the_code_and_of_the_bytes() -> None:
    body = b"".join(bytes.fromhex(item["msgpack"]) for item in vectors()["rows"])
    digest = RowsDigest()
    assert digest.add(documented_rows()) == len(body)
    assert digest.hex == hashlib.sha256(body).hexdigest() == vectors()["sha256"]
    assert digest.rows == len(vectors()["rows"])


@pytest.mark.parametrize("sizes", [[1] * 9, [15, 1], [16, 3], [65_535, 1], [65_536, 2], [0, 1, 0]])
def test_a_digest_does_not_depend_on_how_the_rows_come(sizes: list[int]) -> None:
    rows = [[number, "x"] for number in range(sum(sizes))]
    digest, start = RowsDigest(), 0
    for size in sizes:
        digest.add(rows[start : start + size])
        start += size
    wanted = hashlib.sha256(b"".join(bytes(canonical_row(row)) for row in rows))
    assert digest.hex == wanted.hexdigest()


def test_text_that_is_not_utf_8_has_bytes_of_its_own() -> None:
    damaged = b"a\xff".decode("utf-8", "surrogateescape")
    forms = {bytes(canonical_row([value])) for value in (damaged, b"a\xff", "a", "a\ufffd")}
    assert len(forms) == 4
    whole, single = RowsDigest(), RowsDigest()
    whole.add([[1, "x"], [2, damaged]])
    single.add([[1, "x"]])
    single.add([[2, damaged]])
    assert whole.hex == single.hex


@pytest.mark.parametrize(
    "text",
    ["", "7", "null", "{}", "[", "[true]", "[[1]]", '[{"$blob":"?"}]', '[{"$float":"nan"}]', '[{"x":1}]',
     "[1e999]", "[9223372036854775808]", "[-9223372036854775809]", '["\\ud800"]', "[" * 5000, "[1] 2"],
)  # fmt: skip
def test_a_key_in_a_query_that_is_none_is_refused_with_its_code(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        key_of(text)
    assert caught.value.code == "bad_range"


def test_a_key_survives_its_text() -> None:
    for row in documented_rows():
        assert repr(key_of(key_text(row))) == repr(row)


def test_a_slice_grows_to_the_largest_that_is_asked_for_and_shrinks_with_large_rows() -> None:
    pace, steps = Pace(largest=500), list[int]()
    for _ in range(4):
        steps.append(pace.step)
        pace.note(pace.step, pace.step * 100)
    assert steps == [FIRST_SLICE, FIRST_SLICE * 4, 500, 500]
    pace.note(500, 500 * SLICE_BYTES)
    assert pace.step == 1
