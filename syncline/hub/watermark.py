"""Watermark tokens: a database's position, sealed for one hub and one replica.

Form: `position.hub.replica`, the last two being the first 12 hex digits of a SHA-256 over the position
and the id. They tell a garbled token and somebody else's from a good one; they are no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Key, Position


def mint(position: Position, hub_id: str, replica: str) -> str:
    """The token of a position."""
    token = position.token()
    return f"{token}.{_seal(token, hub_id)}.{_seal(token, replica)}"


def parse(token: str, hub_id: str, replica: str | None, position: Callable[[str], Position]) -> Position:
    """The position in a token. With `replica` None, any replica's token of this hub is good.

    Raises WatermarkRefused, with a code of its own for garbled tokens and for those of others.
    """
    parts = token.rsplit(".", 2)
    if len(parts) != 3 or len(token) > 100_000:
        raise WatermarkRefused("the watermark cannot be read", code="watermark_garbled")
    inner, hub_seal, replica_seal = parts
    if hub_seal != _seal(inner, hub_id):
        raise WatermarkRefused("the watermark is garbled, or of another hub", code="watermark_garbled")
    if replica is not None and replica_seal != _seal(inner, replica):
        raise WatermarkRefused("the watermark was given to another replica", code="watermark_foreign")
    try:
        return position(inner)
    except ValueError as error:
        raise WatermarkRefused(
            f"the watermark is of another kind: {error}", code="watermark_garbled"
        ) from error


def mint_cursor(position: Position, table: int, after: Key | None, hub_id: str, replica: str) -> str:
    """The cursor of a hydrate: where the pull will start, the table, and the last key read."""
    plain = msgspec.msgpack.encode([position.token(), table, list(after) if after is not None else None])
    token = base64.urlsafe_b64encode(plain).decode().rstrip("=")
    return f"{token}.{_seal(token, hub_id)}.{_seal(token, replica)}"


def parse_cursor(
    cursor: str, hub_id: str, replica: str, position: Callable[[str], Position]
) -> tuple[Position, int, Key | None]:
    """The inverse of `mint_cursor`. Raises WatermarkRefused."""
    token, _, seals = cursor.partition(".")
    if seals != f"{_seal(token, hub_id)}.{_seal(token, replica)}":
        raise WatermarkRefused("the cursor is garbled, or somebody else's", code="cursor_garbled")
    try:
        plain = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        inner, table, after = msgspec.msgpack.decode(plain, type=tuple[str, int, list[Any] | None])
        return position(inner), table, tuple(after) if after is not None else None
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise WatermarkRefused("the cursor cannot be read", code="cursor_garbled") from error


def _seal(token: str, secret: str) -> str:
    return hashlib.sha256(f"{secret}|{token}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
