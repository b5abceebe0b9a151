"""Who an edit is, and who a file: chained pushes, stamps that are remembered, files that were copied or put
back.

Every captured edit has a stamp of its own, 8 random bytes, which outlives the id of the file that it is in.
The hub remembers the stamps that it has decided for as long as devices may offer their pushes again. Pushes
of one id are numbered and chained, so that two files that have the same id are told apart as soon as one of
them has pushed. A file of which anything is amiss takes a new id (`reconcile`), and whoever else has the
former id has to, too (`Client.departed`). What it had captured before is *carried*: another file may have the
same edits. A push with such edits is refused if one of them was decided before; the device then asks which.

The rules are `identity_rules.py` of the design, which plays them; see ADR 25.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from syncline.errors import Malformed, PushOutOfStep
from syncline.hub.compared import Compared, Found, Sought, is_known
from syncline.hub.contract import Client, Position, ReadLedger, ReadTransaction, Stamped, WriteTransaction
from syncline.hub.contract.kept import kept_json
from syncline.hub.contract.log import refused_watermark
from syncline.hub.lineages import claimed, lineages_of
from syncline.model.actor import Actor
from syncline.protocol.body import chained, each_stamp, link_of, seal_of, sealed
from syncline.protocol.messages import (
    COUNTED,
    STAMP_BYTES,
    CommitPush,
    Limits,
    PreparePush,
    Push,
    Reconcile,
    Rejection,
)

SHORTEST = 86_400
"""Seconds for which stamps are remembered at least."""

SEAL_BYTES = 8
"""What a value of the chain is sealed with."""

CONFLICTS_PAGE = 500
"""Conflicts that are read at once."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a push tells of its file, besides what is in `Push`: its `horizon`, if it has one, and for how
    many milliseconds the hub remembers stamps. `position` reads a position. `compared`: what need not be
    compared with its stamps any more."""

    horizon: Position | None
    memory: int
    position: Callable[[str], Position]
    compared: Compared = frozenset()


def memory_of(limits: Limits) -> int:
    """For how many milliseconds stamps are remembered: as long as devices may offer their pushes again."""
    return max(limits.keep_sent, SHORTEST) * 1000


def since(ledger: ReadLedger, memory: int) -> int:
    """From when on the hub knows all stamps, milliseconds since 1970 UTC: for `memory` milliseconds, but for
    what was forgotten when that was less. Read after the stamps: what is forgotten in between is told."""
    return max(ledger.milliseconds() - memory, ledger.forgotten())


def check_file(client: Client | None, number: int | None, chain: str) -> None:
    """Raise PushOutOfStep unless the file that pulls has made the pushes that the hub has of its id. One that
    does not tell is believed."""
    if client is None or number is None:
        return
    # Of a file that has not taken the verdict in yet the chain is not sealed.
    if client.departed or client.number != number or chain not in (client.chain, link_of(client.chain)):
        raise out_of_step(client, number)


def out_of_step(client: Client, number: int) -> PushOutOfStep:
    """What is said to a file that is not as its id says."""
    if number == client.number:
        return PushOutOfStep(
            f"another file than this one goes on under the id {client.replica}", code="replica_copied"
        )
    return PushOutOfStep(
        f"replica {client.replica} has made {client.number} pushes, and this file {number}",
        code="push_ahead" if number > client.number else "push_behind",
    )


def check_horizon(transaction: ReadTransaction, horizon: Position | None) -> None:
    """Raise WatermarkRefused if the centre has gone back to before something that the device holds."""
    if horizon is not None and transaction.log.standings([horizon]) == ["restored"]:
        raise refused_watermark("restored")


def is_repeat(client: Client, push: Push | PreparePush | CommitPush) -> bool:
    """Whether the push that has the number of the last one is that one. Its digest is the same."""
    return push.before is None or chained(push.before, push.digest) == link_of(client.chain)


def admit(
    transaction: WriteTransaction, client: Client, push: Push | PreparePush | CommitPush, told: Told
) -> None:
    """Raise unless the push, which has the next number, follows the one before it, and brings nothing that
    was decided before."""
    check_horizon(transaction, told.horizon)
    if push.before is None:
        return
    if client.departed or push.before != client.chain:
        raise out_of_step(client, push.number - 1)
    if not push.carried:
        return
    oldest = min(push.carried, _asked(client))
    names = lineages_of(transaction.ledger, client)
    known = is_known(transaction.ledger, names, push.stamps, told.compared)
    if known or oldest <= since(transaction.ledger, told.memory):
        raise out_of_step(client, client.number)


def _asked(client: Client) -> int:
    """When a file last asked what became of its edits, milliseconds since 1970 UTC, by the hub's clock. What
    a copy has brought since is remembered for as long from then on, whatever the clock of either says."""
    if client.asked is None:
        return COUNTED
    return int(datetime.fromisoformat(client.asked).timestamp() * 1000)


def lineage(client: Client, push: Push | PreparePush | CommitPush) -> str:
    """Under what name the stamps of a push are remembered: one that every file knows which may have them."""
    return (client.root or client.replica) if push.carried else client.replica


def remember(
    transaction: WriteTransaction,
    client: Client,
    push: Push | PreparePush | CommitPush,
    rejected: Sequence[Rejection],
) -> Client:
    """Keep what the push tells of itself; the record with its chain."""
    if push.stamps:
        packed = msgspec.msgpack.encode(rejected) if rejected else b""
        name = lineage(client, push)
        transaction.ledger.remember(Stamped(name, client.replica, push.number, push.stamps, packed))
        transaction.log.leave_mark()  # an answer that tells nothing new is to be missed, too, if this is lost
    before = client.chain if push.before is None else push.before
    return replace(client, chain=sealed(chained(before, push.digest), secrets.token_urlsafe(SEAL_BYTES)))


def noted(
    transaction: ReadTransaction, actor: Actor, found: Found, forgotten: tuple[str, int]
) -> list[tuple[str, int]]:
    """The conflicts that were noted of these pushes, and of those that were made under the id `forgotten`
    after the push of that number: the id under which each was made, and its number. None of ids that are
    somebody else's (law L10)."""
    conflicts: list[tuple[str, int]] = []
    for name in sorted({forgotten[0], *(replica for replica, _ in found.pushes)}):
        client = transaction.ledger.client(name)
        if client is None or client.revoked or not actor.may_use(client.actor):
            continue
        after, more = 0, True
        while more:
            rows = transaction.ledger.conflicts(name, False, after, CONFLICTS_PAGE)
            conflicts += [
                (name, row.id)
                for row in rows
                if (name, row.push) in found.pushes or (name == forgotten[0] and row.push > forgotten[1])
            ]
            after, more = rows[-1].id if rows else after, len(rows) == CONFLICTS_PAGE
    return conflicts


