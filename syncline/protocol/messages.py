"""The messages, as positional records: MessagePack carries them as arrays, JSON with names.

Rows: see `model.schema`. A group holds rows of one table, one operation and one set of columns, so that
rows go from a cursor to `executemany` without being taken apart. Where groups are encoded, columns of uuids
are packed (`protocol.packing`); groups in memory never are.

Operations of a push: I inserted, R removed and created again, U updated, D deleted, - created and
removed before it was sent. Operations of the hub's answers: U put these columns (the whole row when
`columns` names every value column: insert it if it is absent), D the row is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from msgspec import Meta, Raw, Struct

from syncline.model.plain import to_plain
from syncline.model.values import INTEGER_MAX, INTEGER_MIN

if TYPE_CHECKING:
    from syncline.model.values import Value
else:
    # msgspec has no union of text and bytes; `protocol.body` checks the cells of what arrives.
    Value = Annotated[Any, Meta(extra={"cell": True})]

PROTOCOL_VERSION = 1
OLDEST_VERSION = 1
"""A server speaks the current version and the one before; there is none before 1 yet."""

NAME_LENGTH = 200
"""Characters of a replica id, a name, a digest or a schema fingerprint."""
STAMP_BYTES = 8
"""Bytes of an edit's stamp."""
WORDS_LENGTH = 1_000
"""Characters of a reason, and of what to do, of an edit that a file tells to be rejected."""
TOKEN_LENGTH = 32_768
"""Characters of a watermark, a cursor, or a key as text."""

Name = Annotated[str, Meta(max_length=NAME_LENGTH, pattern=r"^(?![\s\S]*[\x00-\x1f\x7f])")]
Words = Annotated[str, Meta(max_length=WORDS_LENGTH)]
Token = Annotated[str, Meta(extra={"longest": TOKEN_LENGTH}, extra_json_schema={"maxLength": TOKEN_LENGTH})]
Mark = Annotated[
    str,
    Meta(extra={"longest": TOKEN_LENGTH, "mark": True}, extra_json_schema={"maxLength": TOKEN_LENGTH}),
]
"""A watermark or a cursor that the hub answers with: printable ASCII without a blank (`replica.answers`)."""
COUNTED = 2**62
"""The highest number and count there is: whoever adds to one is still within what a database holds."""

Number = Annotated[int, Meta(ge=1, le=COUNTED)]
Count = Annotated[int, Meta(ge=0, le=COUNTED)]
Hlc = Annotated[int, Meta(ge=0, le=32_503_680_000_000 << 16)]
"""A stamp of the hub's: no later than the year 3000, so that there is room above it."""
Whole = Annotated[int, Meta(ge=INTEGER_MIN, le=INTEGER_MAX)]
Place = Annotated[int, Meta(ge=0, lt=2**31)]
"""The number of a table or a column."""
Version = Annotated[int, Meta(extra={"checked": "protocol.versions"})]
Index = Annotated[int, Meta(extra={"checked": "hub.accept"})]
Indices = Annotated[list[int], Meta(extra={"checked": "hub.accept"})]
STAMPS_TOLD = 4_000_000
"""Stamps that a push tells at most, however many edits there are of a row."""
STAMPS_ASKED = 100_000
"""Stamps asked about in one reconcile at most. They are looked up while nobody else can write."""

Stamps = Annotated[bytes, Meta(extra={"pieces": STAMP_BYTES, "longest": STAMPS_TOLD * STAMP_BYTES})]
"""Stamps of the edits of a push, one after the other."""
Asked = Annotated[bytes, Meta(extra={"pieces": STAMP_BYTES, "longest": STAMPS_ASKED * STAMP_BYTES})]
"""Stamps, or imprints, of a reconcile, one after the other."""
Decided = Annotated[Any, Meta(extra={"checked": "protocol.limits"})]
Cells = Annotated[list[Value], Meta(extra={"checked": "hub.accept"})]
"""The types of what a request holds say what they may hold. Where msgspec cannot know it, `extra` says who
looks: `longest`, `limit` (a field of `Limits`) and `pieces` (of so many bytes) mean `protocol.limits`,
`checked` names the module."""

PushOp = Literal["I", "R", "U", "D", "-"]
HubOp = Literal["U", "D"]


