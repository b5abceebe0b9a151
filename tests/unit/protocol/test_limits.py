"""Limits are enforced before anything large is built (L11)."""

from __future__ import annotations

import importlib.util
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import Raw

from syncline.errors import Malformed, ProtocolError, TooLarge
from syncline.protocol import codec, compression
from syncline.protocol.body import seal
from syncline.protocol.compression import compress, decompress
from syncline.protocol.limits import check
from syncline.protocol.messages import (
    COUNTED,
    STAMP_BYTES,
    STAMPS_ASKED,
    STAMPS_TOLD,
    CommitPush,
    Detail,
    Limits,
    PreparePush,
    Pull,
    Push,
    PushChunk,
    PushGroup,
    Reconcile,
    Record,
    Resolve,
    undressed,
)
from syncline.protocol.negotiation import Form
from syncline.protocol.packing import read_push_groups
from syncline.protocol.routes import ROUTES, Route
from tests.support.bombs import bomb_of

SMALL = Limits(bytes=10_000, push_rows=10, bases=3, depth=3)


def push_of(groups: bytes, bases: int = 1, details: list[Detail] | None = None) -> Push:
    return Push("r", 1, "s", ["w"] * bases, "d", Raw(groups), details or [])


def rows(count: int) -> bytes:
    return seal([PushGroup(0, "I", [], [[n] for n in range(count)], [1] * count)])[0]


def test_as_many_rows_and_bases_as_allowed_pass() -> None:
    check(push_of(rows(10), bases=3), SMALL)


@pytest.mark.parametrize(
    "push",
    [
        push_of(rows(11)),
        push_of(rows(1), bases=4),
        push_of(seal([PushGroup(0, "I", [], [[1]] * 6, [1] * 6)] * 2)[0]),
        push_of(seal([PushGroup(0, "I", [], [], [])] * 11)[0]),
        push_of(seal([PushGroup(0, "I", [], [], [1] * 11)])[0]),
        push_of(seal([PushGroup(0, "I", [], [], [], [1] * 11)])[0]),
        push_of(seal([PushGroup(0, "I", list(range(40_000)), [], [])])[0]),
        push_of(rows(1), details=[Detail(0, [1], [], [], None)] * 11),
    ],
)
def test_more_than_the_limits_is_too_large(push: Push) -> None:
    with pytest.raises(TooLarge):
        check(push, SMALL)


