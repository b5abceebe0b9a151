"""Every failure Syncline reports, as one tree with stable codes.

    SynclineError
    ├── UsageError            the caller asked for something that cannot be (exit code 2)
    │   ├── ConfigurationError   syncline.toml, merge rules, options
    │   │   └── RulesDiffer         this server lacks the rules of the hub
    │   ├── SchemaError          a table cannot take part
    │   └── ValueRefused         a value that cannot be carried
    ├── ProtocolError         a message that breaks the protocol; sending it again will not help
    │   ├── Malformed, DigestMismatch, TooLarge, VersionUnsupported
    │   ├── HubBusy, QuotaReached    a limit of the hub: in a moment, or later
    │   ├── WatermarkRefused     garbled, of another hub or replica; or of a past that is gone
    │   ├── SchemaChanged        the sender speaks an outdated schema
    │   ├── NoSnapshot           no ready file to hydrate from: hydrate by rows
    │   │   └── SnapshotBuilding    not yet: it is being built
    │   ├── PushOutOfStep        a push number that does not follow the last one
    │   ├── Unauthenticated      nobody knows who asks
    │   ├── AuthenticatorFailed  it could not be found out
    │   ├── Forbidden            whoever asks may not ask for this
    │   │   ├── ReplicaOfAnother    the replica was registered by somebody else
    │   │   └── ReplicaRevoked      the hub has locked this replica out
    │   ├── UnknownReplica, UnknownUpload    registered or begun again, then all goes on
    │   └── UnknownConflict, ConflictGone, ResolutionRefused    what a person decided cannot be done
    ├── StoreError            the device file: locked, read-only, full, damaged, not a replica
    ├── DatabaseError         the central database: unreachable, not prepared, refused
    ├── TransportError        the network; the same bytes may be sent again
    │   └── BodyRefused          a proxy takes no request of this size
    └── Conflict              internal: this transaction must be run again
        └── CentreHeld           not this time: who holds the whole database was waited for already

A code is part of the interface and never changes its meaning. `retry` says whether a machine may try
the same thing again without a person. The protocol module owns the table from code to HTTP status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType


class SynclineError(Exception):
    """What happened (`detail`), under which stable `code`, and what to do (`remedy`)."""

    code = "internal"
    title = "Something failed inside Syncline"
    remedy = "Report this together with the log around it."
    retry = False

    def __init__(self, detail: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.detail} [{self.code}] Try: {self.remedy}"


class UsageError(SynclineError):
    code, title = "usage", "That cannot be asked for"
    remedy = "Correct the call."


class ConfigurationError(UsageError):
    code, title = "configuration", "The configuration is wrong"
    remedy = "Correct syncline.toml or the arguments of Hub."


class RulesDiffer(ConfigurationError):
    """Nothing was done: nobody merges by other rules than `init` was given last."""

    code, title = "rules_differ", "This server cannot merge by the rules that init was given"
    remedy = (
        "Give functions to every server alike, and call hub.init() in such a program; or start this one"
        " without them. What was edited waits on the devices."
    )
    retry = True


class ScopeUnsupported(ConfigurationError):
    """The central database, or its adapter, cannot keep within the scope that was asked for. Nothing was
    read."""

    code, title = "scope_unsupported", "This central database cannot keep within a scope"
    remedy = "Give the actor everything, or use a central database whose adapter filters rows."


class SchemaError(UsageError):
    """`unfit`: sentences on the tables that cannot take part, by the names that they were asked for by; none
    where it is about all of them."""

    code, title = "schema_refused", "This table cannot take part"
    remedy = "Change the table, or leave it out."

    unfit: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of(cls, reasons: Iterable[tuple[str, str]]) -> SchemaError:
        """With what is said of each name."""
        unfit: dict[str, str] = {}
        for name, why in reasons:
            unfit[name] = f"{unfit[name]}; {why}" if name in unfit else why
        error = cls("; ".join(unfit.values()))
        error.unfit = unfit
        return error


class ValueRefused(UsageError):
    code, title = "value_refused", "This value cannot be carried"
    remedy = "Correct the value in the row named, then sync again."


class ProtocolError(SynclineError):
    code, title = "protocol", "The message breaks the protocol"
    remedy = "Upgrade the side that sent it."


class Malformed(ProtocolError):
    code, title = "malformed", "The message cannot be read"
    remedy = "Send a message of the form given by /openapi.json."


class DigestMismatch(ProtocolError):
    code, title = "digest_mismatch", "The message was damaged on its way"
    remedy = "Send it again."
    retry = True


class TooLarge(ProtocolError):
    code, title = "too_large", "The message exceeds a limit"
    remedy = "Send less at once; the limits are in the answer to registration."


class HubBusy(ProtocolError):
    """Nothing was done: the hub holds itself to so much at once."""

    code, title = "hub_busy", "The hub has too much to do at present"
    remedy = "Try again in a moment; whoever runs the hub can give it more room ([limits])."
    retry = True


class QuotaReached(ProtocolError):
    """Nothing was done: the hub keeps no more of this, or not so much in so short a time."""

    code, title = "quota_reached", "The hub takes no more of this at present"
    remedy = "Try again later, or let whoever runs the hub raise the limit ([limits] in syncline.toml)."
    retry = True


class VersionUnsupported(ProtocolError):
    code, title = "version_unsupported", "The protocol version is not spoken here"
    remedy = "Upgrade the older side."


class WatermarkRefused(ProtocolError):
    code, title = "watermark_refused", "The watermark does not belong here"
    remedy = "Sync again: the device fills itself anew and keeps its pending edits."


class SchemaChanged(ProtocolError):
    """`schema_changed`: the schema named is not one that the hub knows, or not the present one.

    `schema_unknown`: the hub never gave it, as far as it remembers; the device finds its way by itself."""

    code, title = "schema_changed", "The replica's schema is outdated"
    remedy = (
        "Sync first. If that does not help, clone a new file: syncline clone URL NEW; what the old one has"
        " not sent yet stays in it: syncline log FILE."
    )


class BreakingChange(SynclineError):
    code, title = "breaking_change", "The tables were changed in a way that devices cannot follow"
    remedy = (
        "The operator of the hub either undoes the change of these tables, which then take part again; or"
        " runs syncline init syncline.toml --yes: they take part as they are, as other tables for the devices"
        " that have them. Everything else goes on meanwhile."
    )


class NoSnapshot(ProtocolError):
    code, title = "no_snapshot", "The hub has no ready file to hydrate from"
    remedy = "Hydrate by rows: GET /sync/snapshot (clone does so by itself)."


class SnapshotBuilding(NoSnapshot):
    code, title = "snapshot_building", "The file to hydrate from is being built"
    remedy = "Ask again in a moment (clone does so by itself)."
    retry = True


class PushOutOfStep(ProtocolError):
    code, title = "push_out_of_step", "The push number does not follow the last one"
    remedy = "Sync again: a copied file takes a new id, a restored centre is offered what it lost, by itself."


class UnknownUpload(ProtocolError):
    code, title = "unknown_upload", "The hub does not have this large push"
    remedy = "Begin it again with POST /sync/pushes (sync does so by itself)."


class UnknownReplica(ProtocolError):
    code, title = "unknown_replica", "The hub does not know this replica"
    remedy = "Register it with POST /sync/clients (sync does so by itself)."


class Unauthenticated(ProtocolError):
    code, title = "unauthenticated", "The hub does not know who asks"
    remedy = "Say who you are (--token, or connect(..., token=...)), or sign in again."


class AuthenticatorFailed(ProtocolError):
    """The authenticator of the host application did not say who asks, nor that nobody does."""

    code, title = "authenticator_failed", "The hub could not find out who asks"
    remedy = "Try again in a moment; whoever runs the hub finds the reason in its log."
    retry = True


class Forbidden(ProtocolError):
    code, title = "forbidden", "Whoever asks may not ask for this"
    remedy = "Ask whoever runs the hub."


class ReplicaOfAnother(Forbidden):
    code, title = "replica_of_another", "The replica was registered by somebody else"
    remedy = (
        "Sync as whoever registered it, or let whoever runs the hub hand it over: syncline assign"
        " syncline.toml REPLICA ACTOR. Pending edits stay in the file."
    )


class ReplicaRevoked(Forbidden):
    code, title = "replica_revoked", "The hub has locked this replica out"
    remedy = "Ask whoever runs the hub (syncline revoke --undo); pending edits stay in the file."


class UnknownConflict(ProtocolError):
    code, title = "unknown_conflict", "The hub has no such conflict"
    remedy = "List the conflicts again: syncline conflicts"


class ConflictGone(ProtocolError):
    code, title = "conflict_gone", "This conflict cannot be resolved"
    remedy = "Bring back the row, column or table that is gone, then decide again; or write what you want."


class ResolutionRefused(ProtocolError):
    code, title = "resolution_refused", "The central database refused the value"
    remedy = "Choose another value."


class StoreError(SynclineError):
    code, title = "store", "The device file cannot be used"
    remedy = "Check the path, the permissions and the disk."


class StoreBusy(StoreError):
    code, title = "store_busy", "Another program is at work on the device file"
    remedy = "Let the other program end its transaction, then try again."
    retry = True


class StoreReadOnly(StoreError):
    code, title = "store_read_only", "The device file cannot be written"
    remedy = "Make the file and its folder writable."


class StoreFull(StoreError):
    code, title = "store_full", "The disk is full"
    remedy = "Free some space; nothing was lost, sync again."
    retry = True


class StoreDamaged(StoreError):
    code, title = "store_damaged", "The device file is damaged"
    remedy = "Keep a copy of the file, then clone again."


class StoreConstraint(StoreError):
    """A constraint of the device's tables does not hold. `kind`: unique, foreign_key, not_null, check,
    trigger or other. The engine meets it while applying and settles it; it reaches nobody else."""

    code, title = "store_constraint", "A constraint of a device table does not hold"
    remedy = "Report this together with the log around it."

    def __init__(self, detail: str, kind: str) -> None:
        super().__init__(detail)
        self.kind = kind


class StoreObstacle(StoreError):
    """A statement that the device file does not take for what else is in it: a function, collation or
    module that this program has not, an index of a virtual table out of step. Met while applying, like the
    former; elsewhere it ends what was begun."""

    code, title = "store_obstacle", "A statement on the device file met something that is not there"
    remedy = (
        "A function, a collation or a table is not there: see the detail. What your own program defines must"
        " not be used by indexes, triggers and constraints of synced tables."
    )


class DeviceConstraint(StoreError):
    """An object of the application (a trigger, an index, a constraint, a table that refers to it) refuses a
    row of the centre. The row waits, everything else goes on; it is told in reports. Raised by `track` alone,
    of a table that Syncline can write nothing into."""

    code, title = "device_constraint", "The device file does not take a row of the centre"
    remedy = (
        "Alter the object, or what it objects to, then sync: the row is tried again with every sync. Nothing"
        " else waits for it."
    )


class DatabaseError(SynclineError):
    code, title = "database", "The central database refused"
    remedy = "See the detail; nothing was changed."


class DatabaseUnavailable(DatabaseError):
    code, title = "database_unavailable", "The central database cannot be reached"
    remedy = "Start it, or correct [hub] database."
    retry = True


class DatabaseReadOnly(DatabaseUnavailable):
    code, title = "database_read_only", "The central database takes no writes at present"
    remedy = "Promote the standby or allow writes again, or name the primary in [hub] database."
    retry = True


class NotPrepared(DatabaseError):
    code, title = "not_prepared", "The central database is not prepared"
    remedy = "Run: syncline init syncline.toml"


class NameTaken(DatabaseError):
    code, title = "name_taken", "Something in the central database has a name that Syncline needs for its own"
    remedy = (
        "Give the object of the detail another name (ALTER ... RENAME TO ...), then run:"
        " syncline init syncline.toml."
    )


class LedgerDamaged(DatabaseError):
    """What the hub keeps in the central database besides its rows is not as it wrote it: somebody has altered
    Syncline's own tables there. Nothing was changed."""

    code, title = "ledger_damaged", "What Syncline keeps in the central database was altered"
    remedy = "Put back what was altered in Syncline's own tables, from a backup; the detail says what it is."


