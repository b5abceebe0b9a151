"""Asking the hub: typed answers, and making oneself known when the hub does not know this replica."""

from __future__ import annotations

import uuid
from typing import TypeVar

import msgspec

from syncline.errors import ProtocolError, SchemaChanged, UnknownReplica, WatermarkRefused
from syncline.model.schema import Schema, from_plain
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Register, Registered, Request, Response, SchemaAnswer, SchemaQuery
from syncline.replica.device import Device
from syncline.replica.freeze import clear_outbox
from syncline.replica.store import Store

R = TypeVar("R", bound=Response)


def ask(request: Request, kind: type[R]) -> Flow[R]:
    """Send one request; the answer must be of this kind."""
    answer = yield request
    if not isinstance(answer, kind):
        raise ProtocolError(f"the hub answered {type(answer).__name__} where {kind.__name__} belongs")
    return answer


def ask_known(store: Store, request: Request, kind: type[R]) -> Flow[R]:
    """`ask`, registering this replica first if the hub turns out not to know it."""
    try:
        return (yield from ask(request, kind))
    except UnknownReplica:
        yield from register(store)
    return (yield from ask(request, kind))


def register(store: Store) -> Flow[Registered]:
    """Make the replica known and keep the limits that the hub answers with."""
    state = store.state()
    answer = yield from ask(Register(state.replica, state.fingerprint), Registered)
    if state.hub is not None and answer.hub != state.hub:
        raise ProtocolError(
            f"this is hub {answer.hub}, and {store.path} belongs to hub {state.hub}",
            code="other_hub",
            remedy="Give the URL of the hub that the file was cloned from, or clone a new file.",
        )
    with store.transaction():
        store.set_state(limits=msgspec.json.encode(answer.limits).decode())
    return answer


def fetch_schema(replica: str, expected: str) -> Flow[Schema]:
    """The hub's tables, as they should be on the device. The replica has registered."""
    answer = yield from ask(SchemaQuery(replica), SchemaAnswer)
    schema = from_plain({"tables": answer.tables, "used": answer.used})
    if schema.fingerprint != expected or answer.fingerprint != expected:
        raise SchemaChanged(
            "the hub's schema changed while it was asked for",
            remedy="Try again.",
        )
    return schema


def take_new_identity(device: Device) -> Flow[None]:
    """This file is a copy of another replica's: become one of its own (nothing is lost).

    The hub turns every watermark that pending edits stand on into one of the new id. The push in flight
    is taken apart; its edits are pending again, with the bases they had. What was pushed under the old id is
    kept by the other device, which offers it again if the centre loses it. WatermarkRefused, when all this is
    done, if the replica's own place is lost too.
    """
    store, state = device.store, device.store.state()
    replica = str(uuid.uuid4())
    noted = store.rows("SELECT DISTINCT watermark FROM _sync_checkpoint")
    marks = [state.watermark or "", *(mark for (mark,) in noted)]
    renewed: dict[str, str] = {"": ""}
    refused: WatermarkRefused | None = None
    for mark in marks:
        if mark not in renewed:
            request = Register(replica, state.fingerprint, previous=state.replica, watermark=mark)
            try:
                renewed[mark] = (yield from ask(request, Registered)).watermark
            except WatermarkRefused as error:  # pruned, or of a time that the centre has lost
                renewed[mark] = mark
                refused = error if mark == state.watermark else refused
    if len(renewed) == 1:
        yield from ask(Register(replica, state.fingerprint), Registered)
    with store.transaction():
        store.executemany(
            "UPDATE _sync_checkpoint SET watermark = ? WHERE watermark = ?",
            ((new, old) for old, new in renewed.items()),
        )
        clear_outbox(store)
        for table in ("stage", "sent", "body"):
            store.execute(f"DELETE FROM _sync_{table}")
        store.set_state(replica=replica, push=0, covered=0, watermark=renewed[state.watermark or ""] or None)
    if refused is not None:
        raise refused