def undressed(hint: Any) -> tuple[Any, dict[str, Any]]:
    """A type without its `Annotated`, and what the `extra` of its `Meta` says."""
    if get_origin(hint) is not Annotated:
        return hint, {}
    extra: dict[str, Any] = {}
    for meta in hint.__metadata__:
        extra |= getattr(meta, "extra", None) or {}
    return hint.__origin__, extra


class Record(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of everything that travels."""


class Group(Record, frozen=True):
    """Rows as the hub has them. `table` and `columns` are numbers of the schema."""

    table: Place
    op: HubOp
    columns: list[Place]
    rows: list[list[Value]]


class PushGroup(Record, frozen=True):
    """Changes as a replica sends them. Rows of I and R name every pushed column; D and - name none.

    `hlc[i]` is the last HLC of row i, each but the first as the difference from the one before.
    `base[i]` indexes `Push.bases`: what the replica had seen at the row's FIRST edit; empty means all 0.
    For U, when a row's columns were edited at different times, `column_hlc[i][j]` (absolute) and
    `column_base[i][j]` hold for column j of row i; None means the row's own hold for all.
    In U an `increment` column carries the difference, not the value.
    """

    table: int
    op: PushOp
    columns: list[int]
    rows: list[list[Value]]
    hlc: list[int]
    base: list[int] = []
    column_hlc: list[list[int]] | None = None
    column_base: list[list[int]] | None = None


class Detail(Record, frozen=True):
    """What the hub needs of a changed row when it conflicts: sent unasked while small, else when wanted.

    `columns` and `base` are the value columns that the edits changed (every value column for D and R) and
    what they held before. `image` is the whole row, all value columns, as the replica had it when the
    push was frozen; None for D.
    """

    table: Index
    key: Cells
    columns: Indices
    base: Cells
    image: Cells | None
    image_columns: Indices | None = None
    """Numbers of the columns in `image`; None: the value columns of the schema that the push names. Where
    they are named, they and `columns` may be of another schema, and what the hub does not know of them is
    left out."""


Bases = Annotated[list[Token], Meta(extra={"limit": "bases"})]
Details = Annotated[list[Detail], Meta(extra={"limit": "push_rows"})]


class Pull(Record, frozen=True):
    """Everything new after `after`, at most about `limit` rows a page.

    `pending`: how many edits wait on the device, for the operator who is about to change the schema. `push`
    and `chain` are the number of the last push that the device has an answer to, and the chain's value after
    it (see `Push`): if the hub's are others, the file was copied or put back, or the centre was. None: not
    told. `horizon` is the newest position of which the device holds a value."""

    after: Token
    limit: Number
    replica: Name
    schema: Name
    pending: Count = 0
    version: Version = PROTOCOL_VERSION
    push: Count | None = None
    chain: Name = ""
    horizon: Token = ""


class Push(Record, frozen=True):
    """One numbered push. `groups` is MessagePack of `list[PushGroup]`; `digest` its SHA-256 in hex.

    Number, bases, groups and digest are frozen in the outbox: a repeat sends the same. `details` are no
    part of the digest. With `pull`, the hub answers the pull in the same round trip, after the commit.

    Pushes are chained: `before` is the chain's value after the push before, '' at first, and the value
    after this one is `body.chained(before, digest)`, sealed with what the verdict says. None: not told.
    `stamps` are those of the captured edits in it, 8 bytes each. `carried` is when the oldest of them was
    made (milliseconds since 1970 UTC) that the file had before it took its present id; 0 if there is
    none. `horizon` as in `Pull`. `offered`: the centre had taken it before, and has lost it."""

    replica: Name
    number: Number
    schema: Name
    bases: Bases
    digest: Name
    groups: Raw
    details: Details = []
    pull: Pull | None = None
    version: Version = PROTOCOL_VERSION
    before: Name | None = None
    stamps: Stamps = b""
    carried: Count = 0
    horizon: Token = ""
    offered: bool = False


class BeginPush(Record, frozen=True):
    """Announce a push that does not fit one request. It comes in `chunks` chunks, numbered from 1.

    `digest` is the SHA-256, in hex, of the chunks' digests one after the other (32 bytes each); of a single
    chunk it is the chunk's own. Writes
    come before deletes: no chunk with a group I, R or U follows one with a group D or -. A row stands in
    one chunk. Asking again changes nothing; another push of the replica's that was announced is forgotten.

    A device may send chunks before it knows the whole: it announces the push with the most that it may hold
    and a random `digest`, which is `draft` when it announces it again, complete. Chunks that are there stay.
    """

    replica: Name
    number: Number
    schema: Name
    bases: Bases
    digest: Name
    chunks: Number
    rows: Count
    version: Version = PROTOCOL_VERSION
    draft: Name = ""


class PushBegun(Record, frozen=True):
    """`have`: the numbers of the chunks that the hub has already."""

    number: Number
    have: list[Number]
    version: int = PROTOCOL_VERSION


class PushChunk(Record, frozen=True):
    """One chunk: `groups` is MessagePack of `list[PushGroup]`, `digest` its SHA-256 in hex, `push` the digest
    of the whole. `details` of its rows, where the hub wanted too many for one request; no part of the digest.
    """

    replica: Name
    number: Number
    chunk: Number
    push: Name
    digest: Name
    groups: Raw
    details: Details = []
    version: Version = PROTOCOL_VERSION


class ChunkKept(Record, frozen=True):
    number: Number
    chunk: Number
    version: int = PROTOCOL_VERSION


class PreparePush(Record, frozen=True):
    """Ask for the verdict on an uploaded push without its being done: the same transaction, undone."""

    replica: Name
    number: Number
    schema: Name
    digest: Name
    details: Details = []
    version: Version = PROTOCOL_VERSION
    before: Name | None = None
    stamps: Stamps = b""
    carried: Count = 0
    horizon: Token = ""
    offered: bool = False


class CommitPush(Record, frozen=True):
    """Do an uploaded push, in one transaction; everything else is as with `Push`."""

    replica: Name
    number: Number
    schema: Name
    digest: Name
    details: Details = []
    pull: Pull | None = None
    version: Version = PROTOCOL_VERSION
    before: Name | None = None
    stamps: Stamps = b""
    carried: Count = 0
    horizon: Token = ""
    offered: bool = False


class ForgetPush(Record, frozen=True):
    """Forget what was uploaded of a push. What was committed stays done."""

    replica: Name
    number: Number
    version: Version = PROTOCOL_VERSION


class PushForgotten(Record, frozen=True):
    number: Number
    version: int = PROTOCOL_VERSION


class Rejection(Record, frozen=True):
    """A change the centre cannot hold. `parent` names the rejected row it depends on, if that is why."""

    table: Place
    key: list[Value]
    code: str
    detail: str
    remedy: str
    parent: list[Any] | None = None
    """[table number, key] or None."""
    columns: list[Place] = []
    """Only the edits of these columns were refused, the rest was accepted; empty: the whole change."""


class ConflictNote(Record, frozen=True):
    """One conflict as kept by the hub. `column` is None where the row competed as a whole.

    `outcome`: replica (the pushed edit won), hub (what was there won), open (a person must decide),
    merged (a function made a new value), and resolved later; `resolution` is that new value, or what a
    person chose. Values are the column's, or whole rows as lists (all value columns in order; None where
    there was no row).
    """

    id: Whole
    table: str
    key: list[Value]
    column: str | None
    outcome: str
    replica: Name
    hlc: Whole
    rival: Name
    rival_hlc: Whole
    base: Any
    sent: Any
    hub: Any
    at: Name
    """When the hub decided, ISO 8601 in UTC."""
    policy: Name = "lww"
    resolution: Any = None
    table_number: Whole = -1
    columns: list[Place] = []
    """Numbers of the columns that the values belong to, in their order: one, or those of whole rows."""
    unknown: dict[Literal["base", "sent", "hub"], list[Place]] = {}
    """The places in a row of which nobody knows what it held there: a device of an older schema lacks
    columns. None stands there, and nothing is written there when the row is taken."""

    def as_dict(self) -> dict[str, Any]:
        """A dictionary that json.dumps takes as it is."""
        return {name: to_plain(getattr(self, name)) for name in self.__struct_fields__}


class Changes(Record, frozen=True):
    """The answer to a pull. `watermark` None: nothing new, keep yours. `more`: go on from `watermark`;
    show nothing before `more` is false (law L5). `groups` is MessagePack of `list[Group]`: what must
    exist first comes first. `hlc` is the newest HLC among the changes."""

    watermark: Mark | None = None
    more: bool = False
    hlc: Hlc = 0
    digest: Name = ""
    groups: Raw = Raw(b"\x90")
    schema: Name = ""
    """The fingerprint of the hub's schema, if it is not the one that was asked with: the groups are of that
    one. The device gets it (`SchemaQuery`), fetches what is new to it (`Snapshot`), pulls once more, and
    takes everything in at once."""
    version: int = PROTOCOL_VERSION


class Verdict(Record, frozen=True):
    """The answer to a push. What is neither an override nor rejected was accepted as sent.

    `wanted` ([table number, key] each) means: nothing was done yet; send the same push again with the
    details of these rows. `overrides` is MessagePack of `list[Group]`, whole rows, with `digest`.
    Every rejected row is among the overrides too, as the centre has it.
    """

    number: Number
    wanted: list[list[Any]] = []
    digest: Name = ""
    overrides: Raw = Raw(b"\x90")
    rejected: list[Rejection] = []
    conflicts: list[ConflictNote] = []
    hlc: Hlc = 0
    repeat: bool = False
    changes: Changes | None = None
    schema: Name = ""
    """As in `Changes`: the overrides are of that schema."""
    version: int = PROTOCOL_VERSION
    horizon: Mark = ""
    """A position that has seen everything this answer tells. Empty where the `changes` lead there."""
    made: Whole = 0
    """When the push was decided first, by the hub's clock: milliseconds since 1970 UTC. A repeat is told the
    same."""
    seal: Name = ""
    """What the chain's value after the push is sealed with, see `body.sealed`. A repeat is told the same."""


