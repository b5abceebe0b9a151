"""Steps 2 and 3 of the path: what is pending becomes a push, numbered and durable, before it is sent.

What is frozen never changes: a repeat sends the same bytes (law L3). Later edits wait in the log, behind
the cut that says how far the push covers each table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from msgspec import Raw

from syncline.errors import TooLarge, ValueRefused
from syncline.model.values import Value
from syncline.protocol.body import delta, encode_group, seal_encoded
from syncline.protocol.messages import PushGroup
from syncline.replica.chains import Batch, Refused
from syncline.replica.coalesce import Coalescing
from syncline.replica.device import Device
from syncline.replica.pending import is_anything_pending, settle
from syncline.replica.refusal import refuse, unkeyed, unreadable
from syncline.replica.selection import select
from syncline.replica.statements import Statements
from syncline.replica.store import Store, queries

_QUERIES = queries("syncline.replica", "freeze.sql")

ROOM = 4096
"""Bytes of a request that are not rows."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The push in flight: `body` is canonical MessagePack of `list[PushGroup]`, `digest` its SHA-256."""

    number: int
    digest: str
    body: bytes
    bases: list[str]

    @property
    def raw(self) -> Raw:
        """The body as it goes into `messages.Push`."""
        return Raw(self.body)


def in_flight(store: Store) -> Frozen | None:
    """The push that was frozen and has no verdict yet."""
    row = store.row(_QUERIES["outbox"])
    return None if row is None else Frozen(row[0], row[1], row[2], json.loads(row[3]))


def is_complete(device: Device) -> bool:
    """Whether the push in flight covers everything that is pending now."""
    cuts = dict(device.store.rows(_QUERIES["cuts"]))
    return not any(
        device.store.row(f"SELECT 1 FROM {t.log} WHERE seq > ? LIMIT 1", (cuts.get(t.n, 0),))
        for t in device.tables.values()
    )


def freeze(device: Device) -> Frozen | None:
    """Coalesce what is pending, one change a row, into a new push in flight; None if there is nothing.

    One write transaction; no network. A backlog beyond the hub's limits is frozen in part, see
    `replica.selection`. A row that cannot travel becomes a rejected edit, the others go on.
    """
    if not is_anything_pending(device):
        return None
    with device.store.transaction() as store:
        present = in_flight(store)
        if present is not None:
            return present
        for t in device.tables.values():
            settle(store, t)
            _refuse(device, t, unkeyed(device, t))
        return _fitting(device).keep(store)


def _fitting(device: Device) -> Draft:
    """A draft within the hub's limits: fewer rows are tried until it fits."""
    limits = device.limits()
    rows = limits.push_rows
    while True:
        draft = _draft(device, rows, limits.bytes)
        if draft is None:
            continue
        if draft.size + ROOM <= limits.bytes and len(draft.bases) <= limits.bases:
            return draft
        if draft.rows == 1:
            draft.refuse_the_row(device)
        else:
            rows = max(1, min(rows, draft.rows) // 2)


class Draft:
    """A push in the making: encoded groups, the watermarks they stand on, and how far they go."""

    def __init__(self, watermarks: dict[int, str]) -> None:
        self.bases: list[str] = []
        self.cuts: dict[int, int] = {}
        self.size, self.rows, self.hlc = 0, 0, 0
        self._watermarks = watermarks
        self._places: dict[str, int] = {}
        self._groups: list[bytes] = []
        self._row: tuple[Statements, Batch] | None = None

    def add(self, t: Statements, batch: Batch) -> None:
        """Encode one batch as a group; an empty one is left out."""
        if not batch.rows:
            return
        base = [self._place(checkpoint) for checkpoint in batch.checkpoint]
        group = PushGroup(
            t.position,
            batch.op,
            batch.columns,
            cast("list[list[Value]]", batch.rows),  # tuples travel as lists do
            delta(batch.hlc),
            base if any(base) else [],
            batch.column_hlc or None,
            [[self._place(checkpoint) for checkpoint in row] for row in batch.column_checkpoint] or None,
        )
        encoded = encode_group(group)
        self._groups.append(encoded)
        self.size += len(encoded)
        self.rows += len(batch.rows)
        self.hlc = max(self.hlc, max(batch.hlc))
        self._row = t, batch

    def _place(self, checkpoint: int) -> int:
        watermark = self._watermarks[checkpoint]
        if watermark not in self._places:
            self._places[watermark] = len(self.bases)
            self.bases.append(watermark)
        return self._places[watermark]

    def refuse_the_row(self, device: Device) -> None:
        """The push is one row and still too large."""
        assert self._row is not None, "a push that is too large has a row"
        t, batch = self._row
        key = tuple(batch.rows[0][: t.arity])
        detail = f"the row takes {self.size} bytes, more than a request may have"
        refuse(device, t, [Refused(key, detail)], TooLarge.code, "Make the row smaller.")

    def keep(self, store: Store) -> Frozen | None:
        """Write the push, its number and the clock. What it covers stays in the log until the verdict."""
        if not self._groups:
            return None
        state = store.state()
        body, digest = seal_encoded(self._groups)
        frozen = Frozen(state.push + 1, digest, body, self.bases)
        store.execute(
            _QUERIES["add_outbox"], (frozen.number, digest, body, json.dumps(self.bases), store.utc())
        )
        store.executemany(_QUERIES["add_cut"], list(self.cuts.items()))
        store.set_state(push=frozen.number)
        store.advance(state.watermark or "", self.hlc)
        return frozen


def _draft(device: Device, rows: int, size: int) -> Draft | None:
    """A draft of at most `rows` changes; it ends early beyond `size` bytes. None: rows were refused that
    cannot travel, and it must be made again without them."""
    store = device.store
    draft = Draft(dict(store.rows(_QUERIES["watermarks"])))
    for t, cut in select(device, rows):
        refused = _add_table(draft, device, t, cut)
        if refused:
            _refuse(device, t, refused)
            return None
        draft.cuts[t.n] = cut
        if draft.size > size:
            break
    return draft


def _add_table(draft: Draft, device: Device, t: Statements, cut: int) -> list[Refused]:
    """Add the changes of one table; return the rows that cannot travel."""
    coalescing = Coalescing(device.store, t, cut)
    unread: ValueRefused | None = None
    try:
        for batch in coalescing.batches():
            draft.add(t, batch)
    except ValueRefused as error:
        unread = error.with_traceback(None)
    if unread is None:
        return coalescing.refused
    found = unreadable(device, t, cut)
    if not found:
        raise unread
    return found


def _refuse(device: Device, t: Statements, refused: Sequence[Refused]) -> None:
    if refused:
        refuse(device, t, refused, ValueRefused.code, ValueRefused.remedy)
