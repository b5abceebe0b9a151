"""`push --dry-run`: what the hub would say to a push now, without its being done, there or here.

What is pending is frozen in a transaction that is rolled back; its chunks are kept for the time in a file
without a name. A push that is in flight is shown as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from syncline.errors import SynclineError
from syncline.model.values import Value
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Detail, Rejection, Verdict
from syncline.replica.asked import forget, note_inserted, take_in_now
from syncline.replica.details import RowId, details_now
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.edge import inward_key, inward_value
from syncline.replica.freeze import Frozen, freeze_now, in_flight
from syncline.replica.overruled import Answered, overruled
from syncline.replica.progress import Progress
from syncline.replica.push import large, rows_of
from syncline.replica.rejected import newest_rejected, rejected
from syncline.replica.reports import OverruledRow, PushPreview, RejectedRow
from syncline.replica.respell import Respelling
from syncline.replica.upload import Chunk, Upload


class _RolledBack(Exception):
    """Leaves a transaction without keeping what was done in it."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A push that was frozen and thawed again: its chunks in `kept`, how far it goes, and which edits could
    not even be sent."""

    frozen: Frozen | None
    kept: IO[bytes]
    places: list[tuple[int, str, int, int]]
    """Number, digest, offset and length of each chunk."""
    cuts: list[tuple[int, int]]
    refused: tuple[RejectedRow, ...]

    def chunks(self, but: Container[int] = ()) -> Iterator[Chunk]:
        """The chunks, one at a time, without those with the numbers `but`."""
        for number, digest, offset, length in self.places:
            if number not in but:
                self.kept.seek(offset)
                yield number, digest, self.kept.read(length)


def preview(device: Device, progress: Progress) -> Flow[PushPreview]:
    """The verdict on everything that is pending, or on the push in flight. Changes nothing."""
    flying = in_flight(device.store)
    if flying is not None:
        upload = large(device, flying, progress)
        verdict = yield from upload.prepared() if flying.chunks else _prepared(upload)
        return _shown(device, rows_of(flying), verdict, (), sealed(device.store))
    with tempfile.TemporaryFile() as kept:
        noted: list[Respelling] = []
        try:
            yield from note_inserted(device, noted)
            drafted = draft(device, kept, noted)
        finally:
            forget(noted)
        if drafted.frozen is None:
            return PushPreview(rejected=drafted.refused)
        verdict = yield from _prepared(_upload(device, drafted, drafted.frozen, progress))
        return _shown(device, rows_of(drafted.frozen), verdict, drafted.refused, drafted.chunks())


def draft(device: Device, kept: IO[bytes], noted: Sequence[Respelling] = ()) -> Drafted:
    """Freeze what is pending, with these keys as the centre spells them, and take it back. One write
    transaction; no network."""
    try:
        with device.store.transaction() as store:
            before = newest_rejected(store)
            if noted:
                take_in_now(device, noted)
            frozen = freeze_now(device)
            places = [
                (number, digest, kept.tell(), kept.write(body)) for number, digest, body in sealed(store)
            ]
            cuts = store.rows("SELECT n, seq FROM _sync_outbox_cut")
            refused = tuple(
                RejectedRow(edit.table, edit.key, edit.code, edit.detail, edit.remedy, edit.parent)
                for edit in rejected(device, before)
            )
            drafted = Drafted(frozen, kept, places, cuts, refused)
            raise _RolledBack
    except _RolledBack:
        return drafted


def _prepared(upload: Upload) -> Flow[Verdict]:
    """The verdict; the hub then forgets the chunks. Those of a large push in flight it is to keep instead."""
    try:
        verdict = yield from upload.prepared()
    except SynclineError:
        yield from upload.forget()
        raise
    yield from upload.forget()
    return verdict


def _upload(device: Device, drafted: Drafted, frozen: Frozen, progress: Progress) -> Upload:
    count = len(drafted.places)
    return Upload(
        device,
        frozen.number,
        frozen.fingerprint,
        frozen.digest,
        frozen.bases,
        count,
        rows_of(frozen),
        drafted.chunks,
        lambda rows: _details(device, drafted, rows),
        lambda done: progress("upload", done, count),
    )


def _details(device: Device, drafted: Drafted, rows: Sequence[RowId]) -> list[Detail]:
    """As of the draft: with its cuts in place, in a transaction that is rolled back."""
    try:
        with device.store.transaction() as store:
            store.executemany("INSERT INTO _sync_outbox_cut (n, seq) VALUES (?, ?)", drafted.cuts)
            found = list(details_now(device, rows))
            raise _RolledBack
    except _RolledBack:
        return found


def _shown(
    device: Device,
    rows: int,
    verdict: Verdict,
    refused: tuple[RejectedRow, ...],
    bodies: Iterator[Chunk],
) -> PushPreview:
    turned_down = tuple(
        RejectedRow(
            _called(device, found.table),
            inward_key(device.tables.get(found.table), found.key),
            found.code,
            found.detail,
            found.remedy,
            _parent(device, found),
        )
        for found in verdict.rejected
    )
    lost = tuple(_shown_row(device, row) for row in overruled(device, verdict, bodies))
    accepted = rows - len(lost) - len(turned_down)
    return PushPreview(rows, accepted, lost, (*refused, *turned_down), tuple(verdict.conflicts))


def _parent(device: Device, found: Rejection) -> tuple[str, tuple[Value, ...]] | None:
    if found.parent is None:
        return None
    n, key = found.parent
    return _called(device, n), inward_key(device.tables.get(n), key)


def _called(device: Device, table: int) -> str:
    """A table's name here; its number, if it is one that the file has not got yet."""
    found = device.known(table)
    return str(table) if found is None else found.name


def _shown_row(device: Device, row: Answered) -> OverruledRow:
    n, t = row.table.number, device.tables.get(row.table.number)
    values = None
    if row.values is not None:
        values = {
            device.column_name(n, column): value if t is None else inward_value(t, column, value)
            for column, value in row.values.items()
        }
    return OverruledRow(row.table.name, inward_key(t, row.key), values)
