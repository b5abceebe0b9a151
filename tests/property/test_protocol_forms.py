"""Any message survives both forms, and nothing that arrives makes a decoder fail otherwise than it says."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some
from msgspec import Raw

from syncline.errors import SynclineError
from syncline.protocol import codec, compression, messages
from syncline.protocol.body import open_push, seal
from syncline.protocol.messages import Limits, Push, PushGroup
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import ROUTES

VALUES = (
    some.none()
    | some.integers(-(2**63), 2**63 - 1)
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
    | some.binary(max_size=20)
)
ROWS = some.integers(0, 4).flatmap(
    lambda width: some.lists(some.lists(VALUES, min_size=width, max_size=width), max_size=4)
)
KINDS = [kind for route in ROUTES for kind in (route.request, route.response)]


def exactly(rows: Any) -> str:
    """Tells 1 from 1.0 and 0.0 from -0.0, unlike ==."""
    return repr(rows)


@given(ROWS, some.lists(VALUES, max_size=4), some.sampled_from(Form))
def test_rows_and_details_survive_both_forms(rows: Any, base: Any, form: Form) -> None:
    """L8."""
    body, digest = seal([PushGroup(0, "I", [0], rows, [1] * len(rows))])
    push = Push("r", 1, "f", [], digest, Raw(body), [messages.Detail(0, base, [], base, base)])
    again = codec.decode_request(codec.encode(push, form), Push, form, Limits())
    (group,) = open_push(again.groups, again.digest)
    assert exactly(group.rows) == exactly(rows)
    assert exactly(again.details[0].image) == exactly(base)
    assert (bytes(again.groups), again.digest) == (body, digest)


@given(VALUES | some.lists(VALUES, max_size=4), some.sampled_from(Form))
def test_a_free_value_survives_both_forms(value: Any, form: Form) -> None:
    """L8."""
    message = messages.Resolve(1, "value", value)
    again = codec.decode_request(codec.encode(message, form), messages.Resolve, form, Limits())
    assert exactly(again.value) == exactly(value)


@given(some.binary(max_size=200), some.sampled_from(KINDS), some.sampled_from(Form))
def test_noise_is_refused_with_a_code(body: bytes, kind: type[messages.Record], form: Form) -> None:
    """L12."""
    try:
        codec.decode_request(body, kind, form, Limits())
    except SynclineError as error:
        assert error.code in ("malformed", "too_large", "version_unsupported", "value_refused")


PLAIN = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**63), 2**64 - 1)
    | some.floats()
    | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=8) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=20,
)


@given(some.lists(PLAIN, max_size=10), some.sampled_from(KINDS))
def test_well_formed_nonsense_is_refused_with_a_code(fields: Any, kind: type[messages.Record]) -> None:
    """L12."""
    try:
        body = msgspec.msgpack.encode(fields)
    except UnicodeEncodeError:
        return
    try:
        codec.decode_request(body, kind, Form.MSGPACK, Limits())
    except SynclineError as error:
        assert error.code in ("malformed", "too_large", "version_unsupported")


@given(some.binary(max_size=200), some.sampled_from([*compression.CODINGS, "identity"]))
def test_noise_in_a_compressed_body_is_refused_with_a_code(body: bytes, coding: str) -> None:
    """L12."""
    try:
        assert len(compression.decompress(body, coding, 100)) <= 100
    except SynclineError as error:
        assert error.code in ("malformed", "too_large")


@given(some.dictionaries(some.sampled_from(["after", "limit", "replica", "schema", "x"]), some.text()))
def test_noise_in_a_query_is_refused_with_a_code(fields: dict[str, str]) -> None:
    """L12."""
    try:
        codec.read_query(fields, messages.Pull, Limits())
    except SynclineError as error:
        assert error.code in ("malformed", "too_large")
