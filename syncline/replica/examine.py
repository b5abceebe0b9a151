"""What `doctor` says of a device file. Changes nothing: opening a replica would renew its triggers.

A step asks one question. What a step cannot read is a finding too, and the next one goes on, so that a
damaged file is described as far as it can be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from syncline.errors import DeviceConstraint, SchemaError, StoreError
from syncline.model.finding import Finding
from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.replica import capture
from syncline.replica.clocks import NOW
from syncline.replica.conflicts import conflicts
from syncline.replica.device import Device
from syncline.replica.foreign import foreign_keys
from syncline.replica.forms import loss, lossy
from syncline.replica.hydrate import building_path
from syncline.replica.indexes import misfits
from syncline.replica.lost import lost, unable, unfit, waited
from syncline.replica.made import missing
from syncline.replica.noticed import as_called
from syncline.replica.objects import own_objects
from syncline.replica.pending import oldest_edit, pending_edits
from syncline.replica.plan import coming, completable, left_out
from syncline.replica.postponed import mismatched
from syncline.replica.sound import looked_after, unsound
from syncline.replica.standing import changed_tables, left_tables
from syncline.replica.statements import Statements
from syncline.replica.store import (
    BUSY_SECONDS,
    LAYOUT,
    LIBRARY,
    PUT_BACK,
    SAFE_CHECKPOINTS,
    WAL_BYTES,
    Store,
    checked_path,
)
from syncline.replica.upgrade import staying, upcoming
from syncline.replica.waiting import count_waiting, waiting
from syncline.sqlitekit.sql import quote

DAMAGES = 5
"""Places of damage that are told; the rest is more of the same."""

WAITING = 20
"""So many rows that wait are told one by one."""

LARGE_WAL = 8 * WAL_BYTES
"""A write-ahead log beyond this is told: it should have been taken over into the file."""

AHEAD_SECONDS = 600
"""A file whose clock is further ahead of the device's than this has a wrong one, or the device has."""

OPEN_ONCE = "Run: syncline status FILE (opening the file makes the triggers anew)."
COMPARE = (
    "Run: syncline sync FILE; it compares with the centre, and what was done here becomes pending edits."
)
VERIFY = "Run: syncline sync FILE, then: syncline verify FILE --repair"
ANEW = "Keep a copy of the file; sync it if that still goes, then clone a new one: syncline clone URL FILE"

KEEP_DIGITS = "To keep every digit clone a new file with --forms decimals=text."
KEEP_DAYS = "To keep days apart from hours clone a new file with --forms intervals=iso."

Step = Callable[[Store], Iterator[Finding]]

_OF_REPLACE = {"replace", "displace"}
"""The triggers that depend on the indexes which the application makes."""


def examine(path: str | os.PathLike[str], busy_seconds: float = BUSY_SECONDS) -> list[Finding]:
    """The findings on a device file. StoreError if there is no file, or another program has it locked."""
    name = checked_path(path)
    if not Path(name).is_file():
        return [_no_file(name)]
    found = list(_library())
    with closing(Store.open_reading(name, busy_seconds)) as store:
        _ask(store, (_damage, _log_size, _kind), found)
        if _is_legible(store):
            _ask(store, _STEPS, found)
    return found


def _ask(store: Store, steps: Sequence[Step], found: list[Finding]) -> None:
    """Add what the steps find, and what they cannot read."""
    for step in steps:
        try:
            with store.read(), looked_after(store):
                for finding in step(store):
                    found.append(finding)  # one by one: what was found before an error stays
        except StoreError as error:
            if error.retry:
                raise
            finding = Finding("trouble", error.code, error.detail, error.remedy)
            if finding not in found:
                found.append(finding)


def _is_legible(store: Store) -> bool:
    """Whether it is a replica of the layout that this version writes."""
    try:
        return store.is_replica and store.layout() == LAYOUT
    except StoreError:  # it has been told
        return False


def _no_file(path: str) -> Finding:
    if not os.path.isfile(building_path(path)):  # also where that name is too long
        raise StoreError(f"there is no file {path}", code="store_missing", remedy="Check the path.")
    return Finding(
        "trouble",
        "clone_unfinished",
        f"the clone of {path} was cut off",
        "Run the same syncline clone again.",
    )