class Register(Record, frozen=True):
    """Make a replica known. `fingerprint` of the schema it has, or None.

    A copied file takes a new id and hands in its `watermark` and the id it was given to (`previous`):
    the answer's watermark then stands for the same position, for the new id. `root` is the first id that the
    file had, if this is not it: what its edits are remembered under. `tentative`: it is not certain yet that
    the file will take part. One that has never pulled nor pushed does not count as a replica then, until it
    registers without this.
    """

    replica: Name
    fingerprint: Name | None = None
    name: Name = ""
    previous: Name | None = None
    watermark: Token | None = None
    version: Version = PROTOCOL_VERSION
    root: Name = ""
    tentative: bool = False


class Limits(Record, frozen=True):
    """Bytes are counted after decompression."""

    bytes: Number = 64 * 1024 * 1024
    push_rows: Number = 50_000
    """Rows of a small push, and of a chunk of a large one."""
    pull_rows: Number = 20_000
    """Rows a page, at most."""
    bases: Number = 10_000
    depth: Count = 8
    keep_sent: Count = 7 * 86_400
    """Seconds that a replica keeps what it pushed, to offer it again to a centre that went back in time."""
    push_total_rows: Number = 10_000_000
    """Rows of a large push, all chunks together."""
    push_chunks: Number = 2_000
    push_total_bytes: Number = 2 * 1024 * 1024 * 1024
    """Bytes of a large push, all chunks together."""
    cells: Number = 4 * 1024 * 1024
    """Values in one request, about: of rows, details, bases."""
    local_rows: dict[str, str] = {}
    """What a device does with rows of its own tables that refer to one that the centre deleted (refuse,
    cascade, null), by the number of the table of that one, as text; `*`: all others."""


