"""A push that cannot succeed is taken apart: its edits are pending again, to be mended and sent anew.

What arrived all the same counts once. The hub is asked first: a push that it has keeps its verdict. One that
arrives late, after this, is told by the stamps of its edits (`replica.identity`).
"""

from __future__ import annotations

import logging

from syncline.protocol.flows import Flow
from syncline.replica.device import Device
from syncline.replica.freeze import Frozen, in_flight
from syncline.replica.offer import take_apart
from syncline.replica.push import forget, forget_stage, rows_of
from syncline.replica.reports import Reopened
from syncline.replica.session import state_at_hub

logger = logging.getLogger("syncline.replica")


def reopen(device: Device) -> Flow[Reopened]:
    """Take the push in flight apart, unless there is none or the hub has it."""
    store = device.store
    frozen = in_flight(store)
    if frozen is None:
        return Reopened(0, False)
    if (yield from has_arrived(device, frozen)):
        return Reopened(0, True)
    yield from forget(device, frozen)
    forget_stage(device)
    rows = rows_of(frozen)
    with store.transaction():
        take_apart(store)
        store.set_state(push=frozen.number - 1)
    logger.info(
        "took a push apart: its edits are pending again",
        extra={"action": "reopen", "replica": store.state().replica, "number": frozen.number, "rows": rows},
    )
    return Reopened(rows, False)


def has_arrived(device: Device, frozen: Frozen) -> Flow[bool]:
    """Ask the hub whether it has the push in flight."""
    answer = yield from state_at_hub(device.store)
    return answer.push >= frozen.number
