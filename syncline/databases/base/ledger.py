"""The ledger: what the hub keeps besides the user's rows and their log. Written once, for every database.

Replicas, conflicts, large pushes on their way, the clock, turns at pruning, moments of the log.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from syncline.databases.base.cells import cells
from syncline.databases.base.dialect import NOW, LedgerSession, Statements, Value
from syncline.databases.base.layouts import LAYOUT, other_layout
from syncline.databases.base.lines import Line
from syncline.databases.base.tables import (
    CHUNKS,
    CLAIMS,
    CLIENTS,
    CONFLICTS,
    GIVEN,
    MOMENTS,
    SETTINGS,
    STAMPS,
    UPLOADS,
    VERSIONS,
)
from syncline.errors import LedgerDamaged, NotPrepared
from syncline.hub.contract import (
    Cell,
    Claim,
    Client,
    ConflictRow,
    Counted,
    Remembered,
    Stamped,
    Upload,
    UploadedChunk,
)
from syncline.hub.contract.kept import as_kept, kept_json
from syncline.model.clock import stamp
from syncline.model.schema import Schema, from_plain, to_plain

SLACK = 60_000
"""Milliseconds that the clock may be ahead besides what replicas may: a push takes its time."""

STAMPS_PAGE = 500
"""Pushes whose stamps are read at once, at most."""

STAMPS_BYTES = 32 * 1024 * 1024
"""Bytes of stamps that are read at once, but for a push that alone has more."""

FORGOTTEN = "forgotten"
"""The setting that says up to when stamps are forgotten."""

TOLD = "told"
"""The setting that says how many bytes files told of rejected edits."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FAR = 2**53
"""No number of pushes or of edits gets so high."""


