"""A large push, chunk by chunk, in the one transaction of the central database (laws L3, L9, L11).

One chunk at a time is settled, applied, freed, while the next one is opened. What one cannot do yet waits:

    a foreign key to a row of a later chunk     done after the last chunk with writes
    a delete that others still stand in the way of     after the last chunk
    a unique value that is not free yet     with the deletes, and after the last chunk
    a write that would go or change with a row that a later chunk deletes           after the last chunk

A row that is refused then is rejected, with those that depend on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from syncline.errors import DigestMismatch, Malformed, UnknownUpload
from syncline.hub.accept import Part, accept, details_by_row
from syncline.hub.bases import File
from syncline.hub.cascades import Rest
from syncline.hub.central import Sender
from syncline.hub.clocks import clamped
from syncline.hub.contract import Key, Stage, Upload, UploadedChunk, WriteTransaction, codes
from syncline.hub.dependents import RowId
from syncline.hub.named import Keys
from syncline.hub.putoff import Late, PutOff, late_of
from syncline.hub.receive import Outcome, Receiver, newest_of
from syncline.hub.settle import Settled, reject_dependents, stages_of
from syncline.hub.versions import brought, brought_details
from syncline.merge.decide import Base
from syncline.protocol.body import open_details, open_push, ops_of, whole_digest
from syncline.protocol.messages import Limits, Rejection

DELETES = ("D", "-")
WAITING = (codes.FOREIGN_KEY, codes.UNIQUE, codes.CONSTRAINT)
"""Why a row may be refused that other rows of the same push make possible."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Writes or deletes of one chunk, as stages that are ready to be loaded, with the details that came."""

    parts: list[Part]
    stages: list[Stage]
    details: dict[RowId, Base]
    defaulted: list[RowId]
    again: Sequence[Stage] = ()
    """What waited for deletes, and is tried with these."""

    @property
    def deletes(self) -> bool:
        return self.parts[0].op in DELETES


