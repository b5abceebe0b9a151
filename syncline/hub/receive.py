"""One push, from accepted parts to the verdict, in one transaction of the central database.

`Receiver` has the whole push in memory; `hub.large` reads one chunk after the other.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import msgspec

from syncline.errors import PushOutOfStep, UnknownReplica
from syncline.hub import ruled
from syncline.hub.accept import Part, details_by_row
from syncline.hub.bases import File, bases_of
from syncline.hub.cascades import ALONE, Cascades, Rest, notes_of
from syncline.hub.central import Sender
from syncline.hub.clocks import clamped, sane
from syncline.hub.commit import Refused, commit_stages
from syncline.hub.conflicts import conflict_row, note_of
from syncline.hub.contract import Client, ConflictRow, Outdated, Position, Stage, WriteTransaction
from syncline.hub.contract.kept import as_kept
from syncline.hub.dependents import RowId, row_id
from syncline.hub.identity import Told, admit, is_repeat, own_of, remember
from syncline.hub.lineages import lineages_of
from syncline.hub.pull import rows_now
from syncline.hub.settle import PushContext, Settled, reason, rivals_of, settle, stages_of
from syncline.hub.versions import Brought, brought, brought_details
from syncline.merge.decide import Base
from syncline.model.schema import Schema
from syncline.protocol.body import seal, seal_of
from syncline.protocol.messages import BeginPush, CommitPush, PreparePush, Push, Rejection, Verdict


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is remembered of a push to answer a repeat: overridden rows, rejections, newest HLC."""

    overrides: list[tuple[int, list[Any]]]
    rejected: list[Rejection]
    hlc: int
    first_conflict: int
    """The lowest conflict id of the push; 0 if there was none."""
    made: int = 0
    """When it was decided, milliseconds since 1970 UTC: not after its stamps are said to be."""