class Ledger:
    """The ledger within one open transaction. Where that only reads, what writes or locks is not called."""

    def __init__(self, session: LedgerSession) -> None:
        self.session, statements = session, Statements(session, "ledger.sql")
        self._run, self._count = statements.run, statements.count

    def identity(self) -> tuple[str, str]:
        """The hub's id, and the fingerprint of the schema in force. NotPrepared for another layout."""
        for layout, hub, fingerprint in self._run("identity"):
            kinds = {"layout": isinstance(layout, int), "hub": isinstance(hub, str)}
            for column, is_fit in {**kinds, "fingerprint": isinstance(fingerprint, str)}.items():
                if not is_fit:
                    state = self.session.dialect.table("state")
                    raise LedgerDamaged(f"{state}: the column {column} was altered, it is of another kind")
            if layout != LAYOUT:
                raise other_layout(layout)
            return hub, fingerprint
        raise NotPrepared("the central database holds tables of Syncline without a layout")

    def is_begun(self) -> bool:
        """Whether there is the row that says which layout it is."""
        return bool(self._run("identity"))

    def is_of_this_layout(self) -> bool:
        """Whether it is one of this version's."""
        return any(layout == LAYOUT for layout, *_ in self._run("identity"))

    def cells(self) -> Iterator[Cell]:
        """Every cell, as it stands."""
        return cells(self.session)

    # Replicas

    def client(self, replica: str) -> Client | None:
        """The replica's record."""
        rows = self._run("client", replica)
        return _client(rows[0]) if rows else None

    def clients(self, after: str, limit: int) -> list[Client]:
        """Replicas by id, without their verdicts."""
        return [_client(row) for row in self._run("clients", after, limit)]

    def known_clients(self, names: Collection[str]) -> frozenset[str]:
        """Those that have a record."""
        return frozenset(name for (name,) in self._run("known clients", json.dumps(list(names))))

    def lock_client(self, replica: str) -> Client | None:
        """The replica's record, locked until the end."""
        row = self.session.lock_row(CLIENTS, replica)
        return None if row is None else _client(row)

    def lock_new_client(self, replica: str) -> Client | None:
        """The record of a replica that is about to be made; who makes one at the same time waits."""
        self._count("one at a time")
        return self.lock_client(replica)

    def save_client(self, client: Client) -> None:
        """Insert or replace the record."""
        row: list[Value] = [client.replica, client.number, client.digest, client.verdict]
        row += [_stored(client.last_push), _stored(client.last_pull), client.name, client.fingerprint]
        row += [_stored(client.registered), _stored(client.last_seen), client.watermark]
        row += [int(client.revoked), int(client.forgotten), client.actor, client.pending]
        row += [client.chain, client.root, int(client.departed), client.own, _stored(client.asked)]
        self.session.upsert(CLIENTS, row)

    def drop_client(self, replica: str) -> None:
        """Remove the record."""
        self._count("drop client", replica)

    def count_clients(self, owner: str, seconds: float) -> Counted:
        """How many there are."""
        ((everybody, unused, recent),) = self._run("count owned", owner, owner, int(seconds * 1000))
        return Counted(int(everybody), int(unused), int(recent))

    def drop_unused_clients(self, seconds: float) -> int:
        """Remove those that were registered and never heard of again."""
        return self._count("drop unused", int(seconds * 1000))

    # Stamps

    def stamps_of(self, lineages: Collection[str]) -> Iterator[Stamped]:
        """What is remembered of lineages, a bounded number of pushes and bytes at a time."""
        asked, after = json.dumps(list(lineages)), ("", "", 0)
        while count := self._fitting(asked, after) if lineages else 0:
            rows = self._run("stamps", asked, *after, count)
            for lineage, replica, push, tails, rejected, made in rows:
                packed = bytes(tails or b""), bytes(rejected or b"")
                yield Stamped(lineage, replica, int(push), *packed, int(made))
                after = lineage, replica, int(push)

    def _fitting(self, asked: str, after: tuple[str, str, int]) -> int:
        """How many of the next pushes are read at once; at least one, if there is one."""
        sizes = [int(size) for *_, size in self._run("remembered", asked, *after, STAMPS_PAGE)]
        return max(sum(total <= STAMPS_BYTES for total in itertools.accumulate(sizes)), min(len(sizes), 1))

    def pushes_of(self, lineages: Collection[str]) -> Iterator[Remembered]:
        """Of which pushes something is remembered, without it."""
        asked, after, more = json.dumps(list(lineages)), ("", "", 0), bool(lineages)
        while more:
            rows = self._run("remembered", asked, *after, STAMPS_PAGE)
            for lineage, replica, push, made, _ in rows:
                after = lineage, replica, int(push)
                yield Remembered(*after, int(made))
            more = len(rows) == STAMPS_PAGE

    def stamps(self, of: Remembered) -> Stamped | None:
        """What is remembered of one push."""
        place = of.lineage, of.replica, of.push
        for tails, rejected, made in self._run("stamps of a push", *place):
            return Stamped(*place, bytes(tails or b""), bytes(rejected or b""), int(made))
        return None

    def remember(self, stamped: Stamped) -> None:
        """Keep the stamps of one push, as of now."""
        row: list[Value] = [stamped.lineage, stamped.replica, stamped.push, NOW]
        self.session.upsert(STAMPS, [*row, stamped.tails, stamped.rejected])

    def forget_stamps(self, seconds: float, limit: int) -> int:
        """Forget what is older; how many pushes."""
        rows = self._run("old stamps", int(seconds * 1000), limit)
        if not rows:
            return 0
        newest = int(rows[-1][0])
        self.set(FORGOTTEN, json.dumps(max(newest, self.forgotten())))
        ((told,),) = self._run("told until", newest)
        if told:
            self._count_told(-int(told))
        return self._count("forget stamps", newest)

    def forgotten(self) -> int:
        """Of when the newest were that are forgotten; 0 if none are."""
        kept = self.setting(FORGOTTEN)
        return 0 if kept is None else int(kept_json("a setting", kept))

    def count_told(self, lineage: str, octets: int) -> tuple[int, int]:
        """Count what was just told; what there is of it."""
        together = self._count_told(octets)
        ((own,),) = self._run("told of", lineage)
        return int(own), together

    def _count_told(self, octets: int) -> int:
        """All together, with these. They are not added up each time: a hub has millions of pushes."""
        kept = self.lock_new_setting(TOLD)
        together = max(0, octets + (0 if kept is None else int(kept_json("a setting", kept))))
        self.set(TOLD, json.dumps(together))
        return together

    # Stamps that were cut

    def claims(self, origin: str, lowest: int, highest: int) -> list[Claim]:
        """What stamps of one origin were before they were cut."""
        rows = self._run("claims", origin, lowest, highest)
        return [Claim(origin, int(hlc), int(claim)) for hlc, claim in rows]

    def note_claims(self, claims: Sequence[Claim]) -> None:
        """Keep them, as of now."""
        self.session.upsert_many(CLAIMS, [[one.origin, one.hlc, one.claim, NOW] for one in claims])

    def forget_claims(self, seconds: float) -> int:
        """Forget what is older: hardly ever anything."""
        return self._count("forget claims", int(seconds * 1000))

    # Settings

    def setting(self, name: str) -> str | None:
        """What was kept under a name."""
        rows = self._run("setting", name)
        return rows[0][0] if rows else None

    def lock_new_setting(self, name: str) -> str | None:
        """What is kept under a name; who makes something at the same time waits."""
        self._count("one at a time")
        return self.setting(name)

    def set(self, name: str, content: str) -> None:
        """Keep it under a name."""
        self.session.upsert(SETTINGS, [name, content])

    # Schemas that replicas were given

    def given(self, fingerprint: str) -> str | None:
        """A schema that is kept."""
        rows = self._run("given", fingerprint)
        return rows[0][0] if rows else None

    def all_given(self) -> frozenset[str]:
        """The fingerprints of all that are kept."""
        return frozenset(fingerprint for (fingerprint,) in self._run("all given"))

    def give(self, fingerprint: str, definition: str) -> None:
        """Keep a schema, as of now."""
        self.session.upsert(GIVEN, [fingerprint, definition, NOW])

    def forget_given(self, keep: Collection[str], seconds: float) -> int:
        """Remove old ones, but for some."""
        old = [name for (name,) in self._run("old given", int(seconds * 1000)) if name not in keep]
        return sum(self._count("forget given", name) for name in old)

    # Conflicts

    def conflicts(self, replica: str | None, open_only: bool, after: int, limit: int) -> list[ConflictRow]:
        """Kept conflicts with an id above `after`, in order of their ids."""
        name = "open conflicts" if open_only else "conflicts"
        if replica is None:
            return [_conflict(row) for row in self._run(name, after, limit)]
        return [_conflict(row) for row in self._run(f"{name} of one", replica, after, limit)]

    def add_conflicts(self, conflicts: Sequence[ConflictRow]) -> list[int]:
        """Keep conflicts; their ids, in order."""
        rows: list[list[Value]] = [
            [one.replica, one.push, int(one.open), _stored(one.data.get("at")), json.dumps(one.data)]
            for one in conflicts
        ]
        return self.session.many(CONFLICTS, rows) if rows else []

    def resolve_conflict(self, number: int) -> ConflictRow | None:
        """The conflict, locked."""
        row = self.session.lock_row(CONFLICTS, number)
        return None if row is None else _conflict(row)

    def save_resolution(self, number: int, outcome: str, resolution: Any) -> None:
        """Close a conflict."""
        conflict = self.resolve_conflict(number)
        if conflict is not None:
            data = {**conflict.data, "outcome": outcome, "resolution": resolution}
            self._count("save resolution", json.dumps(data), number)

    def drop_conflicts(self, seconds: float, limit: int) -> int:
        """Remove old conflicts that are closed; how many went."""
        age = int(seconds * 1000)
        rows = self._run("old conflicts", age, limit)
        return self._count("drop conflicts", int(rows[-1][0]), age) if rows else 0

    # Large pushes

    def lock_upload(self, replica: str) -> Upload | None:
        """The upload, locked until the end."""
        row = self.session.lock_row(UPLOADS, replica)
        if row is None:
            return None
        name, push, digest, fingerprint, chunks, count, bases, _ = row
        return Upload(name, push, digest or "", fingerprint or "", chunks, count, json.loads(bases))

    def save_upload(self, upload: Upload, *, keep: bool = False) -> None:
        """Keep it; another one of the replica's goes."""
        self._count("forget chunks", upload.replica, upload.chunks if keep else 0)
        row: list[Value] = [upload.replica, upload.number, upload.digest, upload.schema]
        row += [upload.chunks, upload.rows, json.dumps(upload.bases), NOW]
        self.session.upsert(UPLOADS, row)

    def forget_upload(self, replica: str) -> None:
        """Remove the upload and its chunks."""
        self._count("forget upload", replica)
        self._count("forget chunks", replica, 0)

    def uploads_size(self) -> int:
        """Bytes of all chunks."""
        ((octets,),) = self._run("uploads size")
        return int(octets)

    def sweep_uploads(self, seconds: float) -> None:
        """Remove what was begun longer ago: hardly ever anything."""
        for (replica,) in self._run("old uploads", int(seconds * 1000)):
            self.forget_upload(replica)

    def save_chunk(self, replica: str, chunk: int, content: UploadedChunk) -> None:
        """Insert or replace a chunk."""
        octets = len(content.body) + len(content.details)
        self.session.upsert(CHUNKS, [replica, chunk, content.digest, octets, content.details, content.body])

    def chunks_kept(self, replica: str) -> list[tuple[int, str, int]]:
        """Number, digest and size of each chunk."""
        return [(chunk, digest, octets) for chunk, digest, octets in self._run("chunks kept", replica)]

    def uploaded_chunk(self, replica: str, chunk: int) -> UploadedChunk | None:
        """One chunk."""
        rows = self._run("chunk", replica, chunk)
        return UploadedChunk(rows[0][0], rows[0][1] or b"", rows[0][2] or b"") if rows else None

    # Versions of the schema

    def in_force(self) -> Schema | None:
        """The version in force; None before the first was saved."""
        return _schema(self._run("version in force"))

    def before(self) -> str:
        """Which columns keep their old values, as it is kept; see `before`."""
        return str(self._run("kept old")[0][0])

    def lines(self) -> list[Line]:
        """What is recorded of the tracked tables, where `planning` has prepared them."""
        return [Line(*row) for row in self._run("lines")]

    def save_version(self, schema: Schema) -> bool:
        """Keep a version and put it into force; whether it was not before."""
        if self.identity()[1] == schema.fingerprint:  # asked first: over SQLite any UPDATE takes the lock
            return False
        self._count("use version", schema.fingerprint, schema.fingerprint)
        self.session.upsert(VERSIONS, [schema.fingerprint, body_of(schema), NOW])
        return True

    def forget_versions(self, keep: Collection[str]) -> int:
        """Remove versions but for these fingerprints and the one in force: few, once in a long while."""
        known = [fingerprint for (fingerprint,) in self._run("versions")]
        return sum(self._count("forget version", one) for one in known if one not in keep)

    # Clock, turns, moments

    def milliseconds(self) -> int:
        """The database's wall clock."""
        return self.session.now()

    def clock(self) -> int:
        """The highest HLC known. Where writers run beside each other, that of the wall if it is ahead."""
        ((clock, now),) = self._run("clock")
        return int(clock) if self.session.dialect.one_writer else max(int(clock), stamp(int(now)))

    def raise_clock(self, hlc: int, ahead: int) -> None:
        """Make direct writes from now on carry an HLC above this."""
        if self.session.dialect.one_writer:
            self._count("raise clock", hlc, hlc, ahead + SLACK)
        else:
            self._count("raise clock beside others", hlc, hlc, hlc, ahead + SLACK)

    def take_turn(self, interval: float) -> bool:
        """Whether the log was last pruned so long ago; if so, it counts as pruned now."""
        return self._count("take turn", int(interval * 1000)) == 1

    def note_place(self, place: int, floor: int) -> None:
        """Remember that everything in the log up to `place` is there now; forget what is below `floor`. Of
        the moments of one place the oldest says it all."""
        ((newest,),) = self._run("newest place")
        if newest is None or newest < place:
            self.session.upsert(MOMENTS, [NOW, place])
        self._count("forget moments", floor)

    def place_before(self, seconds: float) -> int:
        """Up to which place the log is certainly that old; 0 if that is not known of any."""
        ((place,),) = self._run("place before", int(seconds * 1000))
        return int(place or 0)

    def losses(self) -> list[str]:
        """What would go for ever with the ledger, in sentences."""
        ((replicas,),), ((conflicts, still_open),) = self._run("count clients"), self._run("count conflicts")
        said = []
        if replicas:
            said.append(f"{replicas} registered replicas are forgotten; they must be cloned again")
        if conflicts:
            said.append(f"{conflicts} kept conflicts are forgotten, {int(still_open)} of them open")
        return said


