"""A push in the making: groups are encoded as they come and, where they do not fit one request, written to
the file chunk by chunk (law L11).

Writes are numbered as they come, parents first. Deletes wait until every table was read, and then go in the
opposite order, children first (law L9): those that cannot wait in memory are put aside in the file.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from syncline.model.values import Value
from syncline.protocol.body import delta, encode_group, seal_encoded, whole_digest
from syncline.protocol.messages import Limits, PushGroup
from syncline.replica.bodies import add_chunk, drop_chunks
from syncline.replica.chains import Batch
from syncline.replica.edge import outward_rows
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store, queries

ROOM = 4096
"""Bytes of a request that are not rows."""

CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes of a chunk, and of a push that is sent in one request."""

ASIDE = 1 << 40
"""Chunks of deletes are numbered from here until it is known where they stand."""

_QUERIES = queries("syncline.replica", "freeze.sql")


class Listener(Protocol):
    """Hears of chunks as they are drafted, inside the transaction: it must not wait for anything."""

    def start(self) -> None:
        """Drafting begins; what was offered before is no part of it."""

    def offer(self, number: int, digest: str, body: bytes) -> None:
        """A chunk that stays as it is."""


class RowTooLarge(Exception):
    """A row that no request can hold: leaves the draft, which is made again without it."""

    def __init__(self, t: Statements, key: Key, size: int) -> None:
        self.t, self.key, self.size = t, key, size


@dataclass(frozen=True, slots=True)
class Encoded:
    """One group as it travels. `rank` is its table's place in the foreign-key order."""

    rank: int
    deletes: bool
    rows: int
    body: bytes


