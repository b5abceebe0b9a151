"""Messages to bytes and back, in the form that was negotiated.

MessagePack is the positional encoding of the records as msgspec writes it; JSON is `jsonform`. Whatever
cannot be read is Malformed and names the place (`$.groups[0].op`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

from syncline.errors import Malformed, TooLarge, ValueRefused
from syncline.protocol import jsonform, limits, outline, versions
from syncline.protocol.making import MAKING
from syncline.protocol.messages import PROTOCOL_VERSION, Limits, Record
from syncline.protocol.negotiation import Form

M = TypeVar("M", bound=Record)

_packer = msgspec.msgpack.Encoder()


def encode(message: Record, form: Form) -> bytes:
    """The bytes of a message. ValueRefused for text that is no Unicode (lone surrogates)."""
    try:
        return _packer.encode(message) if form is Form.MSGPACK else jsonform.to_json(message)
    except (UnicodeEncodeError, OverflowError) as error:
        raise ValueRefused(f"a value cannot be encoded: {error}") from error


def decode(body: bytes | bytearray, kind: type[M], form: Form) -> M:
    """The message of a body; Malformed, DigestMismatch (JSON) or VersionUnsupported."""
    try:
        message: M = _unpacker(kind).decode(body) if form is Form.MSGPACK else jsonform.from_json(body, kind)
    except RecursionError as error:
        raise TooLarge("the message is nested too deeply") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"the body is no {kind.__name__}: {error}") from error
    versions.supported(getattr(message, "version", PROTOCOL_VERSION))
    return message


def weigh(body: bytes | bytearray, kind: type[Record], form: Form, bounds: Limits) -> int:
    """How many values a body from a device holds, about. TooLarge or Malformed before any becomes an object,
    if there are more than may be."""
    return outline.weigh(body, kind, bounds) if form is Form.MSGPACK else outline.weigh_json(body, bounds)


def decode_request(body: bytes | bytearray, kind: type[M], form: Form, bounds: Limits) -> M:
    """`decode` for what comes from a device and was weighed: the limits are enforced too."""
    message = decode(body, kind, form)
    if form is Form.MSGPACK:
        limits.check_fields(message, bounds)
    else:
        limits.check(message, bounds)
    return message


def read_query(fields: dict[str, str], kind: type[M], bounds: Limits) -> M:
    """The request whose fields stand in a query string."""
    try:
        message = jsonform.from_strings(fields, kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"the query is no {kind.__name__}: {error}") from error
    limits.check(message, bounds)
    return message


@cache
def _unpacker(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    with MAKING:
        return msgspec.msgpack.Decoder(kind)
