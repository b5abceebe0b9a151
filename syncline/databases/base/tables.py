"""The tables of the ledger, described once. A dialect spells the kinds of their columns.

The names of columns are words that none of PostgreSQL, SQLite, MySQL, MariaDB, SQL Server and Oracle
reserves: they are written without quotes. `tests/unit/databases/test_names.py` knows what these reserve.

Besides these the ledger uses a table `state` of one row, which the adapter makes with what its log needs:
`layout`, the number of this layout, `hub`, a uuid made with it, `clock`, the HLC that direct writes must be
above, `pruned`, the time when the log was pruned last (a `time` that is never NULL; 0 at first),
`fingerprint`, which names the version of the schema in force, and `kept_old`, a text: the columns of which
the log keeps old values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["serial", "key", "text", "bytes", "packed", "integer", "random", "flag", "time"]
"""What a column holds.

serial   a growing integer of 64 bits that the database gives; it is the table's key, and its spelling says so
key      a text of 1 to 100 characters, compared by its characters alone (no case folding, no padding)
text     a text of any length, empty by default; a database that takes '' for NULL may hold NULL
bytes    a binary value of any length, which may be empty, as for `text`
packed   the same, compressed already
integer  an integer of 64 bits, never NULL
random   the same, not negative, which the database draws where none is given
flag     0 or 1, never NULL
time     milliseconds since 1970 UTC as an integer of 64 bits, or NULL
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one of the ledger's tables."""

    name: str
    kind: Kind
    optional: bool = False
    """Whether Syncline writes NULL into it. (The database may take one in other columns, too.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the ledger. One that is `volatile` need not survive a crash of the database."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    volatile: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def given(self) -> list[Column]:
        """The columns whose values the database does not make itself."""
        return [column for column in self.columns if column.kind not in ("serial", "random")]

    @property
    def is_numbered(self) -> bool:
        """Whether its key is a number that the database gives."""
        return any(column.kind == "serial" for column in self.columns)


CLIENTS = Table(
    name="clients",
    columns=(
        Column("replica", "key"),
        Column("push", "integer"),
        Column("digest", "text"),
        Column("verdict", "bytes"),
        Column("last_push", "time", optional=True),
        Column("last_pull", "time", optional=True),
        Column("name", "text"),
        Column("fingerprint", "text"),
        Column("registered", "time", optional=True),
        Column("last_seen", "time", optional=True),
        Column("watermark", "text"),
        Column("revoked", "flag"),
        Column("forgotten", "flag"),
        Column("actor", "text"),
        Column("pending", "integer"),
        Column("chain", "text"),
        Column("root", "text"),
        Column("departed", "flag"),
        Column("own", "text"),
        Column("asked", "time", optional=True),
    ),
    key=("replica",),
)
"""The replicas, with the number of the last push and the hub's own record of its verdict. `watermark` is the
position that the replica has confirmed: that of its last pull, true to the minute as `last_seen` is. `chain`
is the chain's value after that push, `root` the first id that the file had, if this is not it, and
`departed`: a file that had this id has taken another, `own` what the file did under the ids that it had,
`asked` when it last asked what became of its edits."""

STAMPS = Table(
    name="stamps",
    columns=(
        Column("lineage", "key"),
        Column("replica", "key"),
        Column("push", "integer"),
        Column("made", "time"),
        Column("tails", "packed"),
        Column("rejected", "bytes"),
    ),
    key=("lineage", "replica", "push"),
    indexes=(("made",),),
)
"""The stamps of the captured edits that were decided, a row a push: 8 bytes each, one after the other, and
the engine's own record of what was rejected. `lineage` is the id that the replica had, or the first id of the
file where edits of former ids were among them."""

CLAIMS = Table(
    name="claims",
    columns=(
        Column("origin", "key"),
        Column("hlc", "integer"),
        Column("claim", "integer"),
        Column("made", "time"),
    ),
    key=("origin", "hlc"),
    indexes=(("made",),),
)
"""What stamps of clocks that ran ahead were before they were cut to `hlc`."""

CONFLICTS = Table(
    name="conflicts",
    columns=(
        Column("id", "serial"),
        Column("replica", "key"),
        Column("push", "integer"),
        Column("unresolved", "flag"),
        Column("made", "time", optional=True),
        Column("data", "text"),
    ),
    key=("id",),
    indexes=(("replica", "id"), ("unresolved", "id")),
)
"""Conflicts kept with both values and the base, as JSON."""

UPLOADS = Table(
    name="uploads",
    columns=(
        Column("replica", "key"),
        Column("push", "integer"),
        Column("digest", "text"),
        Column("fingerprint", "text"),
        Column("chunks", "integer"),
        Column("row_count", "integer"),
        Column("bases", "text"),
        Column("begun", "time"),
    ),
    key=("replica",),
    volatile=True,
)
"""Large pushes on their way, one a replica. `bases` is a JSON list. What a crash loses is sent again."""

CHUNKS = Table(
    name="chunks",
    columns=(
        Column("replica", "key"),
        Column("chunk", "integer"),
        Column("digest", "text"),
        Column("octets", "integer"),
        Column("details", "bytes"),
        Column("body", "packed"),
    ),
    key=("replica", "chunk"),
    volatile=True,
)
"""The chunks of the uploads. `octets` is the length of body and details together."""

MOMENTS = Table(name="moments", columns=(Column("noted", "time"), Column("place", "integer")), key=("noted",))
"""How long the log was when: up to `place`, a number of the adapter's, everything is older than `noted`."""

