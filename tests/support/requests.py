"""Requests of every kind, for tests of who may send them."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from syncline.hub.engine import Hub
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m
from syncline.protocol.body import seal


def requests_of(hub: Hub, replica: str | None) -> dict[type, m.Request]:
    """A sound request of every kind, as far as the gate is concerned, in the name of a replica."""
    schema = hub.schema.fingerprint
    named: Any = replica
    with hub.database.read(UNBOUNDED) as transaction:
        mark = hub._central.mint(transaction.log.now(), UNBOUNDED, named or "")
    body, digest = seal([])
    found: list[m.Request] = [
        m.Register(named),
        m.Reconcile("fresh", named, [], 0, ""),
        m.SchemaQuery(replica),
        m.Pull(mark, 10, named, schema),
        m.Push(named, 1, schema, [mark], digest, Raw(body)),
        m.BeginPush(named, 1, schema, [mark], digest, 1, 1),
        m.PushChunk(named, 2, 1, digest, digest, Raw(body)),
        m.PreparePush(named, 2, schema, digest),
        m.CommitPush(named, 2, schema, digest),
        m.ForgetPush(named, 2),
        m.Snapshot(named, schema),
        m.Verify(named, schema, mark),
        m.Spell(named, 0, []),
        m.StateQuery(named),
        m.ConflictsQuery(replica),
        m.Resolve(1, "sent", None, replica),
    ]
    return {type(request): request for request in found}