class Registered(Record, frozen=True):
    """`watermark` is where a replica stands that hydrates from now on; `push` its last push number.

    `floor` is the oldest watermark that the hub's log reaches back to: what is offered again after the
    centre went back stands on it, so that every entry the log has counts as a rival (law L7). Empty: the
    hub does not say; `watermark` stands in for it."""

    hub: Name
    schema: Name
    scope: Name
    tables: list[str]
    limits: Limits
    watermark: Mark
    push: Count
    hlc: Hlc
    floor: Mark = ""
    version: int = PROTOCOL_VERSION


class Refusal(Record, frozen=True):
    """An edit that a file knows to be rejected: its stamps, its row, and why."""

    stamps: Asked
    table: Index
    key: Cells
    code: Name
    detail: Words
    remedy: Words


class Reconcile(Record, frozen=True):
    """Find out what became of a file's edits: the hub and the file disagree about its pushes, or what the
    file has seen is no place to go on from.

    `replica` is the id that the file takes if it needs a new one, the same in every repeat; `previous`
    the one it has, `former` those it had before, oldest first. `push` and `chain` as in `Pull`; `outbox`
    is the chain's value after the push in flight, not sealed, '' if there is none. `stamps` are those of
    its pending edits. `horizons` are the positions of the answers that took the pushes which it still
    keeps, and `sent` has the imprint (`body.imprint`) of the stamps of each of these pushes. `schemas`
    are the fingerprints of the schema that the file has, and of those that its pushes were made with.
    `seen` are positions that its rows have seen, the newest first. `refused` are edits that it knows to
    be rejected, with stamps that are among `stamps`: the hub remembers as rejected what it does not know
    of these, if the file takes a new id."""

    replica: Name
    previous: Name
    former: Annotated[list[Name], Meta(max_length=10_000)]
    push: Count
    chain: Name
    outbox: Name = ""
    stamps: Asked = b""
    horizons: Bases = []
    sent: Asked = b""
    fingerprint: Name | None = None
    schemas: Annotated[list[Name], Meta(max_length=10_000)] = []
    seen: Annotated[list[Token], Meta(max_length=1_000)] = []
    refused: Annotated[list[Refusal], Meta(max_length=1_000)] = []
    version: Version = PROTOCOL_VERSION