GIVEN = Table(
    name="given",
    columns=(Column("fingerprint", "key"), Column("definition", "text"), Column("made", "time")),
    key=("fingerprint",),
)
"""The schemas that replicas were given, as JSON: prepared versions, with what the rules mark in them."""

SETTINGS = Table(name="settings", columns=(Column("name", "key"), Column("content", "text")), key=("name",))
"""What `init` was told, and what all servers of a hub must agree on, as JSON."""

VERSIONS = Table(
    name="versions",
    columns=(Column("fingerprint", "key"), Column("body", "text"), Column("made", "time")),
    key=("fingerprint",),
)
"""The versions of the schema that were prepared. `body` is the portable schema as JSON, with the numbers
of its tables and columns."""

LINES = Table(
    name="tables",
    columns=(
        Column("n", "integer"),
        Column("relid", "integer"),
        Column("central_schema", "text"),
        Column("central_name", "text"),
        Column("columns", "text"),
        Column("labels", "text"),
        Column("log_key", "text"),
        Column("words", "integer"),
        Column("capture", "text"),
        Column("attached", "text"),
    ),
    key=("n",),
)
"""The tracked tables, where each has a log and triggers of its own: `lines.Line` has these fields. It is no
table of the ledger's."""

STATE = Table(
    name="state",
    columns=(
        Column("layout", "integer"),
        Column("hub", "text"),
        Column("clock", "integer"),
        Column("fingerprint", "text"),
        Column("kept_old", "text"),
        Column("pruned", "integer"),
    ),
    key=(),
)
"""What every adapter has in the one row that says what is prepared. It makes the table itself."""

ONE_LOG = (
    Table(
        name="state",
        columns=(
            Column("suppressed", "integer", optional=True),
            Column("floor", "integer"),
            Column("floor_hlc", "integer"),
            Column("compacted", "integer"),
            Column("lost", "integer"),
        ),
        key=(),
    ),
    Table(
        name="log",
        columns=(
            Column("seq", "serial"),
            Column("tbl", "integer"),
            Column("op", "text"),
            Column("hlc", "integer"),
            Column("origin", "text"),
            Column("old", "text", optional=True),
            Column("nonce", "random"),
        ),
        key=("seq",),
    ),
    Table(name="mark", columns=(Column("seq", "integer"), Column("mark", "integer")), key=("seq",)),
    Table(name="trigger", columns=(Column("name", "key"), Column("definition", "text")), key=("name",)),
)
"""What an adapter has besides whose log is one table (see `logtable`), but for keys and masks, and which
notes its triggers as they were made: a database that writes new names into them tells so what is called
how now. `op` is I, U, D, R, i and d (see `model.operations`), or what the adapter adds to them. Numbers
are never given again, so that a position stays true; the nonce tells an entry from any other that has its
number in another past: a clock does not, which may have been ahead, and the same push may come again.
`suppressed` is the number of one table, set and reset inside the transaction that writes a push, so that
nobody else sees it."""

LOG_TABLES = (Table(name="state", columns=STATE.columns + ONE_LOG[0].columns, key=()), *ONE_LOG[1:])
"""These and `STATE`, as they are made: the state is one table."""

TABLES = (CLIENTS, STAMPS, CLAIMS, CONFLICTS, UPLOADS, CHUNKS, MOMENTS, GIVEN, SETTINGS, VERSIONS)