# The file -----------------------------------------------------------------------------------------------


def _library() -> Iterator[Finding]:
    version = ".".join(map(str, LIBRARY))
    yield Finding("fact", "version", f"SQLite {version}")
    if LIBRARY < SAFE_CHECKPOINTS:
        safe = ".".join(map(str, SAFE_CHECKPOINTS))
        yield Finding(
            "warning",
            "wal_reset",
            f"SQLite before {safe} can lose writes when one connection writes while another checkpoints",
            f"Use SQLite {safe} or newer in all programs that open the file; until then let Syncline make the"
            " checkpoints (it does while nobody writes): PRAGMA wal_autocheckpoint = 0 in the others.",
        )


def _damage(store: Store) -> Iterator[Finding]:
    """What SQLite finds wrong with the pages of the file, and its journal mode."""
    for (state,) in store.rows(f"PRAGMA quick_check({DAMAGES})"):
        if state != "ok":
            yield Finding("trouble", "store_damaged", f"the file is damaged: {state}", ANEW)
    mode = store.value("PRAGMA journal_mode")
    if mode != "wal":
        yield Finding(
            "warning",
            "not_wal",
            f"the file is in journal mode {mode}: readers and writers block each other",
            "Any verb of Syncline sets it to wal; have no program set another mode.",
        )


def _own_tables(store: Store) -> Iterator[Finding]:
    """What somebody has altered in Syncline's own tables."""
    for place in islice(unsound(store), DAMAGES):
        yield Finding("trouble", "store_damaged", f"{store.path}: {place}", PUT_BACK)


def _log_size(store: Store) -> Iterator[Finding]:
    """Whether the write-ahead log cannot be taken over into the file."""
    log = Path(f"{store.path}-wal")
    size = log.stat().st_size if log.is_file() else 0
    if size > LARGE_WAL:
        yield Finding(
            "warning",
            "wal_large",
            f"the write-ahead log has grown to {size:,} bytes: some program keeps a read transaction open",
            "End that program's transaction (an unfinished SELECT counts); the next sync makes it small.",
        )


def _kind(store: Store) -> Iterator[Finding]:
    """Whether it is a replica, and whose."""
    if not store.is_replica:
        remedy = "Make one with: syncline clone URL FILE, or: syncline track FILE TABLE --hub URL"
        yield Finding("trouble", "not_a_replica", f"{store.path} is not a replica", remedy)
        return
    if store.layout() is None:
        yield Finding("trouble", "state_missing", "the replica has lost its state", ANEW)
    else:
        store.check()  # what it objects to is a finding


# The tables ---------------------------------------------------------------------------------------------


def _identity(store: Store) -> Iterator[Finding]:
    state = store.state()
    yield Finding("fact", "replica", f"replica {state.replica} of {state.hub_url or 'a hub without a URL'}")
    if not store.is_filled:
        yield Finding(
            "trouble",
            "hydrate_unfinished",
            "the file has not been filled from the hub yet: that was cut off",
            "Run the same syncline clone or track again; it goes on where it was cut off.",
        )
    elif state.hydrate is not None:
        sentence = "a track of further tables was cut off; what takes part is synced all the same"
        yield Finding("warning", "track_unfinished", sentence, "Run the same syncline track again.")
    if state.suppressed:
        sentence = "capture is switched off, by another program: what is written is not sent"
        yield Finding("trouble", "capture_suppressed", sentence, VERIFY)


def _tables(store: Store) -> Iterator[Finding]:
    """The columns, references and triggers of every tracked table."""
    if not store.is_filled:
        return
    device = as_called(Device.load(store))
    yield Finding("fact", "tables", f"tables that take part: {len(device.tables)}")
    yield from _following(device)
    unseen, waiting = lost(store), waited(store)
    cannot = unable(device)
    for one in cannot:
        yield Finding("trouble", one.code, one.detail, one.remedy)
    for name in sorted({t.table.name for t in device.aside.values()} - {one.table for one in cannot}):
        sentence = f"table {name} could not take part for a while; it fits again, and the next sync brings it"
        yield Finding("warning", "table_waits", sentence, "Run: syncline sync FILE")
    for t in device.tables.values():
        wrong = misfits(store, t.table)
        if wrong:
            error = unfit(device, t, wrong)
            yield Finding("trouble", error.code, error.detail, error.remedy)
        else:
            if t.n in unseen:
                why = "was made anew by a program, and not captured meanwhile"
                if t.n in waiting:
                    why = "could not take part for a while, and has not been compared since"
                sentence = f"table {t.table.name} {why}"
                yield Finding("trouble", "capture_missing", sentence, COMPARE)
            yield from own_objects(device, t)
            yield from _additions(store, t, {one.name for one in device.retired.columns.get(t.n, ())})
            yield from _triggers(store, t)
            yield from _references(store, t)


