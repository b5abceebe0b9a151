"""Steps 3, 4 and 8 of the path: freeze what is pending, send it, take the verdict.

The frozen push is in the file, numbered, before it is sent. Whatever happens to the request or to its
answer, the same push is sent again until there is a verdict (law L3).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from syncline.errors import ProtocolError
from syncline.protocol.body import count_rows, open_push
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Detail, Pull, Push, Verdict
from syncline.replica.answers import check_places
from syncline.replica.details import details, unasked
from syncline.replica.device import Device
from syncline.replica.draft import sealed
from syncline.replica.freeze import Frozen
from syncline.replica.identity import Provenance, provenance, sending
from syncline.replica.overruled import overruled
from syncline.replica.progress import Progress, silent
from syncline.replica.session import ask
from syncline.replica.stage import clear_stage
from syncline.replica.store import Store
from syncline.replica.upload import Upload

LARGE = 64 * 1024
"""Bytes of a push whose details are never small."""

ROUNDS = 20
"""How often the hub may ask for further details of one push."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A push's verdict. `rows` counts the changes it had, `overruled` those that came back in another
    state."""

    verdict: Verdict
    rows: int
    overruled: int


def send(
    device: Device, frozen: Frozen, pull: Pull | None, progress: Progress = silent, draft: str = ""
) -> Flow[Sent]:
    """Send the push in flight until the hub has decided it. Changes nothing in the file.

    `draft`: under what name chunks of it are at the hub. PushOutOfStep if another file goes on under this
    one's id.
    """
    if frozen.chunks:
        told = sending(device, frozen, frozen.rows)
        verdict = yield from large(device, frozen, progress, draft, told).committed(pull)
    else:
        verdict = yield from _send_small(device, frozen, pull)
    return Sent(verdict, rows_of(frozen), len(overruled(device, verdict, sealed(device.store))))


def large(
    device: Device, frozen: Frozen, progress: Progress, draft: str = "", told: Provenance | None = None
) -> Upload:
    """The push in flight as an upload: small or large, a chunk at a time is in memory. `told`: what was read
    of its edits."""
    count = frozen.chunks or 1
    return Upload(
        device,
        frozen.number,
        frozen.fingerprint,
        frozen.digest,
        frozen.bases,
        count,
        rows_of(frozen),
        lambda but: _chunks(device.store, but),
        lambda rows: list(details(device, rows)),
        lambda done: progress("upload", done, count),
        draft,
        told or provenance(device),
    )


def _chunks(store: Store, but: Container[int]) -> Iterator[tuple[int, str, bytes]]:
    """What is sealed, without the chunks `but`; StoreBusy if another process has taken in the verdict
    meanwhile: another push may be in flight by now."""
    store.check_standing()
    if store.row("SELECT 1 FROM _sync_outbox") is None:
        raise store.overtaken()
    for chunk in sealed(store, but):
        yield chunk
        store.check_standing()


def forget(device: Device, frozen: Frozen) -> Flow[None]:
    """The verdict is in the file: the hub may forget the chunks."""
    if frozen.chunks:
        yield from large(device, frozen, silent).forget()


def _send_small(device: Device, frozen: Frozen, pull: Pull | None) -> Flow[Verdict]:
    extra: dict[tuple[int, bytes], Detail] = {}
    known: list[Detail] = []
    if len(frozen.body) <= LARGE:
        known = unasked(device, open_push(frozen.body, frozen.digest))
    for _ in range(ROUNDS):
        request = _small(device, frozen, [*known, *extra.values()], pull)
        verdict = yield from ask(request, Verdict)
        check_places(verdict, device.known)
        if not verdict.wanted:
            return verdict
        known = []
        wanted = [(n, tuple(key)) for n, key in verdict.wanted]
        extra |= {(found.table, repr(found.key).encode()): found for found in details(device, wanted)}
    raise ProtocolError("the hub asks for the same details again and again")


def rows_of(frozen: Frozen) -> int:
    """How many rows a push has."""
    return frozen.rows if frozen.chunks else count_rows(frozen.body)


def _small(device: Device, frozen: Frozen, known: list[Detail], pull: Pull | None) -> Push:
    told = sending(device, frozen, rows_of(frozen))
    return Push(
        device.store.state().replica,
        frozen.number,
        frozen.fingerprint,
        frozen.bases,
        frozen.digest,
        frozen.raw,
        known,
        pull,
        before=told.before,
        stamps=told.stamps,
        carried=told.carried,
        horizon="" if pull is not None and told.horizon == pull.after else told.horizon,
        offered=told.offered,
    )


def forget_stage(device: Device) -> None:
    """Pages fetched before a push may hold what the push changes: they are fetched again."""
    if device.store.row("SELECT 1 FROM _sync_stage LIMIT 1") is not None:
        with device.store.transaction() as store:
            clear_stage(store)