def body_of(schema: Schema) -> str:
    """A version of the schema as it is kept."""
    return json.dumps(to_plain(schema), sort_keys=True)


@as_kept("a version of the schema")
def _schema(rows: Sequence[Sequence[Any]]) -> Schema | None:
    return from_plain(json.loads(rows[0][0])) if rows else None


def _stored(moment: str | None) -> Value:
    """An ISO 8601 time in milliseconds since 1970 UTC; 'now' stands for the database's."""
    if moment is None:
        return None
    if moment == "now":
        return NOW
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1)


def _said(moment: int | None) -> str | None:
    """The inverse of `_stored`, in UTC."""
    if moment is None:
        return None
    text = (EPOCH + timedelta(milliseconds=int(moment))).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@as_kept("the record of a replica")
def _client(row: Sequence[Any]) -> Client:
    replica, push, digest, verdict, last_push, last_pull, name, fingerprint, *rest = row
    (
        registered,
        last_seen,
        watermark,
        revoked,
        forgotten,
        actor,
        pending,
        chain,
        root,
        departed,
        own,
        asked,
    ) = rest
    if not (0 <= int(push) < FAR and 0 <= int(pending) < FAR):
        raise ValueError("a number of pushes or of edits below 0, or beyond all that can be")
    return Client(
        replica=replica,
        number=int(push),
        digest=digest or "",
        verdict=verdict or b"",
        last_push=_said(last_push),
        last_pull=_said(last_pull),
        name=name or "",
        fingerprint=fingerprint or "",
        registered=_said(registered),
        last_seen=_said(last_seen),
        watermark=watermark or "",
        revoked=bool(revoked),
        forgotten=bool(forgotten),
        actor=actor or "",
        pending=int(pending),
        chain=chain or "",
        root=root or "",
        departed=bool(departed),
        own=own or "",
        asked=_said(asked),
    )


@as_kept("a conflict")
def _conflict(row: Sequence[Any]) -> ConflictRow:
    number, replica, push, unresolved, _, data = row
    return ConflictRow(int(number), replica, int(push), bool(unresolved), json.loads(data))
