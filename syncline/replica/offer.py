"""A push that the centre has lost is offered again: the same changes, with their clocks, under a new number.

Not as fresh edits: clocks decide who wins among edits of one column, and they must be those of the edits
whichever device comes first (law L7). Such a push covers no entries of the change logs; the outbox has no
cuts then. What the rows held before is no longer known; how they are is, without the pending edits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import msgspec

from syncline.errors import ValueRefused
from syncline.model.values import Value, subtract
from syncline.protocol.body import delta, open_push, seal, undelta
from syncline.protocol.messages import Detail, PushGroup
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.sent import forget_one
from syncline.replica.statements import Statements
from syncline.replica.store import Store, queries, unpack

logger = logging.getLogger("syncline.replica")

_QUERIES = queries("syncline.replica", "sent.sql")
_OUTBOX = queries("syncline.replica", "freeze.sql")
_Stamps = list[list[int]]


def is_offered(store: Store) -> bool:
    """Whether the push in flight is one that is offered again."""
    return (
        store.row("SELECT 1 FROM _sync_outbox WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_cut)") is not None
    )


def offer_next(device: Device, base: str) -> bool:
    """Make the oldest push that the centre has lost the push in flight; False if there is none.

    `base` is the watermark that it stands on. Inside a transaction.
    """
    store = device.store
    while True:
        row = store.row(_QUERIES["next_lost"])
        if row is None:
            return False
        number, part, fingerprint, refused, digest, body = row
        forget_one(store, (number, part))
        if fingerprint != device.schema.fingerprint:
            logger.warning(
                "did not offer push %d again: it was made with another schema",
                number,
                extra={"action": "offer", "replica": store.state().replica, "number": number},
            )
            continue
        groups = _again(device, open_push(body, digest), unpack(refused) if refused else [])
        if groups:
            _put_in_flight(store, groups, base)
            return True


def _put_in_flight(store: Store, groups: list[PushGroup], base: str) -> None:
    body, digest = seal(groups)
    number = store.state().push + 1
    store.execute(_OUTBOX["add_outbox"], (number, digest, body, json.dumps([base]), store.utc()))
    store.set_state(push=number)


def put_back(store: Store) -> None:
    """The centre has not got the push in flight: it waits again, if it was offered again; otherwise its edits
    are pending again. Inside a transaction."""
    if is_offered(store):
        store.execute(_QUERIES["put_back"])
    for table in ("outbox", "outbox_cut"):
        store.execute(f"DELETE FROM _sync_{table}")


def _again(
    device: Device, groups: Sequence[PushGroup], refused: Sequence[Sequence[object]]
) -> list[PushGroup]:
    """The groups without the rows that were rejected, on one base."""
    without = {(position, _frozen(key)) for position, key in refused}
    found = []
    for group in groups:
        arity = len(device.schema.tables[group.table].key)
        kept = [i for i, row in enumerate(group.rows) if (group.table, _frozen(row[:arity])) not in without]
        if kept:
            found.append(_picked(group, kept))
    return found


def _picked(group: PushGroup, kept: Sequence[int]) -> PushGroup:
    hlc = undelta(group.hlc)
    stamps = group.column_hlc
    return msgspec.structs.replace(
        group,
        rows=[group.rows[i] for i in kept],
        hlc=delta([hlc[i] for i in kept]),
        base=[],
        column_hlc=None if stamps is None else [stamps[i] for i in kept],
        column_base=None,
    )


def _frozen(key: object) -> Key:
    assert isinstance(key, list)
    return tuple(key)


# Details -----------------------------------------------------------------------------------------------


def as_offered(device: Device, t: Statements, found: Sequence[Detail]) -> list[Detail]:
    """The details of rows of a push that is offered again: their images as of that push, as well as it can be
    told. What later pushes added to a counter is taken off, for they will be offered too; a row that is gone
    since has what was sent."""
    if not found:
        return []
    row = device.store.row(_OUTBOX["outbox"])
    assert row is not None, "details are asked of a push in flight"
    images = {tuple(detail.key): detail.image and list(detail.image) for detail in found}
    for group in open_push(row[2], row[1]):
        _stand_in(t, group, images)
    for number, part in device.store.rows(_QUERIES["later_lost"]):
        digest, body = device.store.rows(_QUERIES["one"], (number, part))[0]
        for group in open_push(body, digest):
            _take_off(t, group, images)
    return [msgspec.structs.replace(detail, image=images[tuple(detail.key)]) for detail in found]


def _stand_in(t: Statements, group: PushGroup, images: dict[Key, list[Value] | None]) -> None:
    if group.table != t.position or group.op != "U":
        return
    for row in group.rows:
        key = tuple(row[: t.arity])
        if key in images and images[key] is None:
            image: list[Value] = [None] * len(t.values)
            for column, value in zip(group.columns, row[t.arity :], strict=True):
                image[column] = value
            images[key] = image


def _take_off(t: Statements, group: PushGroup, images: dict[Key, list[Value] | None]) -> None:
    counted = [(j, i) for j, i in enumerate(group.columns) if t.increments >> i & 1]
    if group.table != t.position or group.op != "U" or not counted:
        return
    for row in group.rows:
        image = images.get(tuple(row[: t.arity]))
        if image is None:
            continue
        for j, column in counted:
            try:
                image[column] = subtract(image[column], row[t.arity + j])
            except ValueRefused:  # not a number: nothing was added to it
                continue