class CaptureLost(DatabaseError):
    code, title = "capture_lost", "Changes of a table in the centre are not captured at present"
    remedy = "Run: syncline init syncline.toml; each device then compares itself with the centre."


class GrantsMissing(DatabaseError):
    code, title = "grants_missing", "The hub's role lacks rights in the central database"
    remedy = "Run the GRANT and ALTER statements of the message as an owner or superuser, then try again."


class TransportError(SynclineError):
    code, title = "hub_unreachable", "The hub cannot be reached"
    remedy = "Nothing is lost: sync again when there is a network."
    retry = True


class BodyRefused(TransportError):
    """413, and not by a hub: a proxy takes no body of this size. Devices make their chunks smaller, and set a
    row aside that is refused alone. `chunks`: of a push, those that were refused; none if it has none."""

    code, title = "body_refused", "Something between here and the hub takes no request of this size"
    remedy = (
        "Let the proxy in between take larger requests (nginx: client_max_body_size 64m), then sync again;"
        " syncline pull fetches meanwhile; see docs/proxies.md."
    )
    retry = False
    chunks: tuple[int, ...] = ()


class Conflict(SynclineError):
    """Raised inside a hub transaction that met a concurrent one; the engine runs it again."""

    code, title = "busy", "Too many concurrent changes to the same rows"
    remedy = "Sync again in a moment."
    retry = True


class CentreHeld(Conflict):
    """Another program holds the whole central database, a SQLite file, for longer than is waited. Nothing has
    changed."""

    code, title = "centre_held", "Another program holds the central database"
    remedy = "Sync again when it has ended its transaction; until then edits wait on the device."