@dataclass(frozen=True, slots=True)
class Opened:
    """One chunk: its units, how many rows were sent in it, and what of them has no place any more."""

    units: list[Unit]
    rows: int
    unplaced: list[Rejection]


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one upload, read in order as often as need be."""

    upload: Upload
    sender: Sender
    limits: Limits
    tolerance: int
    """Milliseconds that a replica's clock may run ahead."""

    def units(self, transaction: WriteTransaction, unplaced: list[Rejection], now: int) -> Iterator[Unit]:
        """What the chunks hold, in order, checked as a whole once the last one was read. What has no place in
        the present schema is put into `unplaced`. `now`: milliseconds since 1970 UTC."""
        self._check_complete(transaction)
        keys, rows, deleting = Keys(), 0, False
        for opened in self._opened(transaction, keys, now):
            rows += opened.rows
            unplaced += opened.unplaced
            for unit in opened.units:
                if deleting and not unit.deletes:
                    raise Malformed(f"push {self.upload.number}: a write follows a delete")
                deleting = unit.deletes
                yield unit
        if rows != self.upload.rows:
            raise Malformed(f"push {self.upload.number}: {rows} rows, announced were {self.upload.rows}")
        if suspects := keys.suspects():
            self._check_once(transaction, suspects)

    def _opened(self, transaction: WriteTransaction, keys: Keys, now: int) -> Iterator[Opened]:
        """Chunk by chunk. The next one is opened while the database is busy with the one before."""

        def opened(chunk: UploadedChunk) -> Opened:
            parts, details = self._accepted(chunk)
            for part in parts:
                keys.add(part.table, part.keys)
            found = brought(
                clamped(parts, now, self.tolerance),
                self.sender.sent,
                self.sender.present,
                self.sender.changed,
            )
            units = [
                Unit(chosen, stages_of(chosen), details, [] if deletes else found.defaulted)
                for deletes in (False, True)
                if (chosen := [part for part in found.parts if (part.op in DELETES) == deletes])
            ]
            for unit in units:
                for stage in unit.stages:
                    transaction.rows.ready(stage)
            return Opened(units, sum(len(part.rows) for part in parts), found.unplaced)

        with ThreadPoolExecutor(1, "syncline-chunk") as aside:
            ahead = aside.submit(opened, self._read(transaction, 1))
            for number in range(2, self.upload.chunks + 1):
                current = ahead.result()
                ahead = aside.submit(opened, self._read(transaction, number))
                yield current
                current.units.clear()
            yield ahead.result()

    def deleted(self, transaction: WriteTransaction, tables: Container[int]) -> Mapping[int, Keys]:
        """The rows that are deleted at the end of the push, by the number of the table: of those of these
        tables that have any."""
        found = defaultdict[int, Keys](Keys)
        for number in range(self.upload.chunks, 0, -1):
            chunk = self._read(transaction, number)
            ops = ops_of(chunk.body)
            if ops.isdisjoint(DELETES):
                break
            for part in self._accepted(chunk)[0]:
                if part.op in DELETES and part.table in tables:
                    found[part.table].add(part.table, part.keys)
            if not ops.issubset(DELETES):
                break
        return found

    def written(self, transaction: WriteTransaction) -> Iterator[Part]:
        """What the push writes, and does not delete, as it was sent."""
        for number in range(1, self.upload.chunks + 1):
            writes = [
                part for part in self._accepted(self._read(transaction, number))[0] if part.op not in DELETES
            ]
            yield from writes
            if not writes:
                break

    def _check_complete(self, transaction: WriteTransaction) -> None:
        """Raise unless every chunk is there and all together are what was announced."""
        kept = transaction.ledger.chunks_kept(self.upload.replica)
        numbers = [number for number, _, _ in kept]
        if numbers != list(range(1, self.upload.chunks + 1)):
            raise UnknownUpload(
                f"of {self.upload.chunks} chunks of push {self.upload.number} the hub has {len(numbers)}"
            )
        if whole_digest(digest for _, digest, _ in kept) != self.upload.digest:
            raise DigestMismatch("the digest of all chunks is not the one announced")

    def _accepted(self, chunk: UploadedChunk) -> tuple[list[Part], dict[RowId, Base]]:
        groups = [group for group in open_push(chunk.body, chunk.digest) if group.rows]
        parts = accept(groups, self.sender.sent, len(self.upload.bases), self.limits)
        details = details_by_row(open_details(chunk.details), self.sender.sent)
        return parts, brought_details(details, self.sender.present)

    def _read(self, transaction: WriteTransaction, number: int) -> UploadedChunk:
        chunk = transaction.ledger.uploaded_chunk(self.upload.replica, number)
        if chunk is None:
            raise UnknownUpload(f"chunk {number} of push {self.upload.number} is gone")
        return chunk

    def _check_once(self, transaction: WriteTransaction, suspects: set[int]) -> None:
        seen: set[tuple[int, Key]] = set()
        for number in range(1, self.upload.chunks + 1):
            for part in self._accepted(self._read(transaction, number))[0]:
                for key in part.keys:
                    row = (part.table, key)
                    if hash(row) in suspects and row in seen:
                        name = self.sender.sent.by_number[part.table].name
                        raise Malformed(f"table {name}: a row stands twice in the push")
                    if hash(row) in suspects:
                        seen.add(row)