# Reconciling -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What became of a file's edits; see `messages.Reconciled`. `told`: bytes that are remembered anew of
    edits which the file knows to be rejected, and of which lineage."""

    replica: str
    taken: bool
    push: int
    found: Found
    lost: list[int]
    pruned: list[int]
    seal: str
    told: tuple[str, int] = ("", 0)


def sought(transaction: ReadTransaction, actor: Actor, request: Reconcile) -> Sought:
    """What is remembered by now of what a file asks for, for `reconcile`."""
    found = Sought(request)
    owned = _records(transaction.ledger, transaction.ledger.client, actor, request)
    found.compare(transaction.ledger, _lineages(transaction.ledger, actor, request, owned)[0])
    return found


def reconcile(
    transaction: WriteTransaction,
    actor: Actor,
    request: Reconcile,
    horizons: Sequence[Position | None],
    before: Sought,
    fresh: Client | None,
) -> Reconciliation:
    """Answer a file of which something is amiss, and give it another id if it needs one. Raises PushOutOfStep
    if another file has pushed under that id: one that was copied from this one while it asked for it.

    `horizons` are those of the request; None for one that cannot be read. `before`: what `sought` has found.
    `fresh`: the record of the id that it takes then, if it has asked before.
    """
    owned = _records(transaction.ledger, transaction.ledger.lock_client, actor, request)
    record = owned.get(request.previous)
    known, root = _lineages(transaction.ledger, actor, request, owned)
    remembered = before.up_to_now(transaction.ledger, known)
    lost, pruned = _lost(transaction, request, horizons, remembered)
    taken = record is not None and bool(request.outbox) and link_of(record.chain) == request.outbox
    same = record is not None and (record.number, record.chain) == (request.push, request.chain)
    found = remembered.found()
    pruned = [] if same or taken else pruned  # what the record says of is here, and all before it
    if record is not None and (same or taken) and not record.departed and not lost:
        transaction.ledger.save_client(replace(record, root=root, asked="now"))
        return Reconciliation(request.previous, taken, record.number, found, [], [], seal_of(record.chain))
    number, chain = request.push + taken, request.chain
    if record is not None and taken:
        chain = record.chain
    if fresh is not None and (fresh.number, fresh.chain) not in ((0, ""), (number, chain)):
        raise PushOutOfStep(
            f"another file than this one goes on under the new id {request.replica}", code="replica_copied"
        )
    for client in owned.values():
        transaction.ledger.save_client(replace(client, departed=True))
    made = fresh or Client(request.replica, registered="now", actor=actor.owner)
    first = root or (request.previous if record is not None else claimed(request.previous, actor.owner))
    told = first, _remember_refused(transaction, request, first, found)
    is_alone = same or taken or (record is not None and _is_own(record, remembered))
    transaction.ledger.save_client(
        replace(
            made,
            number=number,
            chain=chain,
            root=first,
            own=_own(transaction, request, record if is_alone else None),
            fingerprint=request.fingerprint or made.fingerprint,
            name=made.name or ("" if record is None else record.name),
            last_seen="now",
            asked="now",
        )
    )
    pushed = -1 if record is None else record.number
    return Reconciliation(request.replica, taken, pushed, found, lost, pruned, seal_of(chain), told)


def _remember_refused(transaction: WriteTransaction, request: Reconcile, lineage: str, found: Found) -> int:
    """Keep what the file knows to be rejected and the hub does not, like the stamps of a push: the centre has
    gone back to before it was, and a copy of the file would bring it as if nothing had been. How many bytes
    that is; whoever calls bounds them."""
    known, stamps, rejected = set(found.done), bytearray(), list[Rejection]()
    for one in request.refused:
        unknown = b"".join(stamp for stamp in each_stamp(one.stamps) if stamp not in known)
        if unknown:
            stamps += unknown
            rejected.append(Rejection(one.table, one.key, one.code, one.detail, one.remedy))
    if not stamps:
        return 0
    before = [one.push for one in transaction.ledger.pushes_of([lineage]) if one.replica == request.replica]
    number = min([0, *before]) - 1  # below those of all pushes
    packed = msgspec.msgpack.encode(rejected)
    transaction.ledger.remember(Stamped(lineage, request.replica, number, bytes(stamps), packed))
    return len(stamps) + len(packed)


def _lineages(
    ledger: ReadLedger, actor: Actor, request: Reconcile, owned: Mapping[str, Client]
) -> tuple[list[str], str]:
    """Where the file's edits may be remembered; and the lineage by its first id, if it had another."""
    record = owned.get(request.previous)
    names = dict.fromkeys([*request.former, request.previous, request.replica])
    strangers = ledger.known_clients(list(names)) - owned.keys()
    known = [name for name in names if name not in strangers]
    root = _root(request, record, owned, strangers, actor.owner)
    known += [claimed(name, actor.owner) for name in known]
    if root and root not in known:
        known.append(root)  # of a file that was handed over: its first id is still another's
    return known, root


