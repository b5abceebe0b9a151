"""How long the centre remembers, and the work of forgetting: compact, prune, drop old conflicts.

Every step is a bounded transaction of its own (law L11); a run that is cut off anywhere is simply taken up by
the next. Nothing goes that a live replica has not confirmed, unless `longest` says so (law L4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from syncline.errors import ConfigurationError, RulesDiffer
from syncline.hub.central import Central
from syncline.hub.clients import every_client, forget_for_good, held_by, listing
from syncline.hub.contract import Coverable, Removed, WriteTransaction
from syncline.hub.identity import memory_of
from syncline.hub.quotas import Quotas
from syncline.model.clock import milliseconds
from syncline.model.scope import UNBOUNDED

logger = logging.getLogger("syncline.hub")
DAY = 86_400.0
BATCH = 50_000
"""Log entries that go in one transaction."""

UPLOAD_SECONDS = DAY
"""How long the hub keeps an upload that nobody goes on with."""

STAMPS = 5_000
"""Pushes whose stamps are forgotten in one transaction."""

COMPACTED = 20_000
"""Log entries that are looked through in one transaction: SQLite's write lock is held meanwhile."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the centre remembers, in seconds.

    A replica that was not seen for `stale` holds nothing back. Log entries that every live replica has
    confirmed are kept for `keep` all the same: those who fill themselves from a ready file need them.
    After `longest` they go whoever needs them; None: never. `conflicts`: how long closed conflicts are
    kept. The servers do the work every `interval`."""

    stale: float = 90 * DAY
    keep: float = 2 * DAY
    longest: float | None = 365 * DAY
    conflicts: float = 365 * DAY
    interval: float = 3600.0

    def __post_init__(self) -> None:
        if self.longest is not None and self.longest < self.keep:
            raise ConfigurationError("the log cannot be kept longer than the longest time ([retention])")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a run took away. `held_by` are the replicas that hold the rest of the log back; `floor` is the
    HLC below which the log says nothing for certain, as a time."""

    dry_run: bool
    compacted: int
    pruned: int
    more: bool
    conflicts: int
    replicas: int
    held_by: list[str] = field(default_factory=list)
    floor: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with the names of the fields."""
        return asdict(self)


class _Undo(Exception):
    """Leaves a transaction of a dry run."""

    def __init__(self, removed: Removed) -> None:
        self.removed = removed


def prune(
    central: Central,
    retention: Retention,
    quotas: Quotas | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Do all there is to do now, step by step, or until `stop` says so between two steps."""
    unused = (quotas or Quotas()).unused_seconds
    compacted = _compact(central, stop)
    pruned = _repeat(central, lambda transaction: _prune(central, transaction, retention, BATCH), stop)
    conflicts = _repeat(central, lambda transaction: _drop(transaction, retention), stop)
    _repeat(central, lambda transaction: _forget_stamps(transaction, memory_of(central.limits) / 1000), stop)
    kept = memory_of(central.limits) / 1000
    central.transact(lambda transaction: transaction.ledger.forget_claims(kept))
    replicas = central.transact(lambda transaction: forget_for_good(transaction, retention.stale))
    replicas += central.transact(lambda transaction: transaction.ledger.drop_unused_clients(unused))
    central.transact(lambda transaction: transaction.ledger.sweep_uploads(UPLOAD_SECONDS))
    with suppress(RulesDiffer):  # without the rules nobody knows which schema is the present one
        present = central.known()[0].fingerprint
        central.transact(lambda transaction: _forget_schemas(transaction, present, retention))
    counted = Pruned(
        dry_run=False, compacted=compacted, pruned=pruned, more=False, conflicts=conflicts, replicas=replicas
    )
    done = _reported(central, retention, counted)
    logger.info(
        "pruned the log",
        extra={"action": "prune", "compacted": compacted, "pruned": pruned, "conflicts": conflicts},
    )
    return done


