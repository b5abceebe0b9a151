"""What the hub needs of a changed row when it conflicts: base values, and the image as of the freeze.

Made from the file when they are asked for, exactly: the first old value logged after the cut is what a
column held at the cut. A pull never runs while a push is in flight, so nothing else has changed a row.
A push that is offered again has no cut: its base values are not known any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from syncline.model.masks import join_mask
from syncline.model.values import Value, indices_of
from syncline.protocol.messages import Detail, PushGroup
from syncline.replica.device import Device
from syncline.replica.edge import inward_key, outward_key, outward_value
from syncline.replica.lost import lost
from syncline.replica.offer import as_offered, is_offered
from syncline.replica.overlay import Key, Overlay, Pending
from syncline.replica.statements import Statements

SMALL = 16 * 1024
"""Bytes of details that are sent without being asked for."""

FEW = 500
"""More rows than this are never looked up unasked."""

RowId = tuple[int, Key]


def unasked(device: Device, groups: Iterable[PushGroup]) -> list[Detail]:
    """The details of a push if all of them together are small, else none."""
    groups = [group for group in groups if group.op in ("U", "D", "R")]
    if sum(len(group.rows) for group in groups) > FEW:
        return []
    found: list[Detail] = []
    size = 0
    for detail in details(device, _rows(device, groups)):
        size += len(msgspec.msgpack.encode(detail))
        if size > SMALL:
            return []
        found.append(detail)
    return found


def details(device: Device, rows: Iterable[RowId]) -> Iterator[Detail]:
    """The details of some rows of the push in flight."""
    for n, keys in _by_table(rows).items():
        if n not in device.tables:  # a push of an older schema: the table is gone
            continue
        with device.store.aside():
            found = _of_table(device, device.tables[n], keys)
        yield from found


def details_now(device: Device, rows: Iterable[RowId]) -> Iterator[Detail]:
    """`details`, inside a transaction."""
    for n, keys in _by_table(rows).items():
        yield from _of_table(device, device.tables[n], keys)


def _by_table(rows: Iterable[RowId]) -> dict[int, list[Key]]:
    by_table: dict[int, list[Key]] = {}
    for n, key in rows:
        by_table.setdefault(n, []).append(key)
    return by_table


def _rows(device: Device, groups: Iterable[PushGroup]) -> Iterator[RowId]:
    for group in groups:
        arity = device.arity(group.table)
        for row in group.rows:
            yield group.table, tuple(row[:arity])


def _of_table(device: Device, t: Statements, wanted: list[Key]) -> list[Detail]:
    """The details of rows whose keys came from a message, as they travel."""
    overlay, keys = Overlay(device.store), [inward_key(t, key) for key in wanted]
    cut = device.store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    bases = overlay.first_values(t, keys, cut)
    named = _named(device, t)
    found = []
    for pending, base in zip(overlay.pending(t, keys), bases, strict=True):
        columns = sorted(base)
        with device.store.undecoded():  # what was made since, and is taken back here, need not be text
            image = _image_at(device, t, pending, cut)
        known = [base[i] for i in columns]
        found.append(Detail(t.n, list(pending.key), columns, known, image, named))
    if is_offered(device.store) or _is_gone_unseen(device, t, found):
        found = as_offered(device, t, found)
    return [_outward(t, detail) for detail in found]


def _is_gone_unseen(device: Device, t: Statements, found: Iterable[Detail]) -> bool:
    """Whether a row was deleted while the table was not captured: of it only what was sent is known."""
    return any(detail.image is None for detail in found) and t.n in lost(device.store)


def _outward(t: Statements, detail: Detail) -> Detail:
    base = [
        outward_value(t, column, value) for column, value in zip(detail.columns, detail.base, strict=True)
    ]
    image = detail.image
    if image is not None:
        columns = t.values if detail.image_columns is None else detail.image_columns
        image = [outward_value(t, column, value) for column, value in zip(columns, image, strict=True)]
    return msgspec.structs.replace(detail, key=list(outward_key(t, detail.key)), base=base, image=image)


def _named(device: Device, t: Statements) -> list[int] | None:
    """The columns of an image, if they need not be those of the schema that the push was frozen under."""
    frozen = device.store.value("SELECT fingerprint FROM _sync_outbox")
    return None if frozen in (None, device.hub.fingerprint) else list(t.values)


def _image_at(device: Device, t: Statements, pending: Pending, cut: int) -> list[Value] | None:
    """The row as of the cut: as it is now, with every later edit taken back."""
    image = pending.present if pending.present is not None else pending.image
    later = [entry for entry in pending.entries if entry.seq > cut]
    columns = ", ".join([*t.masks, *t.old_columns(t.table.all_mask)])
    for entry in reversed(later):
        row = device.store.row(f"SELECT {columns} FROM {t.log} WHERE seq = ?", (entry.seq,))
        assert row is not None, "the entry was found by its number"
        old = row[len(t.masks) :]
        if entry.op == "I":  # before it the row was parked, or not there at all
            image = Overlay(device.store).parked(t, pending.key)
        elif entry.op == "U":
            mask = join_mask(row[: len(t.masks)])
            image = list(image or [None] * len(old))
            for i in indices_of(mask):
                place = t.table.places[i]
                image[place] = old[place]
        else:
            image = list(old)
    return None if image is None else list(image)
