"""The registry: which replicas there are, when they were seen, what they hold back in the log.

A record changes at a registration, at a push in the push's own transaction, and at a pull at most once a
minute. A forgotten replica keeps its number, digest and verdict for one more stale period, so that its pushes
go on should it come back (law L3).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from syncline.errors import Conflict, DatabaseError, UnknownReplica
from syncline.hub.central import Central
from syncline.hub.contract import Client, Position, ReadLedger, ReadTransaction, WriteTransaction
from syncline.hub.lineages import claimed
from syncline.model.actor import Actor, shown
from syncline.model.scope import UNBOUNDED
from syncline.protocol.messages import Pull, Register

logger = logging.getLogger("syncline.hub")
PAGE = 1000
MOST_BEHIND = 1_000_000
"""Entries a replica lags behind are counted up to here."""

State = Literal["live", "stale", "revoked", "forgotten"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One replica as an operator sees it. `behind` are log entries it has not confirmed (None: the log no
    longer knows, or it is not live); `holds`: it is the one, or one of those, that hold the log back.
    `as_dict()` has who it is: replica, name, actor, state, registered, last_seen, last_push, push, behind,
    holds (`syncline replicas --json`); `client` is the hub's own record of it."""

    client: Client
    state: State
    behind: int | None
    holds: bool

    def as_dict(self) -> dict[str, Any]:
        """The shape of `syncline replicas --json`."""
        client = self.client
        return {
            "replica": client.replica,
            "name": client.name,
            "actor": shown(client.actor),
            "state": self.state,
            "registered": client.registered,
            "last_seen": client.last_seen,
            "last_push": client.last_push,
            "push": client.number,
            "behind": self.behind,
            "holds": self.holds,
        }


def with_own_root(ledger: ReadLedger, actor: Actor, request: Register) -> Register:
    """The registration without a first id that is somebody else's (law L10), and with a name of its own for
    one that is nobody's."""
    first = ledger.client(request.root) if request.root else None
    if not request.root or (first is not None and actor.may_use(first.actor)):
        return request
    root = claimed(request.root, actor.owner) if first is None else ""
    return msgspec.structs.replace(request, root=root)


def registered(client: Client | None, actor: Actor, request: Register, watermark: str) -> Client:
    """The record after a registration. `watermark` is where a replica stands: that which it hands in, or that
    of now, from which it fills itself. One that is known keeps its owner and, unless it hands one in, the
    older watermark it has confirmed. A tentative one is forgotten again, unless it has ever been used."""
    known = client or Client(request.replica, registered="now", actor=actor.owner)
    is_unused = known.last_pull is None and known.last_push is None
    stands = request.watermark is not None or known.forgotten or not known.watermark
    return replace(
        known,
        name=request.name or known.name,
        root=known.root or request.root,
        fingerprint=request.fingerprint or known.fingerprint,
        watermark=watermark if stands else known.watermark,
        last_seen="now",
        forgotten=request.tentative and (is_unused or known.forgotten),
    )


def without_lost(
    transaction: ReadTransaction, client: Client | None, position: Callable[[str], Position]
) -> Client | None:
    """The record without a watermark that the log does not reach back to: the replica fills itself anew."""
    if client is None or not client.watermark:
        return client
    try:
        (standing,) = transaction.log.standings([position(client.watermark)])
    except ValueError:
        standing = "restored"
    return client if standing == "sound" else replace(client, watermark="")


def is_due(client: Client, request: Pull, *, brought: bool) -> bool:
    """Whether a pull is to be noted: it is the first, the last note is more than a minute old, or says
    another schema or number of pending edits."""
    if (client.fingerprint, client.pending) != (request.schema, request.pending):
        return True
    minute, pulled = timedelta(minutes=1), client.last_pull
    seen = client.forgotten or pulled is None or _older(client.last_seen, minute)
    return seen or (brought and _older(pulled, minute))


def note_pull(
    write: Callable[[Callable[[WriteTransaction, Client | None], None]], None],
    request: Pull,
    watermark: str,
    brought: bool,
) -> None:
    """Enter that the replica was seen and what it has confirmed. A database that is busy or takes no writes
    makes it a later pull."""

    def work(transaction: WriteTransaction, client: Client | None) -> None:
        if client is not None:
            last_pull = "now" if brought or client.last_pull is None else client.last_pull
            noted = replace(
                client,
                last_pull=last_pull,
                last_seen="now",
                watermark=watermark,
                forgotten=False,
                fingerprint=request.schema,
                pending=request.pending,
            )
            transaction.ledger.save_client(noted)

    try:
        write(work)
    except (Conflict, DatabaseError) as busy:
        logger.debug("put off noting a pull: %s", busy.detail, extra={"action": "note_pull"})