class Reconciled(Record, frozen=True):
    """`replica` is the id to go on with: `previous`, if nothing is wrong with the file itself.

    `taken`: the push in flight is the last that the hub took from it, and sealed with `seal`; `push` is
    the number of that last one, -1 if the hub does not know `previous`. `done` are those of the stamps
    whose edits the hub has decided, as of the position `horizon`. `rejected` says of each push that
    brought some of them, and of which something was rejected: those of the stamps that were in it, and
    what was rejected. `lost` numbers the `horizons`, from 0, whose pushes the centre has lost, or has got
    by other pushes; `pruned` those of which that is certain only as long as the hub would remember their
    stamps. Of edits made before `since` (milliseconds since 1970 UTC) that are not done the hub cannot
    tell, unless nothing is wrong with the file. `unknown` are those of the schemas that the hub cannot
    read pushes by. `conflicts` are those noted of these edits, and of pushes that the file does not know
    it has made: the id that pushed them, and the number of the conflict. `seen` is a watermark of the
    first of the positions told that the log still goes on from, for the id to go on with; `gone_back`
    whether the centre has gone back from the newest of them. `decided` is when the first of `done` were
    decided (milliseconds since 1970 UTC, by the hub's clock), 0 if none are. `now` is the hub's clock: by
    it a device tells how far its own is ahead, by which edits look younger than they are."""

    hub: Name
    replica: Name
    taken: bool
    push: Annotated[int, Meta(ge=-1, le=INTEGER_MAX)]
    done: Stamps
    rejected: list[tuple[Stamps, list[Rejection]]]
    lost: list[Count]
    since: Whole
    unknown: list[Name] = []
    conflicts: list[tuple[Name, Whole]] = []
    seen: Mark = ""
    horizon: Mark = ""
    pruned: list[Count] = []
    decided: Whole = 0
    now: Whole = 0
    gone_back: bool = False
    seal: Name = ""
    version: int = PROTOCOL_VERSION


class SchemaQuery(Record, frozen=True):
    """`replica` None: an operator asks. A device registers first."""

    replica: Name | None = None
    version: Version = PROTOCOL_VERSION


class SchemaAnswer(Record, frozen=True):
    """`tables` and `used` are those of `model.schema.to_plain(schema)`. `changed`: pairs of the number of a
    table that is not there any more and how it was changed, of those that no device could follow."""

    fingerprint: Name
    tables: list[Any]
    used: Count
    changed: list[tuple[Count, str]] = []
    version: int = PROTOCOL_VERSION


class Snapshot(Record, frozen=True):
    """A chunk of a hydrate. `cursor` None starts; afterwards the cursor of the last answer.

    With `table`, that table alone; with `columns` too (numbers, separated by commas), the key and these
    columns of its rows: what a device fetches that gets new tables or columns.
    """

    replica: Name
    schema: Name
    cursor: Token | None = None
    limit: Number = 20_000
    table: Count | None = None
    columns: Token = ""
    version: Version = PROTOCOL_VERSION


