"""A push that something between here and the hub does not let through is made of smaller chunks; a row that
is not let through alone is set aside, and the others go on.

A proxy that refuses a body (413) says nothing of how large one may be: half of what was refused is tried,
until it fits. The file remembers the size. Taking a push apart is safe as long as the hub has not got it: its
edits are pending again, and the next freeze gives out the same number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from syncline.errors import BodyRefused
from syncline.protocol.body import count_rows, open_push
from syncline.protocol.flows import Flow
from syncline.replica.chains import Refused
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.edge import inward_key
from syncline.replica.freeze import in_flight
from syncline.replica.offer import is_offered, take_apart
from syncline.replica.overlay import Key
from syncline.replica.pending import settle
from syncline.replica.refusal import refuse
from syncline.replica.session import state_at_hub

logger = logging.getLogger("syncline.replica")

LEAST = 16 * 1024
"""Bytes of a chunk that nobody refuses."""

RETRY = (
    "Let the proxy in between take larger requests (nginx: client_max_body_size 64m), then retry the edit:"
    " syncline rejected FILE retry ID. Or write what is smaller, sync, and discard this one."
)


def make_smaller(device: Device, refused: BodyRefused) -> Flow[None]:
    """Take the push in flight apart, and note that chunks are to be smaller; rows that were refused each
    alone are kept as rejected edits instead (law L2). The refusal itself is raised if chunks are as small as
    they can be, and if the hub has got the push already."""
    frozen = in_flight(device.store)
    if frozen is None or is_offered(device.store):  # what is offered again was frozen long ago
        raise refused
    largest = max(len(body) for _, body in _refused(device, refused))
    size = min(largest, device.store.state().chunk_bytes or largest) // 2
    alone = dict(_alone(device, refused)) if refused.chunks or not frozen.chunks else {}
    state = yield from state_at_hub(device.store)
    if (size < LEAST and not alone) or state.push >= frozen.number:
        raise refused
    with device.store.transaction() as store:
        device.check()
        take_apart(store)
        store.set_state(push=frozen.number - 1)
        if alone:
            _set_aside(device, alone)
            return
        store.set_state(chunk_bytes=size)
    logger.info(
        "made chunks smaller: a body was refused on its way",
        extra={"action": "smaller_chunks", "number": frozen.number, "bytes": size},
    )


def _refused(device: Device, refused: BodyRefused) -> Iterator[tuple[str, bytes]]:
    """Digest and body of the chunks that were refused; of all where it is not known which."""
    for number, digest, body in sealed(device.store):
        if not refused.chunks or number in refused.chunks:
            yield digest, body


def _alone(device: Device, refused: BodyRefused) -> Iterator[tuple[tuple[int, Key], str]]:
    """The rows, by number of table and key, that were refused with no other beside them, each with a
    sentence."""
    for digest, body in _refused(device, refused):
        if len(body) >= LEAST and count_rows(body) == 1:
            (group,) = open_push(body, digest)
            t = device.tables[group.table]
            key = inward_key(t, group.rows[0][: t.arity])
            yield (t.n, key), f"this row alone makes a request of {len(body):,} bytes: {refused.detail}"


def _set_aside(device: Device, alone: dict[tuple[int, Key], str]) -> None:
    """Keep these rows' edits as rejected ones. Inside a transaction, while no push is in flight."""
    settle(device.store, device.tables.values())
    for n in {n for n, _ in alone}:
        rows = [Refused(key, why) for (table, key), why in alone.items() if table == n]
        refuse(device, device.tables[n], rows, BodyRefused.code, RETRY)
    logger.warning(
        "set rows aside that a proxy does not let through alone",
        extra={"action": "rows_too_large", "rows": len(alone)},
    )