def prune_in_turn(central: Central, retention: Retention, quotas: Quotas, stop: Callable[[], bool]) -> bool:
    """`prune`, if the interval has passed since any process did and none is at it; whether it was done."""
    if not central.transact(lambda transaction: transaction.ledger.take_turn(retention.interval)):
        return False
    prune(central, retention, quotas, stop)
    return True


def foreseen(central: Central, retention: Retention, at_most: int = 1_000_000) -> Pruned:
    """What `prune` would do, up to `at_most` entries: the same steps, rolled back."""

    def compact(transaction: WriteTransaction) -> Removed:
        raise _Undo(_take_out(None, transaction))

    def remove(transaction: WriteTransaction) -> Removed:
        raise _Undo(_prune(central, transaction, retention, at_most))

    def drop(transaction: WriteTransaction) -> Removed:
        raise _Undo(_drop(transaction, retention))

    with central.database.read(UNBOUNDED) as transaction:
        found = transaction.log.coverable(COMPACTED)
    compacted = _undone(central, compact) if found is None else Removed(len(found.gone), found.more)
    removed, dropped = _undone(central, remove), _undone(central, drop)
    counted = Pruned(
        dry_run=True,
        compacted=compacted.entries,
        pruned=removed.entries,
        more=compacted.more or removed.more or dropped.more,
        conflicts=dropped.entries,
        replicas=0,
    )
    return _reported(central, retention, counted)


def _prune(central: Central, transaction: WriteTransaction, retention: Retention, limit: int) -> Removed:
    transaction.log.note_moment()
    held = held_by(transaction, central.database.position, retention.stale)
    return transaction.log.prune(list(held.values()), retention.keep, retention.longest, limit)


def _drop(transaction: WriteTransaction, retention: Retention) -> Removed:
    gone = transaction.ledger.drop_conflicts(retention.conflicts, BATCH)
    return Removed(gone, gone == BATCH)


def _forget_stamps(transaction: WriteTransaction, seconds: float) -> Removed:
    """Devices do not offer again what is older."""
    gone = transaction.ledger.forget_stamps(seconds, STAMPS)
    return Removed(gone, gone >= STAMPS)


def _forget_schemas(transaction: WriteTransaction, present: str, retention: Retention) -> None:
    """A schema stays as long as a replica may have it, or have something that it froze with it."""
    keep = {client.fingerprint for client in every_client(transaction.ledger)}
    keep.add(present)
    transaction.ledger.forget_given(keep, retention.stale)
    transaction.ledger.forget_versions(keep)


def _repeat(central: Central, step: Callable[[WriteTransaction], Removed], stop: Callable[[], bool]) -> int:
    gone, more = 0, True
    while more and not stop():
        removed = central.transact(step)
        gone, more = gone + removed.entries, removed.more
    return gone


def _compact(central: Central, stop: Callable[[], bool]) -> int:
    """What can be looked for while others write is: SQLite's write lock is held to take it out alone."""
    gone, more = 0, True
    while more and not stop():
        with central.database.read(UNBOUNDED) as transaction:
            found = transaction.log.coverable(COMPACTED)
        for part in [None] if found is None else found.parts(COMPACTED):
            removed = central.transact(partial(_take_out, part))
            gone, more = gone + removed.entries, removed.more
            if stop():
                break
    return gone


def _take_out(found: Coverable | None, transaction: WriteTransaction) -> Removed:
    return transaction.log.compact(COMPACTED, found)


def _undone(central: Central, work: Callable[[WriteTransaction], Removed]) -> Removed:
    try:
        return central.transact(work)
    except _Undo as undo:
        return undo.removed


def _reported(central: Central, retention: Retention, counted: Pruned) -> Pruned:
    """What was counted, with who holds the rest of the log back, and where it begins."""
    held = [one.client.replica for one in listing(central, retention.stale) if one.holds]
    with central.database.read(UNBOUNDED) as transaction:
        hlc = transaction.log.floor().hlc
    floor = datetime.fromtimestamp(milliseconds(hlc) / 1000, UTC).isoformat(timespec="milliseconds")
    return replace(counted, held_by=held, floor=floor.replace("+00:00", "Z") if hlc else None)
