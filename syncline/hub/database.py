"""The contract between the hub and a central database. Every database folder implements it.

The conformance suite `syncline.testing.conformance` is this contract as tests.

Rows are lists in the portable form of `model.values`: key values in key order, then value columns. An
adapter converts to and from the database's own types inside SQL (casts) or in sets, never row by row in
Python on the hot path. Values are bound, names quoted, always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from syncline.errors import Conflict, WatermarkRefused
from syncline.model.finding import Finding
from syncline.model.schema import Schema
from syncline.model.values import Value


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a process uses the central database: at most `pool` connections; timeouts in seconds.

    `lock_timeout` is the longest wait for a row that others hold, `statement_timeout` for any one statement
    (0: no limit)."""

    pool: int = 10
    statement_timeout: float = 0.0
    lock_timeout: float = 15.0


class Outdated(Conflict):
    """What this process keeps in memory of the layout is no longer true: another one has prepared the
    database anew. Nothing was done; `load` again, then begin again with what was sent."""


Form = Literal["insert", "update", "delete"]
Key = tuple[Value, ...]
Take = Callable[[int], Sequence[Sequence[Value]]]
"""Gives the next rows of a scan, as many as it is told."""


class Position(Protocol):
    """How far a database's log was seen; parsed from the database's part of a watermark."""

    def sees(self, place: Any) -> bool:
        """Whether the log entry at `place` (Rival.place) had been seen."""

    def token(self) -> str:
        """ASCII text without '|' from which `Database.position` makes an equal position."""