def _following(device: Device) -> Iterator[Finding]:
    """What of the centre's tables is not in this file, or is here under another name, or no longer there."""
    yield from _left_out(device)
    for index in missing(device):
        yield Finding(
            "warning",
            "index_missing",
            f"table {index.on}: the unique index {index.name} could not be made, rows of this file have equal"
            " values",
            "Correct or sync these rows, then run: syncline upgrade FILE",
        )
    yield from foreign_keys(device)
    stay = staying(device)
    for one in stay.values():
        for column, why in one.columns.items():
            sentence = f"table {one.table}: column {column}, which the centre has dropped, stays: {why}"
            sentence += "".join(f"; {name} waits for a name" for name in one.names.values())
            remedy = f"Make {one.table} anew without it, or what needs it, then run: syncline upgrade FILE"
            yield Finding("warning", "column_kept", sentence, remedy)
    tables, columns = upcoming(device)
    other = [t.table.name for t in device.tables.values() if t.table.name in {*tables, *columns}]
    gone = sum(map(len, device.retired.columns.values())) - sum(len(one.columns) for one in stay.values())
    if other or gone:
        parts = [f"names that the centre has changed, of {', '.join(other)}"] if other else []
        parts += [f"columns that it has dropped: {gone}"] if gone else []
        sentence = f"this file still has {' and '.join(parts)}; syncline upgrade FILE takes on what is new"
        yield Finding("fact", "upgrade_waits", sentence)
    yield from _traded(device)
    yield from _changed(device)
    if left := left_tables(device):
        sentence = f"tables that take no part in the centre any more: {', '.join(left)}"
        yield Finding("fact", "tables_left", f"{sentence}; what is written to them is not captured")


def _changed(device: Device) -> Iterator[Finding]:
    """Tables that the centre has changed in a way that this file cannot follow."""
    for called, why in changed_tables(device).items():
        name = quote(called)
        sentence = (
            f"table {called} takes part no longer and what is written to it is not captured, since the centre"
            f" was changed in a way that this file cannot follow: {why}"
        )
        remedy = (
            "Have the application write to what the centre has now, and keep what is needed of the table and"
            " of its refused edits (syncline rejected FILE). Then, in the file, DROP TABLE"
            f" {name} or give it another name (ALTER TABLE {name} RENAME TO ...), and sync: if the centre has"
            " one of that name, it is made."
        )
        yield Finding("trouble", "table_changed", sentence, remedy)


def _has_key(device: Device, table: TableSchema) -> bool:
    """Whether the file's table of that name has the same primary key."""
    rows = device.store.described(f"PRAGMA main.table_info({quote(table.name)})")
    return {folded(name) for _, name, *_, key in rows if key} == set(map(folded, table.key))


def _traded(device: Device) -> Iterator[Finding]:
    """Columns that have each other's names in the centre: a table made anew here is read by names alone."""
    for n, t in device.tables.items():
        here = {folded(column.name): column.number for column in t.table.columns}
        there = device.hub.by_number[n].columns
        other = [c.name for c in there if here.get(folded(c.name), c.number) != c.number]
        if other:
            sentence = (
                f"table {t.table.name}: {', '.join(other)} are other columns in the centre than here; if a"
                " program makes the table anew with those names, its values are exchanged in the centre"
            )
            remedy = "Run: syncline upgrade FILE, in place of the program's own migration."
            yield Finding("warning", "names_traded", sentence, remedy)