@dataclass(frozen=True, slots=True)
class LargeReceiver(Receiver):
    """A `Receiver` whose parts come chunk by chunk; `parts` is empty. `wanted` bounds how many rows are asked
    for at once."""

    chunks: Chunks
    wanted: int

    @property
    def rows(self) -> int:
        return self.chunks.upload.rows

    def _outcome(
        self, transaction: WriteTransaction, details: dict[RowId, Base], file: File | None, now: int
    ) -> Outcome:
        whole, deleting = Outcome(), False
        late: list[Late] = []
        put_off = PutOff(self.schema, transaction.rows, partial(self.chunks.deleted, transaction))
        for unit in self.chunks.units(transaction, whole.unplaced, now):
            if unit.deletes and not deleting:
                deleting = True
                late = self._again(transaction, late, whole, put_off)
            again: list[Late] = []
            if unit.deletes and _wait_for_deletes(late):
                again, late = list(put_off.left(late, whole.refused)), []
            unit = replace(unit, details=details | unit.details, again=[item.stage for item in again])
            late += self._do(transaction, unit, file, whole, put_off)
            self._let_go(transaction, unit)
            if len(whole.settled.wanted) >= self.wanted:
                break
        if not whole.settled.wanted:
            late = [*(put_off.left(late, whole.refused) if deleting else late), *put_off.due(whole.refused)]
            for item in self._again(transaction, late, whole, put_off):
                whole.refused |= item.refused
            before = whole.refused.keys() | whole.settled.rejected.keys()
            whole.refused |= put_off.gone(self.chunks.written(transaction), before)
        return whole

    def _changed_since(self, transaction: WriteTransaction) -> list[RowId]:
        found: list[RowId] = []
        for unit in self.chunks.units(transaction, [], transaction.ledger.milliseconds()):
            found += self._met(transaction, unit.parts, unit.stages)
            self._let_go(transaction, unit)
        return found

    @staticmethod
    def _let_go(transaction: WriteTransaction, unit: Unit) -> None:
        """Free what a unit took before the next one is read (law L11)."""
        transaction.rows.unstage()
        unit.parts.clear()
        unit.stages.clear()

    def _do(
        self,
        transaction: WriteTransaction,
        unit: Unit,
        file: File | None,
        whole: Outcome,
        put_off: PutOff,
    ) -> list[Late]:
        """Settle and apply one unit; return what must wait. Once rows are wanted nothing is applied."""
        settled = self._settled(transaction, unit.parts, unit.stages, unit.details, file)
        whole.newest = max(whole.newest, newest_of(unit.parts))
        settled.overrides |= dict.fromkeys(unit.defaulted)
        if whole.settled.taken and not settled.wanted:
            reject_dependents(transaction, self.schema, settled, unit.stages, whole.settled)
        _merge(whole.settled, settled)
        if whole.settled.wanted:
            return []
        put_off.take(settled.stages)
        whole.settled.former |= {
            row: held for row, held in settled.former.items() if put_off.may_fall(row[0])
        }
        for stage in unit.again:
            transaction.rows.stage(stage)
        return self._apply(transaction, [*unit.again, *settled.stages], whole, put_off)

    def _again(
        self, transaction: WriteTransaction, late: list[Late], whole: Outcome, put_off: PutOff
    ) -> list[Late]:
        """Try what waits, all together; return what is refused still."""
        if not late or whole.settled.wanted:
            return late
        stages = [item.stage for item in late]
        for stage in stages:
            transaction.rows.stage(stage)
        left = self._apply(transaction, stages, whole, put_off)
        transaction.rows.unstage()
        return left

    def _apply(
        self, transaction: WriteTransaction, stages: Sequence[Stage], whole: Outcome, put_off: PutOff
    ) -> list[Late]:
        before = whole.refused.keys() | whole.settled.rejected.keys()
        contested = [frozenset(stage.discarded) for stage in stages]
        rest = Rest(put_off.leaving, put_off.inserted)
        refused = self._commit(transaction, stages, whole.settled, before, rest)
        waiting = {row: why for row, why in refused.items() if why.code in (*WAITING, codes.PARENT_REJECTED)}
        whole.refused |= {row: why for row, why in refused.items() if row not in waiting}
        pairs = zip(stages, contested, strict=True)
        return [
            item
            for stage, others in pairs
            if (item := late_of(self.schema, stage, stage.discarded - others, waiting)) is not None
        ]


def _wait_for_deletes(late: Sequence[Late]) -> bool:
    """Whether unique values are what some of these wait for. They are tried together with deletes then, for
    what is moved to a new row has to be so before its former parent goes."""
    return any(why.code == codes.UNIQUE for item in late for why in item.refused.values())


def _merge(whole: Settled, settled: Settled) -> None:
    """Add what was settled of one unit, but for its stages."""
    whole.overrides |= settled.overrides
    whole.wanted |= settled.wanted
    whole.notes += settled.notes
    whole.rejected |= settled.rejected
    whole.parents |= settled.parents
    whole.held |= settled.held
