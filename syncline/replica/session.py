"""Asking the hub: typed answers, and making oneself known."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from syncline.errors import ProtocolError, SchemaChanged, UnknownReplica
from syncline.model.schema import Schema
from syncline.protocol.flows import Flow
from syncline.protocol.messages import (
    Register,
    Registered,
    Request,
    Response,
    SchemaAnswer,
    SchemaQuery,
    StateAnswer,
    StateQuery,
)
from syncline.replica.answers import check_answer
from syncline.replica.definitions import read_schema
from syncline.replica.store import State, Store

R = TypeVar("R", bound=Response)


def ask(request: Request, kind: type[R]) -> Flow[R]:
    """Send one request; the answer must be of this kind."""
    answer = yield request
    if not isinstance(answer, kind):
        raise ProtocolError(f"the hub answered {type(answer).__name__} where {kind.__name__} belongs")
    check_answer(request, answer)
    return answer


def register(store: Store) -> Flow[Registered]:
    """Make the replica known and keep the limits that the hub answers with. A centre that went back may have
    lost the id that the file took when it reconciled: it is told each time whose edits the file has."""
    state = store.state()
    answer = yield from ask(Register(state.replica, state.fingerprint, root=root_of(state)), Registered)
    check_hub(store, answer.hub)
    with store.transaction():
        store.set_state(limits=msgspec.json.encode(answer.limits).decode())
    return answer


def root_of(state: State) -> str:
    """The first id that the file had; '' if that is the present one."""
    return next(iter(json.loads(state.former)), "")


def state_at_hub(store: Store) -> Flow[StateAnswer]:
    """This replica as its hub sees it. UnknownReplica if it does not."""
    answer = yield from _state(store)
    if not answer.known:
        raise UnknownReplica(f"replica {answer.replica} was never registered here")
    return answer


def ask_which_hub(store: Store) -> Flow[None]:
    """ProtocolError `other_hub` unless the hub is the one that the file belongs to. Changes nothing on either
    side: for before what the hub has refused is acted on."""
    yield from _state(store)


def _state(store: Store) -> Flow[StateAnswer]:
    answer = yield from ask(StateQuery(store.state().replica), StateAnswer)
    check_hub(store, answer.hub)
    return answer


def check_hub(store: Store, hub: str) -> None:
    """ProtocolError `other_hub` unless the file belongs to this hub, or to none yet."""
    own = store.state().hub
    if own is not None and hub != own:
        raise ProtocolError(
            f"this is hub {hub}, and {store.path} belongs to hub {own}",
            code="other_hub",
            remedy="Give the URL of the hub that the file was cloned from, or clone a new file.",
        )


def fetch_schema(replica: str, expected: str) -> Flow[Schema]:
    """The hub's tables, as they should be on the device. The replica has registered."""
    answer = yield from ask(SchemaQuery(replica), SchemaAnswer)
    schema = read_schema(answer)
    if schema.fingerprint != expected or answer.fingerprint != expected:
        raise SchemaChanged(
            "the hub's schema changed while it was asked for",
            remedy="Try again.",
        )
    return schema