def _left_out(device: Device) -> Iterator[Finding]:
    """Tables of the centre that take no part here although the file has a table of that name."""
    next_sync = set(completable(device))
    for table in left_out(device, device.hub):
        if table.number in next_sync:
            sentence = f"the centre has a table {table.name} that the next sync brings"
            yield Finding("warning", "table_waits", sentence, "Run: syncline sync FILE")
            continue
        wrong = misfits(device.store, coming(device, table.name, table))
        remedy = f"Run: syncline track FILE {table.name}; or rename your own table, then sync: it is made."
        if wrong and not _has_key(device, table):
            remedy = (
                "Rename yours, then sync: the centre's is made. Its key is another one, which no ALTER TABLE"
                " gives to yours."
            )
        elif wrong:
            remedy = (
                "Alter your own table so that it fits (ALTER TABLE ... RENAME COLUMN for what has another"
                " name in the centre now, ADD COLUMN for what else it lacks), then run: syncline track FILE"
                f" {table.name}. Or rename yours, then sync: the centre's is made."
            )
        yield Finding(
            "trouble",
            "table_not_made",
            f"the centre has a table {table.name} that takes no part here, since this file has a table of"
            " that name that is not synced; what is written into it is not sent"
            + "".join(f"; {one}" for one in wrong),
            remedy,
        )


def _additions(store: Store, t: Statements, retired: Collection[str]) -> Iterator[Finding]:
    """Columns that the application has added. Those that are generated are nobody's business."""
    known = {folded(column.name) for column in t.table.columns} | {folded(name) for name in retired}
    for _, name, _, required, default, _, hidden in store.described(f"PRAGMA table_xinfo({t.name})"):
        if hidden or folded(name) in known:
            continue
        where = f"table {t.table.name}: the column {name} is not among those that are synced"
        if required and default is None:
            remedy = (
                "Give it a default value here; without one no new row of the centre can be added. If the"
                " centre has the column too, and demands a value, give it a default there: it is synced then."
            )
            yield Finding(
                "trouble", "column_required", f"{where}, and a row must have a value for it", remedy
            )
        else:
            yield Finding("warning", "column_local", f"{where}: what it holds is not sent")


def _triggers(store: Store, t: Statements) -> Iterator[Finding]:
    """Whether every change is captured."""
    name = t.table.name
    if store.row("SELECT 1 FROM sqlite_master WHERE name = ?", (f"_sync_log_{t.n}",)) is None:
        yield Finding("trouble", "log_missing", f"table {name}: the change log is gone", COMPARE)
    try:
        drift = capture.drift(store, t)
    except SchemaError as error:
        yield Finding("trouble", error.code, error.detail, error.remedy)
        return
    gone = [kind for kind in drift.altered if kind not in _OF_REPLACE]
    for kinds in (drift.missing, gone):
        if kinds:
            listed = ", ".join(f"_sync_{t.n}_{kind}" for kind in kinds)
            code = "capture_missing" if kinds is drift.missing else "capture_altered"
            state = code.removeprefix("capture_")
            sentence = f"table {name}: triggers are {state}, changes may not have been captured: {listed}"
            yield Finding("trouble", code, sentence, COMPARE)
    if len(gone) < len(drift.altered):
        sentence = f"table {name}: its unique indexes were changed; a REPLACE by them is not captured whole"
        yield Finding("warning", "capture_outdated", sentence, OPEN_ONCE)
    if drift.after:
        listed = ", ".join(drift.after)
        sentence = (
            f"table {name}: triggers made after those of capture are logged in the wrong order: {listed}"
        )
        yield Finding("warning", "capture_not_newest", sentence, OPEN_ONCE)


def _references(store: Store, t: Statements) -> Iterator[Finding]:
    """Rows whose parent is not there: some program writes with foreign_keys = OFF."""
    if mismatched(store, t.table.name):  # which has been told, and SQLite cannot check
        return
    sql = "SELECT parent, count(*) FROM pragma_foreign_key_check(?) GROUP BY parent ORDER BY parent"
    for parent, count in store.rows(sql, (t.table.name,)):
        rows = "1 row refers" if count == 1 else f"{count:,} rows refer"
        yield Finding(
            "trouble",
            "parent_missing",
            f"table {t.table.name}: {rows} to no row of {parent}",
            f"Add the rows of {parent} or correct the reference, with PRAGMA foreign_keys = ON; then: "
            "syncline verify FILE --repair",
        )


