"""A push that the centre has lost is offered again: the same changes, with their clocks, under a new number.

Not as fresh edits: clocks decide who wins among edits of one column, and they must be those of the edits
whichever device comes first (law L7). Such a push covers no entries of the change logs; the outbox has no
cuts then. What the rows held before is no longer known; how they are is, without the pending edits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from syncline.errors import ValueRefused
from syncline.model.values import Value, subtract
from syncline.protocol.body import delta, open_push, seal, undelta, whole_digest
from syncline.protocol.messages import Detail, PushGroup
from syncline.replica.bodies import add_chunk
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.edge import inward_rows
from syncline.replica.freeze import clear_outbox
from syncline.replica.overlay import Key
from syncline.replica.parted import Past, translated
from syncline.replica.sent import (
    forget_sent,
    kept_marks,
    lost_bodies,
    made,
    next_lost,
    put_back,
    read_part,
)
from syncline.replica.statements import Statements
from syncline.replica.store import Store, queries

NO_PAST = Past()
Withhold = Callable[[Device, Sequence[tuple[int, int]]], None]
_OUTBOX = queries("syncline.replica", "freeze.sql")


def _nothing(device: Device, parts: Sequence[tuple[int, int]]) -> None:
    """What is withheld if nobody says."""


def is_offered(store: Store) -> bool:
    """Whether the push in flight is one that is offered again."""
    return (
        store.row("SELECT 1 FROM _sync_outbox WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_cut)") is not None
    )


def offered_made(store: Store) -> int:
    """When the push in flight, which is offered again, was decided first; as `sent.Kept.made`."""
    return int(store.value(_OUTBOX["offered_made"]))


def offered_marks(store: Store) -> tuple[bytes, bytes | None]:
    """The stamps of the push in flight, which is offered again, and the marks beside them."""
    row = store.row(_OUTBOX["offered_marks"])
    return (b"", None) if row is None else (row[0] or b"", row[1])


def offer_next(device: Device, base: str, past: Past = NO_PAST, withhold: Withhold = _nothing) -> bool:
    """Make the oldest push that the centre has lost the one in flight; False if there is none.

    It stands on what it stood on, or on `base` if that is not known. `past` are the schemas that the hub has
    lost. `withhold` takes out of its parts what is not offered. Inside a transaction. A large push is one
    again, in its chunks.
    """
    store = device.store
    while parts := next_lost(store):
        withhold(device, parts)
        number = parts[0][0]
        (stamps, marks), taken = kept_marks(store, number), made(store, number)
        chunks = [chunk for place in parts if (chunk := _rewritten(device, place, past)) is not None]
        forget_sent(store, number)
        if chunks:
            _put_in_flight(store, chunks, base)
            store.execute(_OUTBOX["mark_offered"], (stamps, marks, max(1, taken)))
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Sealed:
    rows: int
    digest: str
    body: bytes
    fingerprint: str | None
    bases: list[str]


def _rewritten(device: Device, place: tuple[int, int], past: Past) -> _Sealed | None:
    """One part as it is offered again; None if nothing of it is."""
    kept = read_part(device.store, place)
    groups, fingerprint = open_push(kept.body, kept.digest), kept.fingerprint
    if fingerprint in past.schemas:
        refused = {(n, _frozen(key)) for n, key in kept.refused}
        groups = translated(device, groups, past.schema(fingerprint) or device.hub, refused)
        fingerprint = device.hub.fingerprint
    groups = _again(device, groups, kept.refused)
    if not groups:
        return None
    body, digest = seal(groups)
    rows = sum(len(group.rows) for group in groups)
    return _Sealed(rows, digest, body, fingerprint, kept.bases)


def _put_in_flight(store: Store, chunks: Sequence[_Sealed], base: str) -> None:
    number, only = store.state().push + 1, chunks[0]
    digest, body = only.digest, only.body
    if len(chunks) > 1:
        digest, body = whole_digest(chunk.digest for chunk in chunks), b""
    store.execute(
        _OUTBOX["add_outbox"],
        (number, digest, body, json.dumps(only.bases or [base]), store.utc(), only.fingerprint),
    )
    if len(chunks) > 1:
        for i, chunk in enumerate(chunks, 1):
            add_chunk(store, number, i, chunk.rows, chunk.digest, chunk.body)
    store.set_state(push=number)


def take_apart(store: Store) -> None:
    """The centre has not got the push in flight: it waits again, if it was offered again; otherwise its edits
    are pending again. Inside a transaction."""
    if is_offered(store):
        put_back(store)
    clear_outbox(store)


def _again(
    device: Device, groups: Sequence[PushGroup], refused: Sequence[Sequence[object]]
) -> list[PushGroup]:
    """The groups without the rows that were rejected."""
    without = {(n, _frozen(key)) for n, key in refused}
    found = []
    for group in groups:
        arity = device.arity(group.table)
        kept = [i for i, row in enumerate(group.rows) if (group.table, _frozen(row[:arity])) not in without]
        if kept:
            found.append(_picked(group, kept))
    return found


def _picked(group: PushGroup, kept: Sequence[int]) -> PushGroup:
    hlc = undelta(group.hlc)
    stamps, columns = group.column_hlc, group.column_base
    return msgspec.structs.replace(
        group,
        rows=[group.rows[i] for i in kept],
        hlc=delta([hlc[i] for i in kept]),
        base=[group.base[i] for i in kept] if group.base else [],
        column_hlc=None if stamps is None else [stamps[i] for i in kept],
        column_base=None if columns is None else [columns[i] for i in kept],
    )


def _frozen(key: object) -> Key:
    assert isinstance(key, list)
    return tuple(key)


# Details -----------------------------------------------------------------------------------------------


def as_offered(device: Device, t: Statements, found: Sequence[Detail]) -> list[Detail]:
    """The details of rows of a push that is offered again: their images as of that push, as well as it can be
    told. What later pushes added to a counter is taken off, for they will be offered too; of a row that is
    gone since only what was sent is known."""
    if not found:
        return []
    images = {
        tuple(detail.key): None if detail.image is None else t.state_of(detail.image) for detail in found
    }
    for _, digest, body in sealed(device.store):
        for group in open_push(body, digest):
            _stand_in(t, _as_here(t, group), images)
    for digest, body in lost_bodies(device.store):
        for group in open_push(body, digest):
            _take_off(t, _as_here(t, group), images)
    return [_with_image(t, detail, images[tuple(detail.key)]) for detail in found]


def _with_image(t: Statements, detail: Detail, image: dict[int, Value] | None) -> Detail:
    """The values in the order of the table's columns, which are named where they are not the whole row."""
    if image is None:
        return msgspec.structs.replace(detail, image=None)
    columns = [i for i in t.values if i in image]
    named = detail.image_columns if len(columns) == len(t.values) else columns
    return msgspec.structs.replace(detail, image=[image[i] for i in columns], image_columns=named)


def _as_here(t: Statements, group: PushGroup) -> PushGroup:
    """A group with the rows as the file has them, if it is of this table."""
    if group.table != t.n or not t.converts:
        return group
    return msgspec.structs.replace(group, rows=inward_rows(t, group.columns, group.rows))


def _stand_in(t: Statements, group: PushGroup, images: dict[Key, dict[int, Value] | None]) -> None:
    if group.table != t.n or group.op != "U":
        return
    for row in group.rows:
        key = tuple(row[: t.arity])
        if key in images and images[key] is None:
            sent = dict(zip(group.columns, row[t.arity :], strict=True))
            counted = dict.fromkeys((i for i in t.values if t.increments >> i & 1), None)  # nothing of others
            images[key] = {i: value for i, value in (counted | sent).items() if i in t.table.places}


def _take_off(t: Statements, group: PushGroup, images: dict[Key, dict[int, Value] | None]) -> None:
    counted = [(j, i) for j, i in enumerate(group.columns) if t.increments >> i & 1]
    if group.table != t.n or group.op != "U" or not counted:
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
