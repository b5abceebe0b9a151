"""What a replica tells its application: frozen records, each with a JSON-able form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import msgspec

from syncline.errors import DeviceConstraint
from syncline.model.plain import to_plain
from syncline.model.values import Value
from syncline.protocol.messages import ConflictNote

KeyValues = tuple[Value, ...]


def plain(value: Any) -> Any:
    """The JSON form: values as `model.plain` has them, records are objects."""
    if isinstance(value, (bytes, float)):
        return to_plain(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    return value


class Report:
    """Base of the records below."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """A dictionary that json.dumps takes as it is."""
        result: dict[str, Any] = plain(self)
        return result


@dataclass(frozen=True, slots=True)
class RejectedEdit(Report):
    """An edit that the centre could not hold, kept until `retry` or `discard`.

    `op` is I (inserted), R (removed and created again), U (updated) or D (deleted). `values` are what was
    sent by column name (the difference, for a `sum` column), `base` what these columns held before.
    `values` is empty for a delete, and where they are nowhere any more (`row_lost`, `value_lost`): such an
    edit cannot be retried.
    """

    id: int
    table: str
    key: KeyValues
    op: str
    values: dict[str, Value]
    base: dict[str, Value]
    code: str
    detail: str
    remedy: str
    parent: tuple[str, KeyValues] | None
    at: str
    push: int | None
    """The push it was part of; None if it could not even be sent."""
    local: tuple[tuple[str, KeyValues], ...] = ()
    """The rows of the application's own tables that referred to a new row when another's took its key, or
    when its parent was rejected: table and key of each, 100 at most."""
    own: dict[str, Value] = field(default_factory=dict)
    """What a new row held in columns that this file alone has, by their names; it comes back with a retry.
    Without NULL and text that is not UTF-8."""


@dataclass(frozen=True, slots=True)
class RetriedEdit(Report):
    """An edit that a retry has put back into its table. `key` is that under which it was rejected, `new_key`
    that under which its row is in the table now, if that is another one.

    `local`: the rows of the application's own tables that refer to the new key now, table and key of each.
    `left`: those that refer to the former one, since they were written or changed after the edit was
    rejected; 100 at most."""

    id: int
    table: str
    key: KeyValues
    op: str
    new_key: KeyValues | None = None
    local: tuple[tuple[str, KeyValues], ...] = ()
    left: tuple[tuple[str, KeyValues], ...] = ()


@dataclass(frozen=True, slots=True)
class PushReport(Report):
    """`sent` counts rows; `overruled` those that came back in another state than sent, without an error."""

    sent: int = 0
    pushes: int = 0
    overruled: int = 0
    rejected: tuple[RejectedEdit, ...] = ()
    conflicts: int = 0
    """Conflicts that the hub noted among these edits."""


@dataclass(frozen=True, slots=True)
class OverruledRow(Report):
    """A row that would come back in another state than sent. `values` are those; None: there is no row."""

    table: str
    key: KeyValues
    values: dict[str, Value] | None


@dataclass(frozen=True, slots=True)
class RejectedRow(Report):
    """A row that would be rejected, and why. `parent` is the rejected row it depends on."""

    table: str
    key: KeyValues
    code: str
    detail: str
    remedy: str
    parent: tuple[str, KeyValues] | None = None


@dataclass(frozen=True, slots=True)
class PushPreview(Report):
    """The verdict that a push would get now. `rows` counts what would be sent, `accepted` what would be
    accepted as sent."""

    rows: int = 0
    accepted: int = 0
    overruled: tuple[OverruledRow, ...] = ()
    rejected: tuple[RejectedRow, ...] = ()
    conflicts: tuple[ConflictNote, ...] = ()
    """Conflicts that the hub would note; their ids are not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow(Report):
    """A row that the centre has otherwise and that this file does not take: an object of the application, a
    trigger, an index, a constraint or a table that refers to it, refuses what the centre has.

    It stays as it was, and is tried again with every sync. `object` names what refuses it.
    """

    table: str
    key: KeyValues
    object: str
    detail: str
    code: str = DeviceConstraint.code
    remedy: str = DeviceConstraint.remedy