# What waits ---------------------------------------------------------------------------------------------


def _pending(store: Store) -> Iterator[Finding]:
    if not store.is_filled:
        return
    device = Device.load(store)
    count = sum(pending_edits(device).values())
    if count:
        edits = "1 edit waits" if count == 1 else f"{count:,} edits wait"
        yield Finding("fact", "pending", f"{edits} to be sent, the oldest since {oldest_edit(device)}")


def _waiting(store: Store) -> Iterator[Finding]:
    """The rows of the centre that this file does not take."""
    if not store.is_filled or not count_waiting(store):
        return
    for row in waiting(Device.load(store), WAITING):
        yield Finding("trouble", row.code, row.detail, row.remedy)
    more = count_waiting(store) - WAITING
    if more > 0:
        yield Finding("trouble", DeviceConstraint.code, f"{more:,} more rows wait", DeviceConstraint.remedy)


def _in_flight(store: Store) -> Iterator[Finding]:
    for number, frozen in store.rows("SELECT number, frozen FROM _sync_outbox"):
        sentence = f"push {number} of {frozen} was sent and not answered"
        yield Finding("warning", "in_flight", sentence, "Run: syncline sync FILE; it asks again.")
    if store.state().recovery is not None:
        sentence = "the centre went back in time or was pruned, and the recovery from that was cut off"
        yield Finding("warning", "recovery_unfinished", sentence, "Run: syncline sync FILE; it goes on.")


def _for_a_person(store: Store) -> Iterator[Finding]:
    refused = store.rows("SELECT code, count(*) FROM _sync_rejected GROUP BY code ORDER BY code")
    if refused:
        count = sum(number for _, number in refused)
        listed = ", ".join(f"{code} {number:,}" for code, number in refused)
        sentence = f"edits that were refused and are kept: {count:,} ({listed})"
        yield Finding("trouble", "rejected", sentence, "Run: syncline rejected FILE")
    undecided = len(conflicts(store, open_only=True))
    if undecided:
        sentence = f"conflicts that wait to be decided: {undecided:,}"
        yield Finding("trouble", "open_conflicts", sentence, "Run: syncline conflicts FILE")


def _kept(store: Store) -> Iterator[Finding]:
    pushes, size = store.row(
        "SELECT count(DISTINCT s.number), sum(coalesce(length(s.body), length(b.body)))"
        " FROM _sync_sent s LEFT JOIN _sync_body b ON b.id = s.body_id"
    ) or (0, 0)
    if pushes:
        sentence = f"pushes kept in case the centre goes back in time: {pushes:,}, {size:,} bytes"
        yield Finding("fact", "kept_pushes", sentence)


def _clock(store: Store) -> Iterator[Finding]:
    """A clock that is ahead of this device's wall clock: either that is behind now, or one was ahead."""
    ahead = store.value(f"SELECT max((hlc >> 16) - {NOW}, 0) / 1000 FROM _sync_state")
    if ahead > AHEAD_SECONDS:
        yield Finding(
            "warning",
            "clock_ahead",
            f"the newest edit known here has a stamp {ahead:,} seconds ahead of this device's clock: that was"
            " wrong when the edit was made, or is wrong now",
            "Set the device's clock right. Until the stamp is past, the hub takes edits of this file for"
            " about as new as they arrive.",
        )


def _forms(store: Store) -> Iterator[Finding]:
    """Columns that cannot hold what the centre has, as somebody has chosen."""
    if not store.is_filled:
        return
    for t in as_called(Device.load(store)).tables.values():
        for (kind, form), columns in lossy([t.table]).items():
            sentence = loss(kind, form, columns)
            remedy = KEEP_DIGITS if kind == "decimals" else KEEP_DAYS
            yield Finding("warning", "forms_lossy", sentence, remedy)


_STEPS: tuple[Step, ...] = (
    _own_tables,
    _identity,
    _clock,
    _tables,
    _forms,
    _pending,
    _waiting,
    _in_flight,
    _for_a_person,
    _kept,
)
