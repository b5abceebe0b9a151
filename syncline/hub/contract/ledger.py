"""What the hub keeps besides the rows and their log: replicas, conflicts, large pushes, the clock.

One implementation serves every database: `syncline.databases.base.Ledger`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Client:
    """A replica as the hub keeps it. `verdict` is the engine's own bytes, `watermark` the token of the
    position that it has confirmed: the `after` of its last noted pull, or of its registration. `fingerprint`
    is that of the schema it had then, `pending` how many edits waited on it. `chain` is the chain's value
    after push `number`, `root` the first id that the file had ('': this one), `departed`: a file has left
    this id, `asked`: when one last asked under it what became of its edits. `own`: the engine's own, what
    the file did under the ids that it had before (see `hub.identity`)."""

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
    pending: int = 0
    chain: str = ""
    root: str = ""
    departed: bool = False
    own: str = ""
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a stamp of a clock that ran ahead was before it was cut to `hlc`."""

    origin: str
    hlc: int
    claim: int


@dataclass(frozen=True, slots=True)
class Stamped:
    """The stamps of one push, 8 bytes each. `rejected` are the engine's own bytes. `made`: when it was
    decided, milliseconds since 1970 UTC, as the database says; not told to it. See `hub.identity`."""

    lineage: str
    replica: str
    push: int
    tails: bytes
    rejected: bytes
    made: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A push of which stamps are remembered; the fields are those of `Stamped`. What is remembered of it does
    not change."""

    lineage: str
    replica: str
    push: int
    made: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many replicas there are: `all` of them; those of one owner that never pulled nor pushed (`unused`),
    and that were registered a short while ago (`recent`)."""

    all: int
    unused: int
    recent: int


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
class Cell:
    """A cell of Syncline's own tables as it stands. `table` and `column` are the ledger's names, `place` says
    which table and row of the database it is, `key` are the values of the row's key. `is_fit`: it is of the
    kind that its column has."""

    table: str
    column: str
    place: str
    key: tuple[Any, ...]
    value: Any
    is_fit: bool = True


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """`data` is plain: what `protocol.messages.ConflictNote` holds besides `id`, in its JSON form."""

    id: int
    replica: str
    push: int
    open: bool
    data: dict[str, Any]


class ReadLedger(Protocol):
    """The ledger as of the instant of a transaction."""

    def client(self, replica: str) -> Client | None:
        """The replica's record."""

    def clients(self, after: str, limit: int) -> list[Client]:
        """Replicas with an id above `after`, by id, without their verdicts; the forgotten ones, too."""

    def known_clients(self, names: Collection[str]) -> frozenset[str]:
        """Those of these ids that have a record; thousands may be asked for at once."""

    def stamps_of(self, lineages: Collection[str]) -> Iterator[Stamped]:
        """The stamps that are remembered of these lineages, millions maybe, a bounded number of pushes and
        bytes at a time."""

    def pushes_of(self, lineages: Collection[str]) -> Iterator[Remembered]:
        """Of which pushes `stamps_of` would tell now. It takes no longer if these have millions of stamps."""

    def stamps(self, of: Remembered) -> Stamped | None:
        """What is remembered of that push; None if nothing is."""

    def forgotten(self) -> int:
        """When the newest push was made whose stamps are forgotten, milliseconds since 1970 UTC; 0 if none
        are. Never less than before, however long stamps are remembered by now."""

    def setting(self, name: str) -> str | None:
        """What was kept under a name (JSON), None if nothing was."""

    def cells(self) -> Iterator[Cell]:
        """Every cell of Syncline's own tables but for the user's values: to find one that was altered."""

    def milliseconds(self) -> int:
        """The database's wall clock, milliseconds since 1970 UTC."""

    def clock(self) -> int:
        """The highest HLC known (floor for direct writes)."""

    def given(self, fingerprint: str) -> str | None:
        """A schema that replicas were given and may still have: JSON of `model.schema.to_plain`."""

    def all_given(self) -> frozenset[str]:
        """The fingerprints of all of these: as many as the schema had versions lately."""

    def conflicts(
        self, replica: str | None, open_only: bool, after: int, limit: int
    ) -> list[ConflictRow]: ...


