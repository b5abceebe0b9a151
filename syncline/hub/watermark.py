"""Watermark tokens: a database's position and the scope it was given out for, sealed for one hub and replica.

Form: `body.hub.replica`. The body is `position|scope`, the scope by its fingerprint, and `|seen` where rows
were told as of a later instant; a further field would follow behind another bar, and is refused until there
is one. The seals are an HMAC of the body under the hub's own key, one for the hub alone and one with the
replica's id: nobody but a server of the hub can make them, so whatever is behind a good seal was made here,
and nothing of a forged token is looked at.

A position says what of the log a replica has been told, but only of rows that were in its scope then. Under
another scope it is no place to go on from: rows that came into the scope without being touched would never
be told (law L5).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Key, Position
from syncline.model.scope import Scope

KEY_BYTES = 32
SEAL_LENGTH = 20
"""Characters of a seal, 6 bits each."""

_cursors = msgspec.msgpack.Decoder(tuple[str, int, list[Any] | None])


@dataclass(frozen=True, slots=True)
class Watermark:
    """What a replica has been told: up to `position`, of the rows within the scope with this fingerprint.
    `seen`: the position of the instant as of which it was told rows, where that is a later one, as within a
    hydrate or a pull of several pages. A centre that went back to between the two knows `position` still."""

    position: Position
    scope: str
    seen: Position | None = None

    @property
    def newest(self) -> Position:
        """The newest position of which a row was told."""
        return self.position if self.seen is None else self.seen

    def told(self, now: Position) -> Watermark:
        """The same, with rows told as of the position `now`."""
        return replace(self, seen=None if now == self.position else now)

    def within(self, scope: Scope) -> Position:
        """The position to go on from within `scope`. WatermarkRefused `watermark_scope` if it is of another
        one."""
        if self.scope != scope.fingerprint:
            raise WatermarkRefused(
                "what this replica may have is no longer what it was when the watermark was given",
                code="watermark_scope",
                remedy="Sync again: the device fills itself anew and keeps its pending edits.",
            )
        return self.position


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a hydrate is: where the pull will start, the table, and the last key read."""

    start: Watermark
    table: int
    after: Key | None


def mint(watermark: Watermark, key: bytes, replica: str) -> str:
    """The token of a watermark. `key` is the hub's own, `KEY_BYTES` long."""
    return _sealed(_body(watermark), key, _WATERMARK, replica)


def _body(watermark: Watermark) -> str:
    body = f"{watermark.position.token()}|{watermark.scope}"
    return body if watermark.seen is None else f"{body}|{watermark.seen.token()}"


def _of_body(body: str, position: Callable[[str], Position]) -> Watermark:
    """The inverse. ValueError, or OverflowError."""
    fields = body.split("|")
    if len(fields) not in (2, 3):
        raise ValueError("it has other fields than positions and a scope")
    first, scope, *rest = fields
    return Watermark(position(first), scope, position(rest[0]) if rest else None)


def parse(token: str, key: bytes, replica: str | None, position: Callable[[str], Position]) -> Watermark:
    """The watermark in a token. With `replica` None, any replica's token of this hub is good.

    Raises WatermarkRefused, with a code of its own for garbled tokens and for those of others.
    """
    parts = token.rsplit(".", 2)
    if len(parts) != 3 or len(token) > 100_000:
        raise WatermarkRefused("the watermark cannot be read", code="watermark_garbled")
    body, hub_seal, replica_seal = parts
    if not _is_seal(hub_seal, body, key, _WATERMARK):
        raise WatermarkRefused("the watermark is garbled, or of another hub", code="watermark_garbled")
    if replica is not None and not _is_seal(replica_seal, body, key, _WATERMARK, replica):
        raise WatermarkRefused("the watermark was given to another replica", code="watermark_foreign")
    try:
        return _of_body(body, position)
    except (ValueError, OverflowError) as error:
        raise WatermarkRefused(
            f"the watermark is of another kind: {error}", code="watermark_garbled"
        ) from error


def mint_cursor(cursor: Cursor, key: bytes, replica: str) -> str:
    """The token of a cursor."""
    after = None if cursor.after is None else list(cursor.after)
    plain = msgspec.msgpack.encode([_body(cursor.start), cursor.table, after])
    return _sealed(base64.urlsafe_b64encode(plain).decode().rstrip("="), key, _CURSOR, replica)


def parse_cursor(token: str, key: bytes, replica: str, position: Callable[[str], Position]) -> Cursor:
    """The inverse of `mint_cursor`. Raises WatermarkRefused."""
    body, _, seals = token.partition(".")
    hub_seal, _, replica_seal = seals.partition(".")
    sealed = _is_seal(hub_seal, body, key, _CURSOR) and _is_seal(replica_seal, body, key, _CURSOR, replica)
    if not sealed:
        raise WatermarkRefused("the cursor is garbled, or somebody else's", code="cursor_garbled")
    try:
        plain = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        start, table, after = _cursors.decode(plain)
        return Cursor(_of_body(start, position), table, None if after is None else tuple(after))
    except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise WatermarkRefused("the cursor cannot be read", code="cursor_garbled") from error


_WATERMARK, _CURSOR = "watermark", "cursor"
"""What is sealed: neither passes for the other."""


def _sealed(body: str, key: bytes, kind: str, replica: str) -> str:
    return f"{body}.{_seal(body, key, kind)}.{_seal(body, key, kind, replica)}"


def _is_seal(seal: str, *sealed: Any) -> bool:
    return hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), _seal(*sealed).encode())


def _seal(body: str, key: bytes, kind: str, replica: str = "") -> str:
    """No id of a replica is empty, and none has a zero byte in it."""
    told = "\0".join((kind, replica, body)).encode("utf-8", "surrogatepass")
    code = hmac.digest(key, told, hashlib.sha256)
    return base64.urlsafe_b64encode(code).decode()[:SEAL_LENGTH]