class Draft:
    """Encoded groups, the watermarks they stand on, and how far they go. Inside a write transaction."""

    def __init__(self, store: Store, limits: Limits, listener: Listener | None = None) -> None:
        self.bases: list[str] = []
        self.cuts: dict[int, int] = {}
        self.size, self.rows, self.chunks, self.hlc = 0, 0, 0, 0
        self._store, self._listener = store, listener
        if listener is not None:
            listener.start()
        target = min(store.state().chunk_bytes or CHUNK_BYTES, CHUNK_BYTES, limits.bytes - ROOM)
        self._room = target, limits.bytes - ROOM, limits.push_rows
        self._watermarks: dict[int, str] = dict(store.rows(_QUERIES["watermarks"]))
        self._places: dict[str, int] = {}
        self._waiting: list[Encoded] = []
        self._aside = 0
        drop_chunks(store)

    def add(self, t: Statements, batch: Batch) -> None:
        """Encode one batch as groups of a size that can travel; an empty one is left out."""
        most = self._room[2]
        for start in range(0, len(batch.rows), most):
            self._add(t, _slice(batch, start, start + most) if len(batch.rows) > most else batch)

    def _add(self, t: Statements, batch: Batch) -> None:
        target, most, _ = self._room
        body, rows = encode_group(self._group(t, batch)), len(batch.rows)
        if len(body) > target and rows > 1:
            step = max(1, rows * target // (len(body) + 1))
            for start in range(0, rows, step):
                self._add(t, _slice(batch, start, start + step))
            return
        if len(body) > most:
            raise RowTooLarge(t, tuple(batch.rows[0][: t.arity]), len(body))
        self.size += len(body)
        self.rows += rows
        self.hlc = max(self.hlc, max(batch.hlc))
        self._put(Encoded(t.rank, batch.op in ("D", "-"), rows, body))

    def _group(self, t: Statements, batch: Batch) -> PushGroup:
        places = {checkpoint: self._place(checkpoint) for checkpoint in dict.fromkeys(batch.checkpoint)}
        return PushGroup(
            t.n,
            batch.op,
            batch.columns,
            outward_rows(t, batch.columns, batch.rows)
            if t.converts
            else cast("list[list[Value]]", batch.rows),  # tuples travel as lists do
            delta(batch.hlc),
            list(map(places.__getitem__, batch.checkpoint)) if any(places.values()) else [],
            batch.column_hlc or None,
            [[self._place(checkpoint) for checkpoint in row] for row in batch.column_checkpoint] or None,
        )

    def _place(self, checkpoint: int) -> int:
        watermark = self._watermarks[checkpoint]
        if watermark not in self._places:
            self._places[watermark] = len(self.bases)
            self.bases.append(watermark)
        return self._places[watermark]

    # Chunks ---------------------------------------------------------------------------------------------

    def _put(self, group: Encoded) -> None:
        if self._waiting and not self._fits([*self._waiting, group]):
            writes = [one for one in self._waiting if not one.deletes]
            deletes = [one for one in self._waiting if one.deletes]
            if writes:
                self._write(writes)
            if not self._fits([*deletes, group]):
                self._put_aside(deletes)
                deletes = []
            self._waiting = deletes
        self._waiting.append(group)

    def _fits(self, groups: Sequence[Encoded]) -> bool:
        """Whether groups can be one chunk. One group always can."""
        target, _, rows = self._room
        return len(groups) < 2 or (
            sum(len(group.body) for group in groups) <= target and sum(group.rows for group in groups) <= rows
        )

    def _write(self, groups: Sequence[Encoded]) -> None:
        self.chunks += 1
        digest, body = self._keep(self.chunks, groups)
        if self._listener is not None:
            self._listener.offer(self.chunks, digest, body)

    def _keep(self, number: int, groups: Sequence[Encoded]) -> tuple[str, bytes]:
        body, digest = seal_encoded([group.body for group in groups])
        rows = sum(group.rows for group in groups)
        add_chunk(self._store, self._number, number, rows, digest, body)
        return digest, body

    def _put_aside(self, deletes: Sequence[Encoded]) -> None:
        """Such that numbers ascend from the last table to the first."""
        for rank in sorted({group.rank for group in deletes}, reverse=True):
            self._aside += 1
            number = ASIDE - (rank << 24) + self._aside
            self._keep(number, [group for group in deletes if group.rank == rank])

    def _finish(self) -> None:
        """Number the deletes after everything else."""
        if writes := [group for group in self._waiting if not group.deletes]:
            self._write(writes)
        if deletes := [group for group in self._waiting if group.deletes]:
            if self._aside:
                self._put_aside(deletes)
            else:
                self._write(sorted(deletes, key=lambda group: -group.rank))
        for (number,) in self._store.rows(_QUERIES["aside"], (ASIDE >> 1,)):
            self.chunks += 1
            self._store.execute(_QUERIES["renumber"], (self.chunks, self._number, number))

    @property
    def _number(self) -> int:
        return self._store.state().push + 1

    def keep(self) -> bool:
        """Write the push, its number and the clock; False if there is none. What it covers stays in the log
        until the verdict."""
        if not self.rows:
            return False
        store, number = self._store, self._number
        if self.chunks or self._aside:
            self._finish()
            body = b""
            digest = whole_digest(digest for (digest,) in store.rows(_QUERIES["chunk_digests"]))
        else:
            body, digest = seal_encoded([group.body for group in self._waiting])
        store.execute(
            _QUERIES["add_outbox"],
            (number, digest, body, json.dumps(self.bases), store.utc(), store.state().fingerprint),
        )
        store.executemany(_QUERIES["add_cut"], list(self.cuts.items()))
        store.set_state(push=number)
        store.advance(store.state().watermark or "", self.hlc)
        return True


def _slice(batch: Batch, start: int, end: int) -> Batch:
    return replace(
        batch,
        rows=batch.rows[start:end],
        hlc=batch.hlc[start:end],
        checkpoint=batch.checkpoint[start:end],
        column_hlc=batch.column_hlc[start:end],
        column_checkpoint=batch.column_checkpoint[start:end],
    )


def sealed(store: Store, but: Container[int] = ()) -> Iterator[tuple[int, str, bytes]]:
    """The push in flight: number, digest and body of every chunk; a small one has a single one, number 1.
    Those with the numbers `but` are left out, and not read."""
    numbers = [number for (number,) in store.rows(_QUERIES["chunk_numbers"])]
    for number in numbers:
        if number in but:
            continue
        row = store.row(_QUERIES["chunk"], (number,))
        if row is None:  # a chunk stays until the verdict, which another process has taken in
            raise store.overtaken()
        yield number, row[0], row[1]
    if not numbers and 1 not in but and (row := store.row(_QUERIES["outbox"])) is not None:
        yield 1, row[1], row[2]