class Undone(Exception):
    """Leaves a transaction without committing it, with the verdict to answer."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


@dataclass(slots=True)
class Outcome:
    """What became of a push: what was settled, what the database refused, the highest HLC in it."""

    settled: Settled = field(default_factory=Settled)
    refused: dict[RowId, Refused] = field(default_factory=dict)
    newest: int = 0
    unplaced: list[Rejection] = field(default_factory=list)
    """What was sent of tables and columns that are gone."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Everything a push is judged by. `parts` and `bases` come from the push itself."""

    sender: Sender
    push: Push | PreparePush | CommitPush
    parts: Sequence[Part]
    bases: Sequence[Position | None]
    tolerance: int
    """Milliseconds that a replica's clock may run ahead."""
    told: Told

    @property
    def schema(self) -> Schema:
        """The present one."""
        return self.sender.present

    @property
    def rows(self) -> int:
        """How many rows the push has."""
        return sum(len(part.rows) for part in self.parts)

    def receive(self, transaction: WriteTransaction, client: Client | None) -> Verdict:
        """Answer the push of a replica whose record is locked. If the verdict has `wanted`, the transaction
        must be rolled back."""
        push = self.push
        if self.sender.ruled != ruled.read(transaction.ledger):
            raise Outdated("init was given other rules")
        client = check_step(client, push)
        if client.number == push.number:
            verdict = self._repeat(transaction, client)
        else:
            admit(transaction, client, push, self.told)
            verdict = self._first(transaction, client)
        return msgspec.structs.replace(verdict, schema=self.sender.news) if self.sender.news else verdict

    def _first(self, transaction: WriteTransaction, client: Client) -> Verdict:
        push = self.push
        made = transaction.ledger.milliseconds()
        details = details_by_row(push.details, self.sender.sent)
        file = self._file(transaction, client)
        outcome = self._outcome(transaction, brought_details(details, self.schema), file, made)
        settled, refused = outcome.settled, outcome.refused
        if settled.wanted:
            return Verdict(push.number, [[table, list(key)] for table, key in settled.wanted])
        answered = settled.overrides | dict.fromkeys(refused)
        overrides = dict.fromkeys(row for row in answered if row not in refused or not refused[row].unread)
        conflicts = self._keep_notes(transaction, settled, refused)
        kept = Kept(
            [(table, list(key)) for table, key in overrides],
            [*outcome.unplaced, *self._rejections(settled, refused)],
            max((note.rival[0] for note in settled.every_note()), default=0),
            min((row.id for row in conflicts), default=0),
            made,
        )
        transaction.ledger.raise_clock(outcome.newest, self.tolerance)
        client = remember(transaction, client, push, kept.rejected)
        transaction.ledger.save_client(
            replace(
                client,
                number=push.number,
                digest=push.digest,
                verdict=msgspec.msgpack.encode(kept),
                last_push="now",
                forgotten=False,
            )
        )
        verdict = self._verdict(transaction, kept, dict(overrides), conflicts, repeat=False)
        return msgspec.structs.replace(verdict, seal=seal_of(client.chain))

    def _outcome(
        self, transaction: WriteTransaction, details: dict[RowId, Base], file: File | None, now: int
    ) -> Outcome:
        """Do the push. Nothing was written if rows are wanted. `now`: milliseconds since 1970 UTC."""
        parts = clamped(self.parts, now, self.tolerance)
        found = self._brought(parts)
        settled = self._settled(transaction, found.parts, stages_of(found.parts), details, file)
        if settled.wanted:
            return Outcome(settled)
        refused = self._commit(transaction, settled.stages, settled)
        settled.overrides |= dict.fromkeys(found.defaulted)
        return Outcome(settled, refused, newest_of(parts), found.unplaced)

    def _brought(self, parts: Sequence[Part]) -> Brought:
        return brought(parts, self.sender.sent, self.schema, self.sender.changed)

    def _settled(
        self,
        transaction: WriteTransaction,
        parts: Sequence[Part],
        stages: Sequence[Stage],
        details: dict[RowId, Base],
        file: File | None,
    ) -> Settled:
        replica = self.push.replica
        bases = replace(bases_of(transaction, self.bases, offered=self.push.offered), file=file)
        context = PushContext(transaction, self.schema, self.sender.rules, bases, replica, details)
        return settle(context, parts, stages)

    def _commit(
        self,
        transaction: WriteTransaction,
        stages: Sequence[Stage],
        settled: Settled,
        before: Set[RowId] = frozenset(),
        rest: Rest = ALONE,
    ) -> dict[RowId, Refused]:
        """Write the stages; what goes with that, and what is stored otherwise than sent, is added to what was
        settled. `before`: rows of the push that were rejected already; `rest`: what it does otherwise."""
        bases = cache(partial(bases_of, transaction, self.bases, offered=self.push.offered))
        cascades = Cascades(transaction, self.schema, self.push.replica, bases, rest, before)
        cascades.look(stages)
        again = partial(cascades.look_again, stages)
        refused = commit_stages(transaction, self.schema, stages, self.push.replica, before, again)
        cascades.tell(stages, settled)
        for stage in stages:
            settled.overrides |= dict.fromkeys(self._differing(transaction, stage))
        return refused

    def _file(self, transaction: WriteTransaction, client: Client) -> File | None:
        """What is known of a file whose edits were made under a former id of it."""
        push = self.push
        if not push.carried:
            return None
        own = own_of(transaction, client, self.told.position)
        return File(own, frozenset(lineages_of(transaction.ledger, client)), push.offered)

    def _differing(self, transaction: WriteTransaction, stage: Stage) -> list[RowId]:
        table = self.schema.by_number[stage.table]
        if table.exact:  # no trigger either that would turn a delete into an update
            return []
        return [row_id(self.schema, stage, row) for row in transaction.rows.differing(stage)]

    def _repeat(self, transaction: WriteTransaction, client: Client) -> Verdict:
        """The verdict stands, but rows are answered as they are now (law L3)."""
        with as_kept("the record of a replica"):
            kept = msgspec.msgpack.decode(client.verdict, type=Kept)
        present = self.schema.by_number
        rows: dict[RowId, None] = {
            (table, tuple(key)): None for table, key in kept.overrides if table in present
        }
        rows |= dict.fromkeys(self._changed_since(transaction))
        conflicts: list[ConflictRow] = []
        if kept.first_conflict:
            found = transaction.ledger.conflicts(self.push.replica, False, kept.first_conflict - 1, 1_000_000)
            conflicts = [row for row in found if row.push == self.push.number]
        verdict = self._verdict(transaction, kept, rows, conflicts, repeat=True)
        return msgspec.structs.replace(verdict, seal=seal_of(client.chain))

    def _changed_since(self, transaction: WriteTransaction) -> list[RowId]:
        """The rows of the push that others changed and the replica had not seen."""
        parts = self._brought(self.parts).parts
        return self._met(transaction, parts, stages_of(parts))

    def _met(
        self, transaction: WriteTransaction, parts: Sequence[Part], stages: Sequence[Stage]
    ) -> list[RowId]:
        for stage in stages:
            transaction.rows.stage(stage)
        bases = bases_of(transaction, self.bases, offered=self.push.offered)
        rivals = rivals_of(transaction, stages, parts, bases, self.push.replica)
        return [
            (part.table, part.keys[row])
            for part, others in zip(parts, rivals, strict=True)
            for row in {*others, *bases.lost_rows(part)}
        ]

    def _verdict(
        self,
        transaction: WriteTransaction,
        kept: Kept,
        rows: dict[RowId, None],
        conflicts: list[ConflictRow],
        *,
        repeat: bool,
    ) -> Verdict:
        number = self.push.number
        body, digest = seal(rows_now(transaction, self.schema, rows))
        notes = [note_of(row) for row in conflicts]
        hlc = sane(kept.hlc, transaction.ledger.milliseconds(), self.tolerance) if kept.hlc else 0
        told = digest, msgspec.Raw(body), kept.rejected, notes
        return Verdict(number, [], *told, hlc, repeat, made=kept.made)

    def _rejections(self, settled: Settled, refused: dict[RowId, Refused]) -> list[Rejection]:
        result = []
        for (table, key), rejected in settled.rejected.items():
            above = settled.parents.get((table, key))
            depends: list[object] | None = None if above is None else [above[0], list(above[1])]
            result.append(Rejection(table, list(key), *reason(rejected), depends))
        for (table, key), why in refused.items():
            parent: list[object] | None = None if why.parent is None else [why.parent[0], list(why.parent[1])]
            result.append(Rejection(table, list(key), why.code, why.detail, why.remedy, parent))
        return result

    def _keep_notes(
        self, transaction: WriteTransaction, settled: Settled, refused: dict[RowId, Refused]
    ) -> list[ConflictRow]:
        notes = notes_of(self.schema, settled, refused.keys() | settled.rejected.keys())
        if not notes:
            return []
        now = transaction.ledger.milliseconds()
        rows = [
            conflict_row(self.schema, row, hlc, note, self.push.replica, self.push.number, now)
            for row, hlc, note in notes
        ]
        ids = transaction.ledger.add_conflicts(rows) if rows else []
        return [replace(row, id=number) for row, number in zip(rows, ids, strict=True)]


def check_step(client: Client | None, push: Push | BeginPush | PreparePush | CommitPush) -> Client:
    """The record of the replica that pushes; UnknownReplica, PushOutOfStep unless this push is its next one
    or its last one again."""
    if client is None:
        raise UnknownReplica(f"replica {push.replica} was never registered here")
    if client.number not in (push.number, push.number - 1):
        raise PushOutOfStep(
            f"push {push.number} of replica {push.replica} after push {client.number}",
            code="push_ahead" if push.number > client.number else "push_behind",
        )
    if client.number == push.number and not _is_same(client, push):
        raise PushOutOfStep(
            f"push {push.number} of replica {push.replica} came before with other content",
            code="replica_copied",
        )
    return client


def _is_same(client: Client, push: Push | BeginPush | PreparePush | CommitPush) -> bool:
    return client.digest == push.digest and (isinstance(push, BeginPush) or is_repeat(client, push))


def newest_of(parts: Sequence[Part]) -> int:
    """The highest HLC of these parts."""
    return max((max(part.hlc) for part in parts if part.hlc), default=0)
