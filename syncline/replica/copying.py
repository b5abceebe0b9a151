"""A replica that was made to be copied: filled once by the hub, and every device makes a copy its own.

The hub fills a file as any device would (`hydrate.fill`) under an id that nobody pushes with. A device
that has got such a file takes an id of its own and lets the hub turn the watermark into one of that id.
"""

from __future__ import annotations

import uuid

import msgspec

from syncline.errors import StoreError
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Register, Registered
from syncline.replica.session import ask
from syncline.replica.store import Store

_PREFIX = "snapshot-"


def id_for_copying() -> str:
    """The id of a file that devices will copy. Never used twice, so that no change has it as origin."""
    return f"{_PREFIX}{uuid.uuid4()}"


def is_for_copying(store: Store) -> bool:
    """Whether the file is a whole replica that no device has made its own yet."""
    if not store.is_replica:
        return False
    state = store.state()
    return state.replica.startswith(_PREFIX) and state.hydrate is None and state.schema is not None


def strip(store: Store) -> None:
    """Leave in a filled file only what every device needs."""
    with store.transaction():
        store.execute("DELETE FROM _sync_checkpoint WHERE id <> ?", (store.state().checkpoint,))
        store.set_state(hub_url=None, last_sync=None)


def adopt(store: Store, hub_url: str | None, replica: str) -> Flow[None]:
    """Make a file for copying this device's own replica, with this id; any other file is left alone.

    StoreError `hydrate_stale` if it is of another hub or schema; WatermarkRefused if it is too old.
    """
    if not is_for_copying(store):
        return
    state = store.state()
    request = Register(replica, state.fingerprint, previous=state.replica, watermark=state.watermark)
    answer = yield from ask(request, Registered)
    if (answer.hub, answer.schema) != (state.hub, state.fingerprint):
        raise StoreError(
            f"{store.path} was built by another hub or with another schema",
            code="hydrate_stale",
            remedy="Try again.",
        )
    with store.transaction():
        store.set_state(
            replica=replica,
            push=answer.push,
            hub_url=hub_url,
            limits=msgspec.json.encode(answer.limits).decode(),
        )
        store.advance(answer.watermark, answer.hlc)
        store.execute("DELETE FROM _sync_checkpoint WHERE id <> ?", (store.state().checkpoint,))
