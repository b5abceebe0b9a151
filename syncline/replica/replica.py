"""`Replica`: one device file, its verbs. Thin: each verb is a flow or a query of another module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from syncline.model.forms import chosen
from syncline.protocol.flows import Flow, Transport, answered, run
from syncline.protocol.messages import ConflictNote
from syncline.replica import (
    conflicts,
    lost,
    preview,
    rejected,
    rekey,
    reopen,
    sync,
    track,
    upgrade,
    verify,
    waiting,
)
from syncline.replica.device import Device
from syncline.replica.lock import WAIT_SECONDS, checked_wait, one_at_a_time, tidy
from syncline.replica.noticed import notice, notice_all
from syncline.replica.pending import log_entries
from syncline.replica.progress import Progress, silent
from syncline.replica.reports import (
    LogEntry,
    PullReport,
    PushPreview,
    PushReport,
    RejectedEdit,
    Reopened,
    RetriedEdit,
    Status,
    SyncReport,
    UpgradeReport,
    VerifyReport,
    WaitingRow,
)
from syncline.replica.sound import in_file, looked_after
from syncline.replica.standing import status
from syncline.replica.store import Store

R = TypeVar("R")


class Replica:
    """An open device file. Made by `syncline.connect` and `syncline.clone`.

    For one thread at a time; the application writes to the file through connections of its own. Where
    somebody puts another file at its path, such as a backup of it, the next verb goes on with that. Every
    verb raises SynclineError, and has then changed nothing that a later call does not complete. Of two verbs
    with the hub on one file the second waits for the first, in whichever thread or process that is.
    """

    def __init__(
        self,
        store: Store,
        transport: Callable[[], Transport],
        hub_url: str | None = None,
        wait: float = WAIT_SECONDS,
    ) -> None:
        """`transport` is called when the hub is first needed; `hub_url` is remembered once it answered.

        `wait`: the seconds after which a verb gives up waiting for another one on the file, StoreBusy."""
        self._store, self._open_transport, self._hub_url = store, transport, hub_url
        self._wait = checked_wait(wait)
        self._transport: Transport | None = None
        self._device: Device | None = None
        self._noticed: tuple[int, tuple[object, ...]] | None = None
        """SQLite's count of changes to the file's schema, and what the file had noted of the hub's, when the
        two were last compared: what is done about a table depends on both."""
        self._is_unchecked = False
        """Whether another file is open than at first, and it has not been found to be a replica yet."""
        with looked_after(store):
            if store.is_replica and store.is_filled:
                self._ready()

    def __enter__(self) -> Replica:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    @in_file
    def id(self) -> str | None:
        """The replica's id; None before the first `track`."""
        return self._store.state().replica if self._store.is_replica else None

    @property
    def file(self) -> str:
        """The path of the device file."""
        return self._store.path

    # With the hub -------------------------------------------------------------------------------------

    def sync(self, progress: Progress | None = None) -> SyncReport:
        """Send what is pending, take the hub's verdict, fetch what is new."""
        return self._run("sync", lambda: sync.sync(self._ready(), progress or silent))

    def push(self, progress: Progress | None = None) -> PushReport:
        """Send what is pending and take the hub's verdict; fetch nothing."""
        return self._run("push", lambda: sync.push(self._fit(), progress or silent))

    def reopen(self) -> Reopened:
        """Take a push that cannot succeed apart: its edits are pending again. Safe if it has arrived."""
        return self._run("reopen", lambda: reopen.reopen(self._fit()))

    def preview(self, progress: Progress | None = None) -> PushPreview:
        """The verdict that `push` would get now. Nothing is done, neither here nor in the centre."""
        return self._run("preview", lambda: preview.preview(self._fit(), progress or silent))

    def pull(self, progress: Progress | None = None) -> PullReport:
        """Fetch what is new; pending edits stay pending, on top of it."""
        return self._run("pull", lambda: sync.pull(self._ready(), progress or silent))

    def verify(self, repair: bool = False, progress: Progress | None = None) -> VerifyReport:
        """Compare every tracked table with the centre, by digests; what is pending is sent before.

        With `repair` the rows that differ, and only those, become what the centre has."""
        wanted = verify.repair if repair else verify.verify
        return self._run("verify", lambda: wanted(self._fit(), progress or silent))

    @in_file
    def track(
        self,
        *tables: str,
        progress: Progress | None = None,
        forms: Mapping[str, str] | str | None = None,
    ) -> None:
        """Make existing tables of the file take part. SchemaError if one does not fit the hub's.

        `forms`: how the application spells values in them, as for `syncline.clone`."""
        choice = None if forms is None else chosen(forms)
        self._run(
            "track", lambda: track.track(self._store, tables, self._hub_url, progress or silent, choice)
        )
        self._device = None

    def resolve(self, number: int, take: str, value: Any = None) -> ConflictNote:
        """Decide a conflict, an open one or anew one that was settled: `take` is hub, sent, base, or value.

        Then `value` is it, for a whole row the list of its values: a bool, Decimal, UUID, date, time or
        datetime is spelled as the column's type says. ValueRefused for what is no value, ResolutionRefused
        for one that the column does not take."""
        return self._run("resolve", lambda: conflicts.resolve(self._store, number, take, value))

    # In the file --------------------------------------------------------------------------------------

    @in_file
    def status(self) -> Status:
        """How the replica stands, without the network."""
        return status(self._store)

    @in_file
    def log(self, table: str | None = None, key: Any = None) -> list[LogEntry]:
        """The captured edits that are not decided yet, oldest first in each table; of one table, of one
        key (a value, or a sequence of the key's values)."""
        if key is not None and (isinstance(key, (str, bytes)) or not isinstance(key, Sequence)):
            key = (key,)
        return list(log_entries(self._ready(), table, key))

    @in_file
    def conflicts(self, open_only: bool = False) -> list[ConflictNote]:
        """The conflicts that this replica's edits met, with the base and both values."""
        return conflicts.conflicts(self._store, open_only=open_only)

    @in_file
    def waiting(self) -> list[WaitingRow]:
        """The rows of the centre that this file does not take, and which object of it refuses each."""
        return waiting.waiting(self._ready())

    @in_file
    def rejected(self) -> list[RejectedEdit]:
        """The edits that the centre could not hold, with their reasons."""
        return rejected.rejected(self._ready())

    @in_file
    def retry(self, number: int, *, new_key: bool = False) -> tuple[RetriedEdit, ...]:
        """Put a rejected edit into its table again; the next sync sends it.

        With `new_key` a rejected insert gets a free number for its key. What was rejected because of it
        follows, on all levels, and so do rows of the application's own tables, if they referred to it when it
        was rejected and are as they were then.
        Returns what was put back, this edit first, each with its new key; nothing where the centre has taken
        the edit from a copy of the file meanwhile: it is forgotten then. That is known of an edit under its
        own key. One that a copy has brought in with `new_key` is rejected here still, and counts twice if it
        is retried: look for its row first, and discard it if that is there."""
        retried = rekey.retry_with_new_key if new_key else rejected.retry
        return retried(self._fit(), number)

    @in_file
    def discard(self, number: int) -> None:
        """Forget a rejected edit for ever. A row that the file keeps as the edit has left it stays, see
        `waiting`."""
        rejected.discard(self._ready(), number)

    @in_file
    def upgrade(self) -> UpgradeReport:
        """Take on the names that tables and columns have in the centre now, and drop the columns that it has
        no more. Without the network; UsageError, and nothing is changed, if something stands in the way."""
        return upgrade.upgrade(self._fit())

    @in_file
    def preview_upgrade(self) -> UpgradeReport:
        """What `upgrade` would do now. Nothing is changed."""
        return upgrade.planned_upgrade(self._fit())

    def close(self) -> None:
        """Close the file and the connection to the hub. Idempotent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._store.close()
        tidy(self._store.path)

    # Inside -------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Go on as `connect` would with the file that is at the path by now: it may be a backup of this
        one."""
        if self._store.follow():
            self._is_unchecked |= self._device is not None or self._store.is_replica
            self._device = self._noticed = None
            if self._transport is not None:  # the file may remember another hub
                self._transport.close()
                self._transport = None
        if self._is_unchecked:
            self._store.check()
            self._is_unchecked = False

    def _line(self) -> Transport:
        if self._transport is None:
            self._transport = self._open_transport()
        return self._transport

    @in_file
    def _ready(self) -> Device:
        if self._device is None:
            self._store.check()
            track.refuse_unfinished(self._store)
            self._device = Device.load(self._store)
        self._device.refresh()
        if self._noticed != (self._store.value("PRAGMA schema_version"), self._device.version):
            notice_all(self._device)
            self._noticed = self._device.schema_version, self._device.version
        return self._device

    def _fit(self) -> Device:
        """The device, if any table can go on. SchemaError: all are missing, have no key or lack columns, or
        refer to such a one."""
        device = self._ready()
        lost.refuse_unfit(device)
        return device

    @in_file
    def _run(self, verb: str, begun: Callable[[], Flow[R]]) -> R:
        """Drive the flow that `begun` makes, alone with the file."""
        self._line()
        with one_at_a_time(self._store.path, verb, self._wait):
            flow = begun()
            if verb != "track" and self._device is not None and self._device.is_joining:  # it was cut off
                flow.close()
                with self._store.watched():
                    run(track.go_on(self._store), self._line())
                flow = begun()
            with self._store.watched():
                result = run(self._following(flow) if verb != "track" else flow, self._line())
            if self._hub_url is not None and self._store.state().hub_url != self._hub_url:
                with self._store.transaction():
                    self._store.set_state(hub_url=self._hub_url)
        return result

    def _following(self, flow: Flow[R]) -> Flow[R]:
        """The flow itself; what the application has renamed while the hub was waited for is entered before it
        goes on."""
        seen = None if self._device is None else self._device.schema_version

        def look() -> None:
            nonlocal seen
            device = self._device
            if device is None or device.is_drafting:
                return
            now = self._store.value("PRAGMA schema_version")
            if now != seen:
                notice(device)
            seen = now

        return answered(flow, look)