Standing = Literal["sound", "pruned", "restored"]
"""What a position is worth: the log goes on from it; entries it has not seen are gone; or it was given out
in a past that the database has gone back from (or is of another cluster, or ahead of the log)."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Where the log begins: `position` has seen what is gone and nothing else, `hlc` is the highest HLC
    of what is gone, and never lower than that of any."""

    position: Position
    hlc: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What one bounded step of pruning or compacting took away; `more` if another step has work to do."""

    entries: int
    more: bool


@dataclass(slots=True)
class Stage:
    """Rows of one table and one form, loaded into the database for joins.

    `rows[i]` is key + values of `columns` (indices into the table's `values`; empty for delete).
    `op` and `hlc[i]` go to the log, with the mask of `columns` (insert, delete and op R: every column).
    `entries` replaces that where one row needs several log entries: (i, mask, hlc).
    `handle` belongs to the adapter; `discarded` are the rows that the engine has taken out.
    """

    table: int
    form: Form
    op: str
    columns: list[int]
    rows: list[list[Value]]
    hlc: list[int]
    entries: list[tuple[int, int, int]] | None = None
    handle: Any = None
    discarded: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Rival:
    """A log entry by another origin on staged row `row`."""

    row: int
    place: Any
    op: str
    mask: int
    hlc: int
    origin: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A staged row that the database will not hold. `parent` is (table position, key) if a foreign key
    of the row points at a row that is not there (or, for a delete, None: a child still points here)."""

    stage: Stage
    row: int
    code: str
    detail: str
    parent: tuple[int, Key] | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """A replica as the hub keeps it. `verdict` is the engine's own bytes, `watermark` the token of the
    position that it has confirmed: the `after` of its last noted pull, or of its registration. `actor` is
    the `Actor.owner` of whoever registered it."""

    replica: str
    number: int = 0
    digest: str = ""
    verdict: bytes = b""
    last_push: str | None = None
    last_pull: str | None = None
    name: str = ""
    fingerprint: str = ""
    registered: str | None = None
    last_seen: str | None = None
    watermark: str = ""
    revoked: bool = False
    forgotten: bool = False
    actor: str = "anyone"


@dataclass(frozen=True, slots=True)
class Upload:
    """A large push as it was announced: `messages.BeginPush` without its version. One a replica."""

    replica: str
    number: int
    digest: str
    schema: str
    chunks: int
    rows: int
    bases: list[str]


@dataclass(frozen=True, slots=True)
class UploadedChunk:
    """A chunk as it was sent; `details` are the engine's own bytes."""

    digest: str
    body: bytes
    details: bytes


@dataclass(frozen=True, slots=True)
class LogPage:
    """New log entries, coalesced per row: `touched[table position] = [(key, mask, deleted?)...]` with the
    mask of every column in entries I and R. `end` is where the page ends; `more` if entries remain;
    `cut` if the rows read in this transaction together with everything before are one instant."""

    touched: dict[int, list[tuple[Key, int]]]
    end: Position
    more: bool
    hlc: int


@dataclass(slots=True)
class Prepared:
    """What `Database.prepare` or `remove` did or, with dry_run, would do: SQL statements and sentences."""

    statements: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Database(Protocol):
    """A central database. Safe to use from several threads; keeps a bounded pool of connections.

    Errors: DatabaseUnavailable, NotPrepared, SchemaError, Conflict (run the transaction again);
    constraint trouble inside `write` is a Refusal, not an error. Outdated, from `read` and `write` alone.
    """

    @property
    def hub_id(self) -> str:
        """A uuid made at the first `prepare`, kept in the database; NotPrepared if there is none."""

    def reflect(self, tables: Sequence[str] | None) -> Schema:
        """The user's tables (all that can take part, or those named), in portable form.

        Raises SchemaError naming every named table that does not exist or cannot take part, and why.
        """

    def prepare(self, schema: Schema, *, dry_run: bool = False) -> Prepared:
        """Create Syncline's own tables and the capture triggers. Idempotent; alters no user table."""

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """The opposite of `prepare`: take everything of Syncline's away; the user's tables stay as they are.

        Idempotent, in one transaction. DatabaseError `depended_on`, naming them, if objects of the user's
        are built on Syncline's own."""

    def examine(self, schema: Schema) -> list[Finding]:
        """What is wrong, or worth knowing, when `schema` should be prepared. Changes nothing."""

    def load(self) -> Schema:
        """The schema as last prepared. NotPrepared if it was not, or an older layout is found."""

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """One transaction that commits on success and rolls back on any error.

        Every later statement sees what others committed before it (READ COMMITTED or a write lock)."""

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """One read-only transaction in which everything is seen as of one instant."""

    def position(self, token: str) -> Position:
        """Parse a position token; ValueError if it is not one of this kind of database.

        A token of another cluster gives a position that has seen nothing and is `restored`."""

    def hint(self) -> None:
        """Wake every `Watch` on this database, in whatever process. It may be lost: nothing relies on it."""

    def watch(self) -> Watch:
        """Begin to listen for hints."""

    def close(self) -> None: ...


class Watch(Protocol):
    """Somebody who waits for news: a hint of a hub, or what another program has committed.

    For one thread at a time. A wait may end for nothing, and after trouble it does; whoever waits pulls to
    see whether there is anything (law L4 rests on the pull alone).
    """

    def wait(self, seconds: float) -> bool:
        """True as soon as something may be new since the last wait, False after `seconds`.

        What a hub committed ends the wait at once, what other programs wrote within a second or so.
        Raises DatabaseUnavailable; the next wait connects again, and ends at once."""

    def close(self) -> None: ...


class ReadTransaction(Protocol):
    def now(self) -> Position:
        """The position of this transaction's instant: it has seen exactly what is visible in it."""

    def entries(self, after: Position, without: str, limit: int) -> LogPage:
        """Log entries not seen by `after` and visible now, except those of origin `without`, about
        `limit` rows at most. Positions advance so that no entry is skipped or left for ever (law L4).
        With nothing new, `touched` is empty and `end` equals `now()` or `after`.

        WatermarkRefused `watermark_pruned` or `centre_restored` if `after` is not sound."""

    def floor(self) -> Floor:
        """Where the log begins."""

    def standings(self, positions: Sequence[Position]) -> list[Standing]:
        """What each position is worth; one or two statements for all of them."""

    def behind(self, position: Position, at_most: int) -> int:
        """How many log entries a sound position has not seen, counted up to `at_most`."""

    def clients(self, after: str, limit: int) -> list[Client]:
        """Replicas with an id above `after`, by id, without their verdicts; the forgotten ones, too."""

    def rows(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> list[list[Value]]:
        """Key + columns of those rows that exist, in no order."""

    def chunk(self, table: int, after: Key | None, limit: int) -> list[list[Value]]:
        """Up to `limit` whole rows with key greater than `after`, in the database's key order."""

    def scan(self, table: int, after: Key | None, upto: Key | None) -> AbstractContextManager[Take]:
        """Whole rows with a key above `after` up to and with `upto`, in the canonical order of `model.order`
        (whatever the database's own), taken as many at a time as asked for: fewer only at the end. Bounds
        may be any values. Rows whose key holds NULL are left out."""

    def estimate(self) -> int:
        """About how many rows all tables have; cheap."""

    def client(self, replica: str) -> Client | None: ...

    def conflicts(
        self, replica: str | None, open_only: bool, after: int, limit: int
    ) -> list[ConflictRow]: ...


class WriteTransaction(ReadTransaction, Protocol):
    attempt: int
    """How often this transaction was run before, for it met a concurrent one."""

    def wait_longer(self, attempt: int) -> None:
        """Called first in a transaction that is run again, for the `attempt`th time: wait longer for others
        than before, if waiting is bounded at all."""

    def lock_client(self, replica: str) -> Client | None:
        """The replica's record, locked until the end: two pushes of one replica follow each other."""

    def save_client(self, client: Client) -> None:
        """Insert or replace. The times are the database's own when given as 'now'."""

    def lock_upload(self, replica: str) -> Upload | None:
        """The large push that the replica announced last, locked until the end."""

    def save_upload(self, upload: Upload, *, keep: bool = False) -> None:
        """Keep it, as of now; another one of the replica's goes, with its chunks, but for those up to
        `upload.chunks` if they are to `keep`.

        Uploads need not survive a crash of the database: what is lost is sent again."""

    def forget_upload(self, replica: str) -> None:
        """Remove the replica's upload and its chunks, if there is one."""

    def sweep_uploads(self, seconds: float) -> None:
        """Remove every upload that was begun longer ago."""

    def save_chunk(self, replica: str, chunk: int, content: UploadedChunk) -> None:
        """Insert or replace one chunk of the replica's upload."""

    def chunks_kept(self, replica: str) -> list[tuple[int, str, int]]:
        """Number, digest and size in bytes of each chunk that is there, in order of the numbers."""

    def uploaded_chunk(self, replica: str, chunk: int) -> UploadedChunk | None:
        """One chunk."""

    def drop_client(self, replica: str) -> None:
        """Remove the record altogether."""

    def take_turn(self, interval: float) -> bool:
        """Whether the log was last pruned `interval` seconds ago or more; if so, it counts as pruned now.

        Of many who ask at once, one is told True."""

    def note_moment(self) -> None:
        """Remember how long the log is at this time, for `prune`; it removes moments of no more use."""

    def prune(self, held: Sequence[Position], keep: float, longest: float | None, limit: int) -> Removed:
        """Remove entries, about `limit` of them, and raise the floor in the same transaction.

        An entry goes if every position in `held` has seen it and it is older than `keep` seconds, or if it
        is older than `longest`, whoever needs it; never one that an open transaction may still hide. `now()`
        stays what it was. Ages go by the moments noted: without an old enough one nothing goes; with `keep`
        0 the present is one. Positions stay good as `standings` says (laws L4, L11)."""

    def compact(self, limit: int) -> Removed:
        """Look through the next `limit` entries or so and remove those that `hub.compaction.covered` names.

        What is removed can still be the end of somebody's position, which stays sound. At the end of the
        log `more` is False, and the next call goes on with what is new then."""

    def drop_conflicts(self, days: float, limit: int) -> int:
        """Remove up to `limit` conflicts that are closed and older; how many went."""

    def ready(self, stage: Stage) -> None:
        """What of `stage` needs no database, if anything. May be called before it, also in another thread
        while the transaction is busy with something else."""

    def stage(self, stage: Stage) -> None:
        """Load the rows for `lock`, `rivals`, `apply`. Bulk: one COPY or one parameter, not a
        statement a row."""

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        """Lock the staged rows that exist (in table order, then key order: no deadlocks) and return per
        stage the unexpected: for insert the rows that exist, for update and delete those that do not.

        After it, no other transaction can change these rows, and `rivals` sees all who did. `hopeful`: rows
        to insert, which hardly ever exist, need not be looked for; `apply` raises Conflict if one does."""

    def rivals(
        self, stage: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        """Log entries of the staged rows, by origins other than `replica`, that the row's base
        (`bases[base[i]]`; an empty `base` means `bases[0]`) had not seen, in log order."""

    def discard(self, stage: Stage, rows: Sequence[int]) -> None:
        """Take rows out of a stage; the numbers of the others do not change."""

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, in the order given (law L9: the engine gives
        parents first for inserts and updates, children first for deletes; the adapter sees to
        self-references and cycles).

        Immediate and deferred constraints are both checked before it returns. If anything is refused,
        NOTHING of this call stays written (a savepoint), and every row found refused is returned; the
        engine discards them and calls again. An insert that meets a row committed meanwhile: Conflict.
        What cascades and the user's triggers change besides is captured with origin `hub`."""

    def unstage(self) -> None:
        """Everything staged so far is of no use any more: free what it takes (law L11)."""

    def differing(self, stage: Stage) -> list[int]:
        """Rows of an applied insert or update whose stored values are not what was staged."""

    def add_conflicts(self, conflicts: Sequence[ConflictRow]) -> list[int]:
        """Keep conflicts; return their ids (growing)."""

    def resolve_conflict(self, number: int) -> ConflictRow | None:
        """The conflict, locked; None if there is none."""

    def save_resolution(self, number: int, outcome: str, resolution: Any) -> None: ...

    def milliseconds(self) -> int:
        """The database's wall clock, milliseconds since 1970 UTC."""

    def clock(self) -> int:
        """The highest HLC known (floor for direct writes)."""

    def raise_clock(self, hlc: int) -> None:
        """Make direct writes from now on carry an HLC above this. Cheap when the wall is ahead."""


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """`data` is plain: what `protocol.messages.ConflictNote` holds besides `id`, in its JSON form."""

    id: int
    replica: str
    push: int
    open: bool
    data: dict[str, Any]


def batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def refused_watermark(standing: Standing) -> WatermarkRefused:
    """Why a position that is not sound is no place to pull from."""
    if standing == "pruned":
        return WatermarkRefused(
            "the central database no longer keeps the changes since this watermark",
            code="watermark_pruned",
            remedy="Sync again: the device fills itself anew and keeps its pending edits.",
        )
    return WatermarkRefused(
        "the central database has gone back in time, or is another than the one that gave this watermark",
        code="centre_restored",
        remedy="Sync again: the device fills itself anew, keeps its pending edits and offers what was lost.",
    )
