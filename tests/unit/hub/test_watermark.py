"""A watermark is good for its hub and its replica and for nobody else (laws L4 and L10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import WatermarkRefused
from syncline.hub import watermark
from syncline.hub.contract import Key, Position
from syncline.hub.watermark import Cursor, Watermark
from syncline.model.scope import UNBOUNDED, Rule, Scope, TableScope

HUB, STRANGE = b"k" * watermark.KEY_BYTES, b"s" * watermark.KEY_BYTES
"""The keys of two hubs."""

ME, OTHER = "replica-1", "replica-2"


@dataclass(frozen=True)
class Sequence:
    """A position as the SQLite centre has it: one number."""

    number: int

    def sees(self, place: Any) -> bool:
        return bool(place <= self.number)

    def token(self) -> str:
        return str(self.number)


@dataclass(frozen=True)
class Snapshot:
    """A position whose token has dots, colons and commas."""

    text: str

    def sees(self, place: Any) -> bool:
        return False

    def token(self) -> str:
        return self.text


def sequence(token: str) -> Sequence:
    return Sequence(int(token))


def of(position: Position) -> Watermark:
    return Watermark(position, UNBOUNDED.fingerprint)


TOKEN = watermark.mint(of(Sequence(42)), HUB, ME)


def test_a_watermark_comes_back_as_it_was_made() -> None:
    assert watermark.parse(TOKEN, HUB, ME, sequence) == of(Sequence(42))


def test_a_position_with_any_punctuation_comes_back() -> None:
    token = watermark.mint(of(Snapshot("1.7:100:200:101,103")), HUB, ME)
    assert watermark.parse(token, HUB, ME, Snapshot) == of(Snapshot("1.7:100:200:101,103"))


def test_a_base_may_have_been_given_to_any_replica_of_the_hub() -> None:
    """A copied file takes a new id and keeps the bases of its edits."""
    assert watermark.parse(TOKEN, HUB, None, sequence) == of(Sequence(42))


@pytest.mark.parametrize(
    ("token", "hub", "replica", "code"),
    [
        (TOKEN, HUB, OTHER, "watermark_foreign"),
        (TOKEN, STRANGE, ME, "watermark_garbled"),
        (TOKEN, STRANGE, None, "watermark_garbled"),
        ("", HUB, ME, "watermark_garbled"),
        ("42", HUB, ME, "watermark_garbled"),
        ("42.", HUB, ME, "watermark_garbled"),
        ("..", HUB, ME, "watermark_garbled"),
        ("43" + TOKEN[2:], HUB, ME, "watermark_garbled"),
        (TOKEN[:-1], HUB, ME, "watermark_foreign"),
        (TOKEN[1:], HUB, ME, "watermark_garbled"),
        (TOKEN.upper(), HUB, ME, "watermark_garbled"),
        ("9" * 200_000 + TOKEN, HUB, ME, "watermark_garbled"),
        ("'; DROP TABLE item; --", HUB, ME, "watermark_garbled"),
        ("\ud800.a.b", HUB, ME, "watermark_garbled"),
    ],
)
def test_a_garbled_or_foreign_watermark_is_refused(
    token: str, hub: bytes, replica: str | None, code: str
) -> None:
    with pytest.raises(WatermarkRefused) as caught:
        watermark.parse(token, hub, replica, sequence)
    assert caught.value.code == code


def test_l10_a_watermark_is_good_within_its_scope_alone() -> None:
    """A replica that goes on from it under another scope would never get what came into it untouched."""
    parsed = watermark.parse(TOKEN, HUB, ME, sequence)
    assert parsed.within(UNBOUNDED) == Sequence(42)
    with pytest.raises(WatermarkRefused) as caught:
        parsed.within(Scope((TableScope(3, (Rule("x = 1"),)),)))
    assert caught.value.code == "watermark_scope"


def test_l10_the_scope_cannot_be_exchanged_in_a_token() -> None:
    other = UNBOUNDED.fingerprint[::-1]
    assert other != UNBOUNDED.fingerprint
    with pytest.raises(WatermarkRefused) as caught:
        watermark.parse(TOKEN.replace(UNBOUNDED.fingerprint, other), HUB, ME, sequence)
    assert caught.value.code == "watermark_garbled"


def test_a_watermark_of_another_kind_of_database_is_refused() -> None:
    token = watermark.mint(of(Snapshot("100:200:101")), HUB, ME)
    with pytest.raises(WatermarkRefused, match="another kind"):
        watermark.parse(token, HUB, ME, sequence)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_single_character_can_be_changed_unnoticed(index: int, letter: str) -> None:
    forged = TOKEN[:index] + letter + TOKEN[index + 1 :]
    if forged != TOKEN:
        with pytest.raises(WatermarkRefused):
            watermark.parse(forged, HUB, ME, sequence)


@pytest.mark.parametrize("position", [Sequence(7), Sequence(42)])
def test_a_watermark_says_as_of_when_rows_were_told_if_that_is_later(position: Sequence) -> None:
    told = of(Sequence(42)).told(position)
    assert (told.seen is None) == (position == told.position) and told.newest == position
    assert watermark.parse(watermark.mint(told, HUB, ME), HUB, ME, sequence) == told
    cursor = Cursor(told, 3, (7, "x"))
    assert watermark.parse_cursor(watermark.mint_cursor(cursor, HUB, ME), HUB, ME, sequence) == cursor


CURSOR = watermark.mint_cursor(Cursor(of(Sequence(42)), 3, (7, "x")), HUB, ME)


@pytest.mark.parametrize("after", [None, (7,), ("ü.", b"\x00\xff", -5, 0.5)])
def test_a_cursor_comes_back_as_it_was_made(after: Key | None) -> None:
    cursor = Cursor(of(Sequence(42)), 3, after)
    token = watermark.mint_cursor(cursor, HUB, ME)
    assert watermark.parse_cursor(token, HUB, ME, sequence) == cursor


@pytest.mark.parametrize(
    ("cursor", "hub", "replica"),
    [
        (CURSOR, HUB, OTHER),
        (CURSOR, STRANGE, ME),
        ("", HUB, ME),
        ("a.b.c", HUB, ME),
        (CURSOR[1:], HUB, ME),
        (CURSOR + "x", HUB, ME),
        (TOKEN, HUB, ME),
        ("\ud800." + CURSOR, HUB, ME),
    ],
)
def test_a_garbled_or_foreign_cursor_is_refused(cursor: str, hub: bytes, replica: str) -> None:
    with pytest.raises(WatermarkRefused) as caught:
        watermark.parse_cursor(cursor, hub, replica, sequence)
    assert caught.value.code == "cursor_garbled"


def test_what_anybody_could_compute_is_no_seal() -> None:
    """The ids of the hub and of replicas are known to many; the seal must not follow from them."""
    body = f"42|{UNBOUNDED.fingerprint}"
    for told in ("hub-1", ME):
        seal = hashlib.sha256(f"{told}|{body}".encode()).hexdigest()[:12]
        with pytest.raises(WatermarkRefused):
            watermark.parse(f"{body}.{seal}.{seal}", HUB, None, sequence)


def test_a_watermark_is_no_cursor_and_a_cursor_no_watermark() -> None:
    with pytest.raises(WatermarkRefused):
        watermark.parse(CURSOR, HUB, ME, sequence)
    with pytest.raises(WatermarkRefused):
        watermark.parse_cursor(TOKEN, HUB, ME, sequence)