class Ledger(ReadLedger, Protocol):
    """The ledger in a transaction that writes."""

    def lock_client(self, replica: str) -> Client | None:
        """The replica's record, locked until the end: two pushes of one replica follow each other."""

    def lock_new_client(self, replica: str) -> Client | None:
        """`lock_client` for a replica that has no record yet, when one is about to be made: of two who make
        one at the same time, be it of one id or of two, the second waits until the end of the first."""

    def save_client(self, client: Client) -> None:
        """Insert or replace. The times are the database's own when given as 'now'."""

    def drop_client(self, replica: str) -> None:
        """Remove the record altogether."""

    def count_clients(self, owner: str, seconds: float) -> Counted:
        """How many there are; `recent` are those registered within so many seconds."""

    def drop_unused_clients(self, seconds: float) -> int:
        """Remove those that were registered longer ago, never pulled nor pushed, and are not locked out; how
        many went."""

    def remember(self, stamped: Stamped) -> None:
        """Keep the stamps of a push, as of now."""

    def count_told(self, lineage: str, octets: int) -> tuple[int, int]:
        """So many more bytes were just remembered that a file tells of rejected edits, under a number below
        those of all pushes. How many there are of this lineage, and of all together. Of two who ask at the
        same time the second waits until the end of the first."""

    def forget_stamps(self, seconds: float, limit: int) -> int:
        """Forget those of pushes that were made longer ago, about `limit` of them; how many went."""

    def claims(self, origin: str, lowest: int, highest: int) -> list[Claim]:
        """The stamps of one origin that were cut, with what they are now within these bounds."""

    def note_claims(self, claims: Sequence[Claim]) -> None:
        """Keep them, as of now, each in the place of one with its origin and stamp; thousands at once."""

    def forget_claims(self, seconds: float) -> int:
        """Forget those noted longer ago; how many went."""

    def lock_new_setting(self, name: str) -> str | None:
        """`setting` for a name under which nothing is kept yet, when something is about to be: of two who
        make it at the same time the second waits, and then finds it."""

    def set(self, name: str, content: str) -> None:
        """Keep JSON under a name; all servers of the hub see it."""

    def give(self, fingerprint: str, definition: str) -> None:
        """Keep a schema that replicas are given from now on."""

    def forget_given(self, keep: Collection[str], seconds: float) -> int:
        """Remove those given out longer ago, but for some; how many went."""

    def lock_upload(self, replica: str) -> Upload | None:
        """The large push that the replica announced last, locked until the end."""

    def save_upload(self, upload: Upload, *, keep: bool = False) -> None:
        """Keep it, as of now; another one of the replica's goes, with its chunks, but for those up to
        `upload.chunks` if they are to `keep`.

        Uploads need not survive a crash of the database: what is lost is sent again."""

    def forget_upload(self, replica: str) -> None:
        """Remove the replica's upload and its chunks, if there is one."""

    def uploads_size(self) -> int:
        """Bytes of all chunks that are kept."""

    def sweep_uploads(self, seconds: float) -> None:
        """Remove every upload that was begun longer ago."""

    def save_chunk(self, replica: str, chunk: int, content: UploadedChunk) -> None:
        """Insert or replace one chunk of the replica's upload."""

    def chunks_kept(self, replica: str) -> list[tuple[int, str, int]]:
        """Number, digest and size in bytes of each chunk that is there, in order of the numbers."""

    def uploaded_chunk(self, replica: str, chunk: int) -> UploadedChunk | None:
        """One chunk."""

    def add_conflicts(self, conflicts: Sequence[ConflictRow]) -> list[int]:
        """Keep conflicts; return their ids (growing)."""

    def resolve_conflict(self, number: int) -> ConflictRow | None:
        """The conflict, locked; None if there is none."""

    def save_resolution(self, number: int, outcome: str, resolution: Any) -> None: ...

    def drop_conflicts(self, seconds: float, limit: int) -> int:
        """Remove up to `limit` conflicts that are closed and older; how many went."""

    def forget_versions(self, keep: Collection[str]) -> int:
        """Forget the versions of the schema whose fingerprints are not among these, never the one in force;
        how many went."""

    def raise_clock(self, hlc: int, ahead: int) -> None:
        """Make direct writes from now on carry an HLC above this. Cheap when the wall is ahead. A clock that
        is further ahead of the wall clock than replicas may be (`ahead`, milliseconds) was set by a wall
        clock that was wrong, and becomes this."""

    def take_turn(self, interval: float) -> bool:
        """Whether the log was last pruned `interval` seconds ago or more; if so, it counts as pruned now.

        Of many who ask at once, one is told True."""