class SnapshotPage(Record, frozen=True):
    """`cursor` None: that was all; pull from `watermark`, which was noted before the first row was read. It
    says as of when the rows of this chunk are, too: that of the last one is to be pulled from.

    `rows` counts what the hub estimates in all tables, for progress."""

    watermark: Mark
    cursor: Mark | None
    rows: Count
    digest: Name
    groups: Raw
    version: int = PROTOCOL_VERSION


class Spell(Record, frozen=True):
    """How does the central database spell these keys of a table? For those whose type only it can read."""

    replica: Name
    table: Index
    keys: Annotated[list[Cells], Meta(extra={"limit": "push_rows"})]
    version: Version = PROTOCOL_VERSION


class Spelled(Record, frozen=True):
    """The keys in their order: of a row that is there under an equal key its own; of another as it would be
    stored; of what cannot be a key as it was asked."""

    keys: list[list[Value]]
    version: int = PROTOCOL_VERSION


class StateQuery(Record, frozen=True):
    replica: Name
    version: Version = PROTOCOL_VERSION


class StateAnswer(Record, frozen=True):
    """This replica as the hub sees it, and the hub's position. Times are ISO 8601 in UTC; `last_pull`,
    the first pull or the last that brought something, is true to the minute."""

    hub: Name
    replica: Name
    known: bool
    push: Count
    last_push: Name | None
    last_pull: Name | None
    watermark: Mark
    schema: Name
    version: int = PROTOCOL_VERSION


class ConflictsQuery(Record, frozen=True):
    """`replica` None: everybody's, for operators. `after` is the last id of the page before."""

    replica: Name | None = None
    open_only: bool = False
    after: Count = 0
    limit: Number = 500
    version: Version = PROTOCOL_VERSION


class ConflictsAnswer(Record, frozen=True):
    conflicts: list[ConflictNote]
    version: int = PROTOCOL_VERSION


class Resolve(Record, frozen=True):
    """Decide an open conflict. `take`: hub, sent, base, or value (then `value` is it).

    A replica decides what became of its own edits; with `replica` None an operator decides any."""

    id: Count
    take: Literal["hub", "sent", "base", "value"]
    value: Decided = None
    replica: Name | None = None
    version: Version = PROTOCOL_VERSION


class Verify(Record, frozen=True):
    """Compare what a replica has with the centre, as of one instant.

    Without `table`: one digest for each table. With it: the rows with a key above `from_key` up to and
    with `to_key` (JSON arrays of a key's values in the form of `docs/protocol.md`; None: no bound), as
    digests of parts of about `size` rows, or with `size` 0 the rows themselves.
    """

    replica: Name
    schema: Name
    after: Token
    table: Count | None = None
    from_key: Token | None = None
    to_key: Token | None = None
    size: Count = 0
    version: Version = PROTOCOL_VERSION


class Part(Record, frozen=True):
    """The rows behind the part before (or the range's beginning) up to and with the key `to` (None: up to
    the end of what was asked for), and the digest of their canonical bytes."""

    to: list[Value] | None
    rows: Count
    digest: Name


class Verified(Record, frozen=True):
    """What the centre has at the instant up to which `changes` leads.

    `changes.more`: pull first and ask again; there is nothing else in the answer then. `tables` has a part
    for each table, in the order of the schema; None for one that was too large for one answer: ask for its
    parts. `more`: the answer ends with the key `end`; ask on from there. `groups` is MessagePack of
    `list[Group]`, with `digest`.
    """

    changes: Changes
    tables: list[Part | None] = []
    parts: list[Part] = []
    digest: Name = ""
    groups: Raw = Raw(b"\x90")
    end: list[Value] | None = None
    more: bool = False
    version: int = PROTOCOL_VERSION


Request = (
    Register
    | Reconcile
    | SchemaQuery
    | Pull
    | Push
    | BeginPush
    | PushChunk
    | PreparePush
    | CommitPush
    | ForgetPush
    | Snapshot
    | Spell
    | StateQuery
    | ConflictsQuery
    | Resolve
    | Verify
)
Response = (
    Registered
    | Reconciled
    | SchemaAnswer
    | Changes
    | Verdict
    | PushBegun
    | ChunkKept
    | PushForgotten
    | SnapshotPage
    | Spelled
    | StateAnswer
    | ConflictsAnswer
    | ConflictNote
    | Verified
)