@dataclass(frozen=True, slots=True)
class PullReport(Report):
    """Rows that arrived, by table: written here and removed here."""

    written: int = 0
    removed: int = 0
    pages: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    waiting: tuple[WaitingRow, ...] = ()
    """Rows that this file does not take, the first hundred of them; `status` counts all."""
    push_failed: str | None = None
    """Why the push in flight still has no verdict, with the code; what is new was fetched all the same."""


@dataclass(frozen=True, slots=True)
class Reopened(Report):
    """What became of a push that was to be taken apart: `rows` of it are pending again.

    `arrived`: the hub has it, so that it was left alone; the next sync takes its verdict."""

    rows: int
    arrived: bool


@dataclass(frozen=True, slots=True)
class Recovered(Report):
    """How a replica found its place again. Its pending edits were kept.

    `reason` is pruned (the hub's log no longer reaches back to what the replica had seen), lost (a table of
    the centre was altered so that changes were not captured for a while), restored (the
    centre went back in time), scope (the device may have other rows than before), schema (the
    hub does not know the schema that this file had: the centre was put back), unknown (the hub does not know
    the replica), garbled (the file has a watermark that the hub cannot read) or copied (the file was
    copied or put back, or two syncs had met in it). In any case the file was filled again; `rows`
    counts those that differed.
    """

    reason: str
    offered: int
    """Pushes that the centre had lost and was offered again."""
    missing: int
    """Pushes that the centre had lost and this device no longer kept."""
    rows: int


@dataclass(frozen=True, slots=True)
class Regained(Report):
    """What was done to a table while it was not captured (the application had made it anew), or could not
    take part, found by comparing with the centre: rows that became pending inserts, updates and deletes."""

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    returned: int = 0
    """Rows that came back: most were missing, or others had changed them; and rows whose values came back in
    a column that was added again."""
    kept: int = 0
    """Rows whose values here were overwritten and are kept (`conflicts`), and edits that were lost with their
    rows or columns (`rejected`)."""
    waited: bool = False
    """Whether the table could not take part for a while (`unable`): it need not have been made anew."""


