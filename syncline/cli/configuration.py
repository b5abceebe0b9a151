"""Reads syncline.toml: the central database and the rules of the tables that take part.

    [hub]
    database = "sqlite:///central.db"            # or postgresql://...; SYNCLINE_DATABASE overrides it
    snapshots = "snapshots"                      # a folder for ready files to hydrate from; none: by rows
    snapshot_size = 10_737_418_240               # bytes that all of them may take
    snapshot_age = 86_400                        # seconds that one is served
    direct = "postgresql://..."                  # where `database` is PgBouncer: the way past it, for news
    pool = 10                                    # connections of each server process
    lock_timeout = 15                            # seconds to wait for a row that others hold
    statement_timeout = 0                        # seconds for any one statement; 0: no limit
    local_rows = "refuse"                        # or "cascade", "null": what devices do with rows of
                                                 # their own that refer to one that the centre deleted
    [retention]                                  # how long the centre remembers; in days but for interval
    stale_days = 90                              # a replica unseen for so long holds nothing back in the log
    keep_days = 2                                # entries are kept so long though every replica has them
    max_days = 365                               # then they go whoever needs them; 0: never
    conflict_days = 365                          # closed conflicts
    reoffer_days = 7                             # devices keep what they pushed, for a centre that loses it
    interval = 3600                              # seconds from one run of the servers to the next
    [limits]                                     # how much the hub takes and keeps; docs/limits.md
    bytes = 67_108_864                           # of one request, unfolded
    cells = 4_194_304                            # values in one request
    push_rows = 50_000                           # of a small push, and of a chunk of a large one
    push_total_rows = 10_000_000                 # of a large push
    push_total_bytes = 2_147_483_648
    uploads_bytes = 8_589_934_592                # of large pushes on their way, all replicas together
    told_bytes = 67_108_864                      # of edits that a file tells to be rejected, with its copies
    told_total_bytes = 4_294_967_296             # of those that all files tell
    replicas = 100_000                           # registered at all
    registrations = 1_000                        # new ones of one actor in a minute
    unused = 5_000                               # of one actor that never pulled; removed after unused_hours
    unused_hours = 24
    verifies = 2                                 # at once, in each process
    [forms]                                      # how devices spell values, for their ORM; see docs/types.md
    timestamps = "space"                         # iso, space, space6, unix
    uuids = "hex"                                # hyphens, hex, blob
    decimals = "real"                            # text, real
    booleans = "integer"                         # integer, text
    [tables.invoice]
    merge = { total = "sum", billing_city = "review" }
    deletes = "newer_wins"
    local_rows = "cascade"                       # for those that refer to rows of this table
    [tables.invoice.forms]                       # for this table alone
    timestamps = "unix"
    [tables.album]
    [tables.x]
    key = ["a", "b"]                             # a unique index without NULL, of a table without primary key

Without any `[tables...]` every table that can take part does. A relative SQLite file or folder lies beside
the toml, wherever the command is started. `merge` may also be one policy for whole rows; `merge.policies` has
them all. An unknown name is refused, with the nearest known one; whether tables, columns and
policies exist is checked by the hub when it starts.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from syncline.cli import toml
from syncline.errors import ConfigurationError
from syncline.hub.contract import Tuning
from syncline.hub.quotas import Quotas
from syncline.hub.retention import DAY, Retention
from syncline.merge.policies import DELETE_POLICIES, Inserts, default
from syncline.merge.rules import Table
from syncline.model.forms import chosen
from syncline.model.local import LocalRows
from syncline.protocol.messages import Limits

S = TypeVar("S", bound=msgspec.Struct)

_SQLITE = "sqlite:///"
HOUR = 3600.0
LONGEST_DAYS = 365.0
"""How long the log is kept at the longest, if nothing is said; longer where `keep_days` asks for it."""


class HubSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    database: str = ""
    snapshots: str = ""
    snapshot_size: Annotated[int, msgspec.Meta(gt=0)] = 10 * 1024**3
    snapshot_age: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    direct: str = ""
    pool: Annotated[int, msgspec.Meta(gt=0, le=1000)] = 10
    lock_timeout: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 15.0
    statement_timeout: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    local_rows: LocalRows = "refuse"

    def tuning(self) -> Tuning:
        """The part that the adapter of the database takes."""
        return Tuning(self.pool, self.statement_timeout, self.lock_timeout, self.direct)


class RetentionSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stale_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 90.0
    keep_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 2.0
    max_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] | None = None
    conflict_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 365.0
    reoffer_days: Annotated[float, msgspec.Meta(ge=0, le=3_650)] = 7.0
    interval: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3600.0

    def rules(self) -> Retention:
        """In the form that `Hub` takes."""
        longest = max(LONGEST_DAYS, self.keep_days) if self.max_days is None else self.max_days
        return Retention(
            self.stale_days * DAY,
            self.keep_days * DAY,
            longest * DAY or None,
            self.conflict_days * DAY,
            self.interval,
        )


_Amount = Annotated[int, msgspec.Meta(gt=0, le=2**62)]
_PLAIN = Limits()
_QUOTAS = Quotas()


class LimitsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bytes: Annotated[int, msgspec.Meta(ge=65_536, le=2**40)] = _PLAIN.bytes
    cells: _Amount = _PLAIN.cells
    push_rows: _Amount = _PLAIN.push_rows
    push_total_rows: _Amount = _PLAIN.push_total_rows
    push_total_bytes: _Amount = _PLAIN.push_total_bytes
    uploads_bytes: _Amount = _QUOTAS.uploads_bytes
    told_bytes: _Amount = _QUOTAS.told_bytes
    told_total_bytes: _Amount = _QUOTAS.told_total_bytes
    replicas: _Amount = _QUOTAS.replicas
    registrations: _Amount = _QUOTAS.registrations
    unused: _Amount = _QUOTAS.unused
    unused_hours: Annotated[float, msgspec.Meta(gt=0, le=876_000)] = _QUOTAS.unused_seconds / HOUR
    verifies: Annotated[int, msgspec.Meta(gt=0, le=1000)] = _QUOTAS.verifies

    def limits(self, reoffer_days: float) -> Limits:
        """The limits that devices are told."""
        return Limits(
            keep_sent=int(reoffer_days * DAY),
            bytes=self.bytes,
            cells=self.cells,
            push_rows=self.push_rows,
            push_total_rows=self.push_total_rows,
            push_total_bytes=self.push_total_bytes,
        )

    def quotas(self) -> Quotas:
        """What the hub holds itself to."""
        return Quotas(
            replicas=self.replicas,
            unused=self.unused,
            unused_seconds=self.unused_hours * HOUR,
            registrations=self.registrations,
            uploads_bytes=self.uploads_bytes,
            told_bytes=self.told_bytes,
            told_total_bytes=self.told_total_bytes,
            verifies=self.verifies,
        )


class TableSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merge: dict[str, str] | str = {}
    inserts: Inserts | None = None
    deletes: str = default(DELETE_POLICIES).name
    local_rows: LocalRows | None = None
    key: list[str] = []
    forms: dict[str, str] | str = {}


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tables` None: all that can take part."""

    hub: HubSection
    retention: RetentionSection = RetentionSection()
    limits: LimitsSection = LimitsSection()
    tables: dict[str, TableSection] | None = None
    forms: dict[str, str] | str = {}

    def rules(self) -> dict[str, Table] | None:
        """The tables in the form that `Hub` takes."""
        sections = self.tables or {}
        plain = self._without_inserts()
        return plain and {name: replace(plain[name], inserts=sections[name].inserts) for name in plain}

    def _without_inserts(self) -> dict[str, Table] | None:
        """The tables, but for what an insert is."""
        if self.tables is None:
            return None
        return {
            name: Table(
                merge=section.merge,
                deletes=section.deletes,
                local_rows=section.local_rows,
                key=tuple(section.key),
                forms=section.forms,
            )
            for name, section in self.tables.items()
        }

    def told(self) -> Limits:
        """The limits that devices are told, and what they do with rows of their own."""
        limits = self.limits.limits(self.retention.reoffer_days)
        return msgspec.structs.replace(limits, local_rows={"*": self.hub.local_rows})


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Read and check a syncline.toml. A relative SQLite file is relative to the folder of the toml.

    Raises ConfigurationError that names the file, the place in it and, for a misspelt name, the nearest."""
    configuration = _checked(_parsed(path), path)
    database = environment.get("SYNCLINE_DATABASE") or configuration.hub.database
    if not database:
        raise ConfigurationError(
            f"{path}: [hub] database is missing", remedy='Add: database = "sqlite:///central.db"'
        )
    hub = msgspec.structs.replace(configuration.hub, database=_located(database, path))
    if hub.snapshots:
        hub = msgspec.structs.replace(hub, snapshots=str(path.absolute().parent / hub.snapshots))
    _check_ages(configuration, path)
    return msgspec.structs.replace(configuration, hub=hub)


def _check_ages(configuration: Configuration, path: Path) -> None:
    """Who fills itself from a file as old as files get, slowly, must still find the log from there on."""
    retention, hub = configuration.retention, configuration.hub
    if hub.snapshots and retention.keep_days * DAY < 2 * hub.snapshot_age:
        raise ConfigurationError(
            f"{path}: [retention] keep_days must be twice [hub] snapshot_age at least",
            remedy=f"Write keep_days = {2 * hub.snapshot_age / DAY:g}, or a smaller snapshot_age.",
        )
    if retention.reoffer_days > retention.stale_days:
        raise ConfigurationError(
            f"{path}: [retention] reoffer_days ({retention.reoffer_days:g}) is longer than stale_days"
            f" ({retention.stale_days:g}): the hub would forget devices that may offer their pushes again",
            remedy=f"Write reoffer_days = {retention.stale_days:g}, or a larger stale_days.",
        )
    retention.rules()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return toml.parsed(path)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no file {path}", remedy='Write one: [hub] with database = "..."'
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def _checked(document: dict[str, Any], path: Path) -> Configuration:
    _known(document, Configuration.__struct_fields__, "the file", path)
    _known(document.setdefault("hub", {}), HubSection.__struct_fields__, "[hub]", path)
    _known(document.get("retention"), RetentionSection.__struct_fields__, "[retention]", path)
    _known(document.get("limits"), LimitsSection.__struct_fields__, "[limits]", path)
    tables = document.get("tables")
    if isinstance(tables, dict):
        for name, section in tables.items():
            _known(section, TableSection.__struct_fields__, f"[tables.{name}]", path)
            _words(section, TableSection, f"[tables.{name}]", path)
            _typed(section, TableSection, f"{path}: [tables.{name}]")
    _words(document["hub"], HubSection, "[hub]", path)
    found = _typed(document, Configuration, str(path))
    chosen(found.forms, f"{path}: forms")
    for name, table in (found.tables or {}).items():
        chosen(table.forms, f"{path}: tables.{name}.forms")
    return found


def _known(section: Any, names: Iterable[str], where: str, path: Path) -> None:
    if not isinstance(section, dict):
        return  # msgspec says what is wrong with it
    for name in section:
        if name not in (known := list(names)):
            raise ConfigurationError(f"{path}: {where} has no {name!r}", remedy=_hint(name, known))


def _words(section: Any, kind: type[msgspec.Struct], where: str, path: Path) -> None:
    """ConfigurationError if a key that takes one of a few words has another one."""
    if not isinstance(section, dict):
        return
    kinds = get_type_hints(kind)
    for name, value in section.items():
        known = [word for word in _literals(kinds[name]) if word is not None]
        if known and value not in known:
            raise ConfigurationError(
                f"{path}: {where} {name} cannot be {value!r}", remedy=_hint(str(value), known)
            )


def _hint(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."


def _literals(kind: Any) -> list[Any]:
    """The words of a Literal, or of one among others."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [word for part in get_args(kind) for word in _literals(part)]


def _typed(section: Any, kind: type[S], where: str) -> S:
    """What the section says. ConfigurationError that names it, if a value in it is of another type."""
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _located(database: str, path: Path) -> str:
    name, question, query = database.removeprefix(_SQLITE).partition("?")
    if not database.startswith(_SQLITE) or not name or name == ":memory:" or os.path.isabs(name):
        return database
    return f"{_SQLITE}{(path.absolute().parent / name)}{question}{query}"