def every_client(ledger: ReadLedger) -> Iterator[Client]:
    """All records, a page at a time."""
    after = ""
    while found := ledger.clients(after, PAGE):
        yield from found
        after = found[-1].replica


def state_of(client: Client, stale_seconds: float) -> State:
    """What the record says of the replica."""
    if client.revoked:
        return "revoked"
    if client.forgotten:
        return "forgotten"
    return "stale" if _unseen(client, timedelta(seconds=stale_seconds)) else "live"


def held_by(
    transaction: ReadTransaction, position: Callable[[str], Position], stale_seconds: float
) -> dict[str, Position]:
    """The sound positions of the live replicas: what the log must still tell them."""
    found = {}
    for client in every_client(transaction.ledger):
        if state_of(client, stale_seconds) == "live" and client.watermark:
            try:
                found[client.replica] = position(client.watermark)
            except ValueError:
                continue  # of another kind of database: it fills itself anew
    standings = transaction.log.standings(list(found.values()))
    pairs = zip(found.items(), standings, strict=True)
    return {name: held for (name, held), standing in pairs if standing == "sound"}


def listing(central: Central, stale_seconds: float) -> list[Listed]:
    """Every replica but the forgotten ones, the one that lags most first."""
    with central.database.read(UNBOUNDED) as transaction:
        held = held_by(transaction, central.database.position, stale_seconds)
        behind = {name: transaction.log.behind(place, MOST_BEHIND) for name, place in held.items()}
        clients = [client for client in every_client(transaction.ledger) if not client.forgotten]
    most = max(behind.values(), default=0)
    found = []
    for client in clients:
        lag = behind.get(client.replica)
        found.append(
            Listed(client, state_of(client, stale_seconds), lag, lag is not None and 0 < lag == most)
        )
    return sorted(found, key=lambda one: (-(one.behind or 0), one.client.replica))


def forget(central: Central, replica: str) -> Client:
    """Hide the replica and let it hold nothing back. UnknownReplica if there is none."""
    return _changed(central, replica, lambda client: replace(client, forgotten=True))


def revoke(central: Central, replica: str, *, revoked: bool) -> Client:
    """Lock the replica out, or let it in again. UnknownReplica if there is none."""
    return _changed(central, replica, lambda client: replace(client, revoked=revoked, forgotten=False))


def assign(central: Central, replica: str, actor: Actor) -> Client:
    """Hand the replica over: it is this actor's own from now on. UnknownReplica if there is none."""
    return _changed(central, replica, lambda client: replace(client, actor=actor.owner))


def _changed(central: Central, replica: str, change: Callable[[Client], Client]) -> Client:
    def work(transaction: WriteTransaction) -> Client:
        client = transaction.ledger.lock_client(replica)
        if client is None:
            raise UnknownReplica(
                f"there is no replica {replica}", remedy="List them: syncline replicas syncline.toml"
            )
        changed = change(client)
        transaction.ledger.save_client(changed)
        return changed

    return central.transact(work)


def forget_for_good(transaction: WriteTransaction, stale_seconds: float) -> int:
    """Remove the records of those forgotten that were not seen for two stale periods; how many. An id from
    which another goes on stays its owner's: nobody else shall register under it (law L10)."""
    limit, roots = timedelta(seconds=2 * stale_seconds), set[str]()
    gone: list[Client] = []
    for client in every_client(transaction.ledger):
        if client.forgotten and _unseen(client, limit):
            gone.append(client)
        else:
            roots.add(client.root)
    gone = [client for client in gone if client.replica not in roots]
    for client in gone:
        transaction.ledger.drop_client(client.replica)
    return len(gone)


def _unseen(client: Client, limit: timedelta) -> bool:
    """Whether it has neither pulled nor pushed nor registered for so long."""
    return _older(client.last_seen, limit) and _older(client.last_push, limit)


def _older(moment: str | None, limit: timedelta) -> bool:
    """Whether an ISO 8601 time is that long ago; one that is not known is."""
    return moment is None or datetime.now(UTC) - datetime.fromisoformat(moment) > limit