@dataclass(frozen=True, slots=True)
class Unable(Report):
    """A table of the file that cannot take part as it is: not there, without its key, altered, or referring
    to such a one. It waits, with its captured edits, until it can; the others are synced."""

    table: str
    code: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SyncReport(Report):
    """What a sync did: `push` with what was pending, `pull` with what was new. `pending` counts the edits
    that were captured and not decided yet when it ended, `requests` those to the hub. `recovered` is None in
    every ordinary sync; `regained` are tables that had not been captured for a while, `unable` those that
    were left out, since they cannot take part as they are."""

    push: PushReport
    pull: PullReport
    pending: int
    requests: int
    seconds: float
    recovered: Recovered | None = None
    regained: tuple[Regained, ...] = ()
    unable: tuple[Unable, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry(Report):
    """One captured edit that is not decided yet. `old` has the former values of the changed columns. Text
    that is not UTF-8 is shown as a blob."""

    table: str
    seq: int
    op: str
    key: KeyValues
    at: str
    old: dict[str, Value]
    in_flight: bool


@dataclass(frozen=True, slots=True)
class Status(Report):
    """How a replica stands. `pending` counts captured edits by table. `hub_id` is the id of the hub, as is
    `hub`, `hub_url` where it was reached last. `person_needed` counts what waits for a person."""

    id: str | None
    file: str
    hub: str | None
    hub_url: str | None
    tables: tuple[str, ...]
    pending: dict[str, int]
    in_flight: int | None
    """The number of a push that was frozen and not answered yet."""
    watermark: str | None
    schema: str | None
    last_sync: str | None
    conflicts: int
    open_conflicts: int
    rejected: int
    hidden: int
    """Rows that cannot be shown for the sake of edits; they wait for the hub's word."""
    left_out: tuple[str, ...] = ()
    """Tables of the centre that take no part here, since the file has tables of these names that are not
    synced; `doctor` says what to do."""
    uncaptured: tuple[str, ...] = ()
    """Tables that the application has made anew: what was done to them meanwhile was not captured, and is
    found by the next sync."""
    waiting_count: int = 0
    """Rows of the centre that this file does not take (`device_constraint`); `Replica.waiting` lists them."""
    changed: dict[str, str] = field(default_factory=dict)
    """Tables of the file that were changed in the centre in a way it cannot follow, or refer to such a one,
    and how: they take part no longer, and what is written to them is not captured. `doctor` says what to
    do."""
    unable: tuple[Unable, ...] = ()
    """Tables that cannot take part as they are, and what to do about it."""
    hub_id: str | None = None
    left: tuple[str, ...] = ()
    """Other tables of the file that take no part in the centre any more: what is written to them is not
    captured."""

    @property
    def person_needed(self) -> dict[str, int]:
        """How much waits for a person, by kind; what `syncline sync` ends with exit code 3 for."""
        return {
            "rejected": self.rejected,
            "open_conflicts": self.open_conflicts,
            "left_out": len(self.left_out),
            "device_constraint": self.waiting_count,
            "unable": len(self.unable),
            "changed": len(self.changed),
        }


@dataclass(frozen=True, slots=True)
class UpgradeReport(Report):
    """What an upgrade did, or would do. `tables` has new names by former ones, `columns` the same by the
    table's former name, `dropped` the columns that went, by table, `indexes` and `foreign_keys` what could be
    made only now, `left` the columns that stay as they are, by the table's former name, with the reason."""

    tables: dict[str, str]
    columns: dict[str, dict[str, str]]
    dropped: dict[str, tuple[str, ...]]
    indexes: tuple[str, ...]
    foreign_keys: tuple[str, ...] = ()
    left: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComparedTable(Report):
    """One table of a verify: rows here and in the centre, and whether they were the same."""

    name: str
    rows: int
    centre_rows: int
    equal: bool


@dataclass(frozen=True, slots=True)
class Difference(Report):
    """A row that is not the same here and in the centre.

    `kind`: `missing_here`, `not_in_centre`, or `differs`. `here` and `centre` hold the values by column
    name: of the columns that differ, or of the whole row where the other side has none. Text that is not
    UTF-8, which only a damaged file has, is shown as a blob. `held`: the file has what the centre has and
    holds it back, because of pending edits of other rows or because an object of the file refuses it.
    """

    table: str
    key: KeyValues
    kind: str
    here: dict[str, Value]
    centre: dict[str, Value]
    held: bool = False


@dataclass(frozen=True, slots=True)
class VerifyReport(Report):
    """What a verify found. `equal` is how things stand at its end, also after a repair.

    A table of `unable` or `left_out` could not be compared, and the file is not equal. One of `changed` takes
    part no longer: it is named, and does not count."""

    equal: bool
    tables: tuple[ComparedTable, ...]
    differences: tuple[Difference, ...]
    """Found; after a repair these are what was repaired, and `left` what still differs."""
    repaired: int
    left: tuple[Difference, ...]
    complete: bool
    """False: so many rows differ that the search was ended."""
    pending: int
    """Edits that the hub has not decided; their rows were set aside."""
    unable: tuple[Unable, ...]
    """The tables that could not be compared, for they cannot take part as they are in this file."""
    changed: dict[str, str]
    """Tables that the centre has changed in a way the file cannot follow, and how."""
    watermark: str | None
    requests: int
    seconds: float
    left_out: tuple[str, ...] = ()
    """Tables of the centre that take no part here, since the file has tables of these names that are not
    synced; `doctor` says what to do."""
