"""A push that something between here and the hub does not let through is made of smaller chunks.

A proxy that refuses a body (413) says nothing of how large one may be: half of what was refused is tried,
until it fits. The file remembers the size. Taking a push apart is safe as long as the hub has not got it: its
edits are pending again, and the next freeze gives out the same number.
"""

from __future__ import annotations

import logging

from syncline.errors import BodyRefused
from syncline.protocol.flows import Flow
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.freeze import in_flight
from syncline.replica.offer import is_offered, take_apart
from syncline.replica.session import state_at_hub

logger = logging.getLogger("syncline.replica")

LEAST = 16 * 1024
"""Bytes of a chunk that nobody refuses."""


def make_smaller(device: Device, refused: BodyRefused) -> Flow[None]:
    """Take the push in flight apart, and note that chunks are to be smaller. The refusal itself is raised if
    they are as small as they can be, and if the hub has got the push already."""
    frozen = in_flight(device.store)
    if frozen is None or is_offered(device.store):  # what is offered again was frozen long ago
        raise refused
    largest = max(len(body) for _, _, body in sealed(device.store))
    size = min(largest, device.store.state().chunk_bytes or largest) // 2
    state = yield from state_at_hub(device.store)
    if size < LEAST or state.push >= frozen.number:
        raise refused
    with device.store.transaction() as store:
        take_apart(store)
        store.set_state(push=frozen.number - 1, chunk_bytes=size)
    logger.info(
        "made chunks smaller: a body was refused on its way",
        extra={"action": "smaller_chunks", "number": frozen.number, "bytes": size},
    )
