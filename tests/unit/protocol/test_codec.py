"""Messages to bytes and back in both forms (L8), and what cannot be read (L12)."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from syncline.errors import (
    DigestMismatch,
    Malformed,
    SynclineError,
    TooLarge,
    ValueRefused,
    VersionUnsupported,
)
from syncline.protocol import codec, messages
from syncline.protocol.body import open_push, seal
from syncline.protocol.messages import Limits, Push, PushGroup, Record
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import ROUTES

VALUES: list[Any] = [
    None, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 0.1, 1e16, 5e-324, 1.7976931348623157e308,
    math.inf, -math.inf, "", "NaN", "\0", "שלום", "a\"b\\c\n", '{"$blob": ""}', b"", b"\0\xff",
    "x" * 1_000_000,
]  # fmt: skip

GROUPS, DIGEST = seal([PushGroup(0, "I", list(range(len(VALUES) - 1)), [VALUES], [5])])
ANSWER, ANSWER_DIGEST = seal([messages.Group(3, "D", [], [["k", b"\0"]])])
NOTE = messages.ConflictNote(
    7, "invoice", [1, b"k"], "total", "open", "r1", 5, "hub", 6, None, ["whole", b"row", math.inf], 1.0, "now"
)
CHANGES = messages.Changes("w", True, 9, ANSWER_DIGEST, Raw(ANSWER))
PULL = messages.Pull("w|1", 500, "r1", "f")

MESSAGES: list[Record] = [
    messages.Register("r1", "f", "a tablet", "r0", "w"),
    messages.Registered("h", "f", "all", ["a", "b"], Limits(), "w", 3, 4),
    messages.Reconcile("r2", "r1", ["r0"], 3, "c3", "c4", b"12345678", ["w"], b"\x00\xff345678", "f"),
    messages.Reconciled("h", "r2", True, 3, b"12345678", [], [0], 7),
    messages.SchemaQuery(),
    messages.SchemaAnswer("f", [{"name": "t", "columns": [{"name": "c", "default": None}]}], 1),
    PULL,
    messages.Changes(),
    CHANGES,
    Push("r1", 4, "f", ["w"], DIGEST, Raw(GROUPS), [messages.Detail(0, [1], [0], [b"x"], None)], PULL),
    messages.Verdict(
        4, [[0, [1, b"k"]]], ANSWER_DIGEST, Raw(ANSWER),
        [messages.Rejection(0, [b"k"], "unique", "taken", "change it", [1, [b"p"]])],
        [NOTE], 5, True, CHANGES,
    ),
    messages.BeginPush("r1", 4, "f", ["w"], DIGEST, 2, 70_000),
    messages.PushBegun(4, [1, 2]),
    messages.PushChunk(
        "r1", 4, 2, DIGEST, DIGEST, Raw(GROUPS), [messages.Detail(0, [1], [0], [b"x"], [None, math.inf])]
    ),
    messages.ChunkKept(4, 2),
    messages.PreparePush("r1", 4, "f", DIGEST),
    messages.CommitPush("r1", 4, "f", DIGEST, [messages.Detail(0, [1], [0], [b"x"], None)], PULL),
    messages.ForgetPush("r1", 4),
    messages.PushForgotten(4),
    messages.Snapshot("r1", "f"),
    messages.SnapshotPage("w", "c", 10, ANSWER_DIGEST, Raw(ANSWER)),
    messages.Verify("r1", "f", "w", 2, '[1,{"$blob":"AA=="}]', "[null]", 500),
    messages.Verified(
        CHANGES, [messages.Part(None, 5, "ab"), None], [messages.Part([1, b"\0", math.inf], 5, "cd")],
        ANSWER_DIGEST, Raw(ANSWER), ["k"], True,
    ),
    messages.Spell("r1", 0, [["a", 1, 1.5, b"x"]]),
    messages.Spelled([["a", 1, 1.5, b"x"]]),
    messages.StateQuery("r1"),
    messages.StateAnswer("h", "r1", True, 4, "now", None, "w", "f"),
    messages.ConflictsQuery("r1", True, 5, 10),
    messages.ConflictsAnswer([NOTE]),
    messages.Resolve(7, "value", [1, b"\0", math.inf]),
    NOTE,
]  # fmt: skip


def packed(message: Record) -> bytes:
    return codec.encode(message, Form.MSGPACK)


def test_every_message_of_a_route_is_tried_here() -> None:
    tried = {type(message) for message in MESSAGES}
    assert {kind for route in ROUTES for kind in (route.request, route.response)} <= tried


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_went(message: Record, form: Form) -> None:
    again = codec.decode(codec.encode(message, form), type(message), form)
    assert packed(again) == packed(message)


@pytest.mark.parametrize("form", Form)
def test_values_keep_class_and_bits(form: Form) -> None:
    push = Push("r1", 1, "f", [], DIGEST, Raw(GROUPS))
    again = codec.decode_request(codec.encode(push, form), Push, form, Limits())
    (row,) = open_push(again.groups, again.digest)[0].rows
    assert [(type(value), repr(value)) for value in row] == [(type(value), repr(value)) for value in VALUES]


def test_nan_travels_in_json() -> None:
    message = messages.Resolve(1, "value", math.nan)
    assert b'{"$float":"nan"}' in codec.encode(message, Form.JSON)
    assert math.isnan(codec.decode(codec.encode(message, Form.JSON), messages.Resolve, Form.JSON).value)


def test_a_pull_with_nothing_new_is_small() -> None:
    assert len(packed(messages.Changes())) == 8
    assert len(codec.encode(messages.Changes(), Form.JSON)) <= 100


def test_a_json_push_may_leave_its_digest_out_and_gets_it() -> None:
    named = msgspec.json.decode(codec.encode(Push("r1", 1, "f", [], DIGEST, Raw(GROUPS)), Form.JSON))
    del named["digest"]
    assert codec.decode(msgspec.json.encode(named), Push, Form.JSON).digest == DIGEST


def test_a_wrong_digest_in_json_is_noticed() -> None:
    with pytest.raises(DigestMismatch):
        codec.decode(codec.encode(Push("r1", 1, "f", [], "0" * 64, Raw(GROUPS)), Form.JSON), Push, Form.JSON)


JSON_PUSH = '{"replica":"r","number":1,"schema":"s","bases":[],"groups":[%s]}'
JSON_GROUP = '{"table":0,"op":"U","columns":[0],"rows":[[%s]],"hlc":[1]}'


@pytest.mark.parametrize(
    ("group", "place"),
    [
        (JSON_GROUP % "true", "$.groups[0].rows[0][0]"),
        (JSON_GROUP % "[]", "$.groups[0].rows[0][0]"),
        (JSON_GROUP % '{"$blob":"AA==","more":1}', "more"),
        (JSON_GROUP % '{"$blob":"*"}', "base64"),
        (JSON_GROUP % '{"$float":"1.5"}', "$float"),
        (JSON_GROUP % '{"$blob":"","$float":"inf"}', "exactly one"),
        (JSON_GROUP % "{}", "exactly one"),
        (JSON_GROUP % '"\\ud800"', "surrogate"),
        (JSON_GROUP % "1e999", "range"),
        ('{"table":0,"op":"X","columns":[],"rows":[],"hlc":[]}', "$.groups[0].op"),
        ('{"table":0,"op":"U","columns":[],"rows":[],"hlc":[],"drop":1}', "drop"),
        ('{"table":0}', "op"),
    ],
)
def test_bad_json_is_malformed_and_names_the_place(group: str, place: str) -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode((JSON_PUSH % group).encode(), Push, Form.JSON)
    assert place in caught.value.detail


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_an_integer_beyond_64_bits_is_noticed_by_whoever_opens_the_push(number: int) -> None:
    push = codec.decode((JSON_PUSH % (JSON_GROUP % number)).encode(), Push, Form.JSON)
    with pytest.raises(Malformed):
        open_push(push.groups, push.digest)


def test_an_integer_beyond_any_encoding_is_refused() -> None:
    with pytest.raises(SynclineError):
        codec.decode((JSON_PUSH % (JSON_GROUP % 2**64)).encode(), Push, Form.JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xc1", b"\x90", b"\x91\x01", b"{}", b"\xdd\xff\xff\xff\xff", b"\x81\xa1a\x01",
        packed(PULL) + b"\x00", packed(PULL)[:-2],
        msgspec.msgpack.encode(["w", 1, "r", "s", 1, "one too many"]), b"\x95\xa2\xc3\x28\x01",
    ],
)  # fmt: skip
def test_bad_messagepack_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        codec.decode(body, messages.Pull, Form.MSGPACK)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", [Push, messages.Resolve, messages.Pull])
def test_a_very_deep_body_is_refused_without_a_crash(kind: type[Record], form: Form) -> None:
    opening = b"\x91" if form is Form.MSGPACK else b"["
    with pytest.raises((TooLarge, Malformed)):
        codec.decode(opening * 2_000_000, kind, form)


@pytest.mark.parametrize("version", [0, 2, 99])
@pytest.mark.parametrize("form", Form)
def test_a_body_of_another_version_is_refused(version: int, form: Form) -> None:
    with pytest.raises(VersionUnsupported):
        codec.decode(codec.encode(messages.StateQuery("r", version), form), messages.StateQuery, form)


@pytest.mark.parametrize("form", Form)
def test_text_that_is_no_unicode_is_refused_when_it_is_encoded(form: Form) -> None:
    with pytest.raises(ValueRefused):
        codec.encode(messages.Register("r", name="\ud800"), form)


def test_a_query_is_read_with_its_types() -> None:
    fields = {"replica": "12", "open_only": "true", "limit": "3"}
    query = codec.read_query(fields, messages.ConflictsQuery, Limits())
    assert query == messages.ConflictsQuery("12", True, 0, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"after": "w", "limit": "many", "replica": "r", "schema": "s"},
        {"after": "w", "limit": "0", "replica": "r", "schema": "s"},
        {"after": "w", "limit": "-1", "replica": "r", "schema": "s"},
        {"after": "w", "limit": str(2**63), "replica": "r", "schema": "s"},
        {"after": "w", "limit": "5", "schema": "s"},
        {"after": "w", "limit": "5", "replica": "r", "schema": "s", "table": "users; DROP TABLE users"},
        {"after": "w", "limit": "5", "replica": "r\0", "schema": "s"},
        {"after": "w", "limit": "5", "replica": "r" * 1000, "schema": "s"},
    ],
)
def test_a_bad_query_is_malformed(fields: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        codec.read_query(fields, messages.Pull, Limits())


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.body], ids=lambda r: r.path)
def test_what_a_transport_puts_into_a_query_is_what_a_server_reads(route: Any) -> None:
    for message in (message for message in MESSAGES if type(message) is route.request):
        _, fields = route.locate(message)
        in_path = {name: str(getattr(message, name)) for name in route.in_path}
        assert codec.read_query(fields | in_path, route.request, Limits()) == message