def _root(
    request: Reconcile,
    record: Client | None,
    owned: Collection[str],
    strangers: Collection[str],
    owner: str,
) -> str:
    """The lineage by the first id that the file had, if it had another: as its record says, or as the file
    does. Never one that is somebody else's by what the file says (law L10): its edits would be remembered
    among theirs."""
    if record is not None and record.root:
        return record.root
    name = next((name for name in request.former if name not in strangers), "")
    return claimed(name, owner) if name and name not in owned else name


def _records(
    ledger: ReadLedger, record_of: Callable[[str], Client | None], actor: Actor, request: Reconcile
) -> dict[str, Client]:
    """The records of the ids that the file has and had, as far as they are the actor's own. One that it had
    may be locked out: what was decided under it counts, and nothing else is told of it. The gate has seen to
    the one that it has."""
    owned = {}
    names = {*request.former, request.previous} - {request.replica}
    for name in sorted(ledger.known_clients(names)):
        client = record_of(name)
        if client is not None and actor.may_use(client.actor):
            owned[name] = client
    return owned


def _is_own(record: Client, remembered: Sought) -> bool:
    """Whether the last push that the hub has of the file's id is one that the file still keeps: then it made
    all of them, and a centre that went back in time has lost the later ones."""
    return record.number == 0 or record.number in remembered.own


def _own(transaction: WriteTransaction, request: Reconcile, record: Client | None) -> str:
    """Up to where all that was done under the file's former ids was done by itself: under the one it leaves
    up to now, if `record` is of this file to its end. A copy of it has another record."""
    if record is None:
        return ""
    found = kept_json("the record of a replica", record.own) if record.own else {}
    return json.dumps(found | {request.previous: transaction.log.now().token()})


def own_of(
    transaction: ReadTransaction, client: Client, position: Callable[[str], Position]
) -> dict[str, Position]:
    """What `_own` has noted, as far as the centre has not gone back from it."""
    noted: dict[str, str] = kept_json("the record of a replica", client.own) if client.own else {}
    found = {name: position(token) for name, token in noted.items()}
    standings = transaction.log.standings(list(found.values()))
    pairs = zip(found.items(), standings, strict=True)
    return {name: place for (name, place), standing in pairs if standing != "restored"}


def _lost(
    transaction: WriteTransaction,
    request: Reconcile,
    horizons: Sequence[Position | None],
    remembered: Sought,
) -> tuple[list[int], list[int]]:
    """Which of the kept pushes the centre has lost: their answers came from a past that it has gone back
    from, and no push of just their edits is remembered that was taken as a whole. And those of which that is
    so if they are younger than the memory: the log no longer tells whether the answer came from its past."""
    if len(request.sent) != STAMP_BYTES * len(horizons):
        raise Malformed("an imprint belongs to each horizon")
    told = [(place, position) for place, position in enumerate(horizons) if position is not None]
    standings = transaction.log.standings([position for _, position in told]) if told else []
    pairs = zip(told, standings, strict=True)
    unsure = [(place, standing) for (place, _), standing in pairs if standing in ("restored", "pruned")]
    if not unsure:
        return [], []
    sent = list(each_stamp(request.sent))
    lost = [(place, standing) for place, standing in unsure if sent[place] not in remembered.whole]
    return [p for p, s in lost if s == "restored"], [p for p, s in lost if s == "pruned"]