def test_too_many_rows_are_refused_before_they_become_objects() -> None:
    empty_rows = b"\xdd" + (2_000_000).to_bytes(4, "big") + b"\x90" * 2_000_000
    groups = b"\x91\x95\x00\xa1I\x90" + empty_rows + b"\x90"
    body = codec.encode(push_of(groups), Form.MSGPACK)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        codec.weigh(body, Push, Form.MSGPACK, Limits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(body)


N = 1_000_000
ARRAY = b"\xdd" + N.to_bytes(4, "big")
FRONT = b"\x99\xa1r\x01\xa1s"
"""Replica, number and schema of a push."""


def rows_body(rows: bytes) -> bytes:
    groups = b"\x91\x98\x00\xa1U\x91\x00" + rows + b"\x91\x01\x91\x00\xc0\xc0"
    return FRONT + b"\x91\xa1w" + b"\xa1d" + groups + b"\x90\xc0\x01"


BOMBS = {
    "bases": FRONT + ARRAY + b"\xa2ab" * N + b"\xa1d\x90\x90\xc0\x01",
    "an image": FRONT + b"\x91\xa1w\xa1d\x90\x91\x95\x00\x91\x01\x90\x90" + ARRAY + b"\xcd\x7f\xff" * N
    + b"\xc0\x01",
    "an image of lists": FRONT + b"\x91\xa1w\xa1d\x90\x91\x95\x00\x91\x01\x90\x90\x91" + ARRAY
    + b"\x90" * N + b"\xc0\x01",
    "a row": rows_body(b"\x91" + ARRAY + b"\xcd\x7f\xff" * N),
    "a list in a row": rows_body(b"\x91\x92\x01" + ARRAY + b"\xa2ab" * N),
    "a list in a row with text and bytes": rows_body(b"\x91\x94\x01\xa1a\xc4\x01b" + ARRAY + b"\xa2ab" * N),
    "rows of different lengths": rows_body(b"\x92\x92\x01\x02" + ARRAY + b"\xa2ab" * N),
}  # fmt: skip


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_l11_a_message_is_weighed_before_it_becomes_objects(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises((TooLarge, Malformed)):
        codec.weigh(body, Push, Form.MSGPACK, Limits(cells=500_000))
        push = codec.decode_request(body, Push, Form.MSGPACK, Limits(cells=500_000))
        read_push_groups(push.groups)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


STAMPED = {
    "reconcile": (Reconcile("r2", "r1", [], 0, ""), "stamps", STAMPS_ASKED),
    "imprints": (Reconcile("r2", "r1", [], 0, ""), "sent", STAMPS_ASKED),
    "push": (push_of(rows(1)), "stamps", STAMPS_TOLD),
    "prepare": (PreparePush("r", 1, "s", "d"), "stamps", STAMPS_TOLD),
    "commit": (CommitPush("r", 1, "s", "d"), "stamps", STAMPS_TOLD),
}


@pytest.mark.parametrize(("message", "name", "most"), STAMPED.values(), ids=STAMPED)
def test_l11_stamps_are_bounded_and_have_their_weight(message: Record, name: str, most: int) -> None:
    """The most that a device tells of is let in, and one more is not, whatever else there is room for."""
    body = codec.encode(msgspec.structs.replace(message, **{name: bytes(STAMP_BYTES * most)}), Form.MSGPACK)
    if name == "stamps":
        assert codec.weigh(body, type(message), Form.MSGPACK, Limits()) >= most
    codec.decode_request(body, type(message), Form.MSGPACK, Limits())
    more = msgspec.structs.replace(message, **{name: bytes(STAMP_BYTES * (most + 1))})
    with pytest.raises(TooLarge) as caught:
        codec.decode_request(codec.encode(more, Form.MSGPACK), type(message), Form.MSGPACK, Limits())
    assert name in caught.value.detail


@pytest.mark.parametrize("form", Form)
def test_numbers_leave_room_above_them(form: Form) -> None:
    """Whoever adds to a number that was sent has one that a database still holds."""
    for good in (Reconcile("r2", "r1", [], COUNTED, ""), CommitPush("r", COUNTED, "s", "d")):
        codec.decode_request(codec.encode(good, form), type(good), form, Limits())
        name = "push" if isinstance(good, Reconcile) else "number"
        for number in (COUNTED + 1, 2**63 - 1):
            bad = codec.encode(msgspec.structs.replace(good, **{name: number}), form)
            with pytest.raises(Malformed):
                codec.decode_request(bad, type(good), form, Limits())


@pytest.mark.parametrize("value", [ARRAY + b"\x91\x01" * N, b"\x91" + ARRAY + b"\x01" * N])
def test_l11_a_decision_is_weighed_before_it_becomes_objects(value: bytes) -> None:
    tracemalloc.start()
    with pytest.raises((TooLarge, Malformed)):
        codec.weigh(b"\x94\x01\xa5value" + value + b"\x01", Resolve, Form.MSGPACK, Limits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000


def test_l11_json_is_weighed_by_its_marks() -> None:
    body = b'{"bases":[' + b'"",' * N + b'""]}'
    with pytest.raises(TooLarge) as caught:
        codec.weigh(body, Push, Form.JSON, Limits(cells=N))
    assert caught.value.code == "too_many_values"
    assert codec.weigh(b'{"take":"hub"}', Resolve, Form.JSON, Limits()) == 0


def test_what_a_push_weighs_are_the_values_of_its_rows() -> None:
    wide = [PushGroup(0, "I", [], [[n, "x" * 50, b"y" * 50] for n in range(1000)], [1] * 1000)]
    body = codec.encode(push_of(seal(wide)[0]), Form.MSGPACK)
    assert codec.weigh(body, Push, Form.MSGPACK, Limits()) == 3001
    with pytest.raises(TooLarge):
        codec.weigh(body, Push, Form.MSGPACK, Limits(cells=3000))


@pytest.mark.parametrize(
    "groups",
    [b"\x01", b"\xa1x", b"\x91\x90", b"\x91\x95\x00\xa1I\x90\x05\x90", b"\x80", b"\xc3"],
    ids=bytes.hex,
)
def test_groups_that_are_no_lists_are_malformed(groups: bytes) -> None:
    with pytest.raises(Malformed):
        check(push_of(groups), SMALL)


def test_details_hold_values_only() -> None:
    with pytest.raises(Malformed):
        check(push_of(rows(1), details=[Detail(0, [[1]], [], [], None)]), SMALL)  # type: ignore[list-item]


@pytest.mark.parametrize(("value", "error"), [([[[[1]]]], TooLarge), ([[1]], Malformed), (True, Malformed)])
def test_a_decision_takes_a_value_or_a_row(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(Resolve(1, "value", value), SMALL)
    check(Resolve(1, "value", [1, b"x"]), SMALL)


@pytest.mark.parametrize(
    ("pull", "error"),
    [
        (Pull("w", 0, "r", "s"), Malformed),
        (Pull("w", 2**63, "r", "s"), Malformed),
        (Pull("w", 5, "r" * 201, "s"), Malformed),
        (Pull("w", 5, "r\n", "s"), Malformed),
        (Pull("w", 5, "r", "s\x7f"), Malformed),
        (Pull("w" * 32_769, 5, "r", "s"), TooLarge),
    ],
)
def test_the_pull_inside_a_push_keeps_the_limits_too(pull: Pull, error: type[Exception]) -> None:
    push = msgspec.structs.replace(push_of(rows(1)), pull=pull)
    for message in (push, pull):
        with pytest.raises(error):
            codec.decode_request(codec.encode(message, Form.MSGPACK), type(message), Form.MSGPACK, Limits())


def test_a_base_of_a_push_is_as_long_as_a_watermark_at_most() -> None:
    with pytest.raises(TooLarge, match="bases"):
        check(msgspec.structs.replace(push_of(rows(1)), bases=["w" * 32_769]), SMALL)


def unchecked(kind: type[Record]) -> Iterator[str]:
    """Fields of a request and of the records inside it whose type does not say what they may hold."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        yield from (f"{kind.__name__}.{name}{place}" for place in unchecked_parts(hint))


def unchecked_parts(hint: Any) -> Iterator[str]:
    bare, extra = undressed(hint)
    metas = getattr(hint, "__metadata__", ())
    if extra.keys() & {"checked", "cell"}:
        return
    if isinstance(bare, type) and issubclass(bare, Record):
        yield from (f": {place}" for place in unchecked(bare))
    elif get_origin(bare) in (Union, UnionType):
        for part in get_args(bare):
            yield from unchecked_parts(part)
    elif get_origin(bare) is list:
        if "limit" not in extra and not any(meta.max_length is not None for meta in metas):
            yield " (a list without a limit)"
        yield from unchecked_parts(get_args(bare)[0])
    elif bare is str:
        if "longest" not in extra and not any(meta.max_length is not None for meta in metas):
            yield " (a text of any length)"
    elif bare is bytes:
        if "pieces" not in extra or "longest" not in extra:
            yield " (bytes of any kind or number)"
    elif bare is int:
        if not any(meta.ge is not None and meta.le is not None for meta in metas):
            yield " (an integer without bounds)"
    elif bare not in (bool, Raw, NoneType) and get_origin(bare) is not Literal:
        yield f" ({bare})"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.request.__name__)
def test_every_field_of_a_request_says_what_it_may_hold(route: Route) -> None:
    """Use the types at the top of protocol/messages.py: Name, Token, Number, Count and so on."""
    assert list(unchecked(route.request)) == []


class Careless(Record, frozen=True):
    replica: str
    size: int | None
    bases: list[str]
    stamps: bytes
    pulls: Annotated[list[Pull], msgspec.Meta(max_length=3)]
    anything: Any


def test_a_field_that_says_nothing_is_found() -> None:
    assert [place.partition(" ")[0] for place in unchecked(Careless)] == [
        f"Careless.{name}" for name in ("replica", "size", "bases", "bases", "stamps", "anything")
    ]


def test_who_is_said_to_check_is_there() -> None:
    hints = [hint for route in ROUTES for hint in get_type_hints(route.request, include_extras=True).values()]
    extras = [undressed(hint)[1] for hint in hints]
    assert {extra["limit"] for extra in extras if "limit" in extra} <= set(Limits.__struct_fields__)
    for module in {extra["checked"] for extra in extras if "checked" in extra}:
        assert importlib.util.find_spec(f"syncline.{module}") is not None


def test_groups_as_they_are_go_through_the_limits() -> None:
    """`Raw` is the one type that says nothing: `check` looks into it for these two records."""
    raw = {route.request for route in ROUTES if Raw in get_type_hints(route.request).values()}
    assert raw == {Push, PushChunk}


@pytest.mark.parametrize("coding", compression.CODINGS)
def test_a_body_comes_out_of_compression_as_it_went_in(coding: str) -> None:
    body = bytes(range(256)) * 1000
    compressed = compress(body, coding)
    assert compressed is not None
    assert decompress(compressed, coding, len(body)) == body


@pytest.mark.parametrize("coding", compression.CODINGS)
def test_what_unfolds_too_far_is_refused_at_once_and_never_sent_so(coding: str) -> None:
    body = b"\0" * 8_000_000
    assert compress(body, coding) is None
    with pytest.raises(TooLarge) as caught:
        decompress(bomb_of(body, coding), coding, len(body))
    assert caught.value.code == "unfolds_too_far"
    assert (
        decompress(bomb_of(body[: compression.FREE], coding), coding, len(body)) == body[: compression.FREE]
    )


@pytest.mark.parametrize("coding", compression.CODINGS)
def test_how_far_a_body_unfolds_is_known_before(coding: str) -> None:
    body = random.Random(1).randbytes(600_000).hex().encode()
    compressed = bomb_of(body, coding)
    size = len(compressed)
    assert compression.unfolded(body[:64], len(body), None, 10_000_000) == len(body)
    most = compression.unfolded(compressed[:64], size, coding, 10_000_000)
    assert most == (len(body) if coding == "zstd" else 10_000_000)
    with pytest.raises(TooLarge):
        decompress(compressed, coding, len(body) - 1)


@pytest.mark.parametrize("coding", compression.CODINGS)
def test_a_bomb_stops_at_the_limit(coding: str) -> None:
    bomb = bomb_of(b"\0" * 50_000_000, coding)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decompress(bomb, coding, 100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("coding", compression.CODINGS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[: len(b) // 2],
        lambda b: b + b,
        lambda b: b + b"x",
        lambda b: b"",
        lambda b: b[::-1],
    ],
)
def test_a_damaged_body_is_malformed(coding: str, damage: Any) -> None:
    with pytest.raises(Malformed):
        decompress(damage(compress(bytes(range(256)) * 10, coding)), coding, 1_000_000)


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    zstd = compression.zstd
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 1}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(Malformed):
        decompress(packer.compress(b"x" * 1000) + packer.flush(), "zstd", 1_000_000)


def test_a_coding_that_is_not_spoken_is_named() -> None:
    with pytest.raises(ProtocolError) as caught:
        decompress(zlib.compress(b"x"), "br", 100)
    assert (caught.value.code, "zstd" in caught.value.remedy) == ("coding_unsupported", True)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None), ("", None), ("identity", None), ("gzip", "gzip"), ("gzip, zstd", "zstd"), ("*", "zstd"),
        ("zstd;q=0, *", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("zstd;q=nonsense", None),
    ],
)  # fmt: skip
def test_the_coding_of_an_answer_is_what_the_request_takes(header: str | None, coding: str | None) -> None:
    assert compression.choose(header) == coding
