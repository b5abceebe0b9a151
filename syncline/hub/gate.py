"""The gate: who may ask what. Between the transports and the handlers, which nothing else calls (law L10).

    transport -> gate -> handler

Who may use a kind of request stands in `protocol.routes`; what has no entry there is refused. A handler gets
at the central database through its `Caller` alone, which looks at the replica's record in the transaction in
which the handler then works: what a revocation has committed before holds, and nothing is asked twice.

One answer is given without the gate: a repeated "nothing new" by `server.unchanged`, to the same actor and
for as long as nobody has committed anything, a revocation included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from syncline.errors import (
    Forbidden,
    Malformed,
    NotPrepared,
    ReplicaOfAnother,
    ReplicaRevoked,
    SynclineError,
    UnknownReplica,
)
from syncline.hub.central import Central
from syncline.hub.contract import Client, Outdated, ReadTransaction, WriteTransaction
from syncline.model.actor import Actor, shown
from syncline.protocol import messages as m
from syncline.protocol.routes import BY_REQUEST, Route

T = TypeVar("T")


class Caller:
    """Whoever asks, and for a handler the only way to the central database.

    `read` and `write` give transactions within the actor's `scope`. They refuse with UnknownReplica,
    ReplicaOfAnother or ReplicaRevoked before the handler has seen anything, and give the record of the
    replica in whose name is asked: None where none is named, and for one that is about to register or that an
    operator has made up.
    """

    def __init__(self, central: Central, actor: Actor, route: Route, request: m.Request) -> None:
        self.actor, self.scope = actor, actor.scope
        self.replica: str | None = getattr(request, "replica", None)
        self._has_looked = False
        self._central, self._route = central, route
        self._previous: str | None = getattr(request, "previous", None)

    @contextmanager
    def read(self) -> Iterator[tuple[ReadTransaction, Client | None]]:
        """A read transaction, and the replica's record as it sees it."""
        with self._central.database.read(self.scope) as transaction:
            client = self._record(transaction)
            self._admit(transaction, client)
            yield transaction, client

    def write(self, work: Callable[[WriteTransaction, Client | None], T]) -> T:
        """`Central.write`; the replica's record is locked until the end of the transaction."""

        def admitted(transaction: WriteTransaction) -> T:
            client = None if self.replica is None else self._locked(transaction, self.replica)
            self._admit(transaction, client)
            return work(transaction, client)

        return self._central.write(admitted, self.scope)

    def _locked(self, transaction: WriteTransaction, replica: str) -> Client | None:
        """The record. Of two who register one id at the same time the second waits, and finds the first's."""
        client = transaction.ledger.lock_client(replica)
        if client is None and self._route.registers:
            return transaction.ledger.lock_new_client(replica)
        return client

    def look(self) -> None:
        """See that the record was looked at, if the handler had no need of the database."""
        if not self._has_looked:
            with self._central.database.read(self.scope) as transaction:
                self._admit(transaction, self._record(transaction))

    def _record(self, transaction: ReadTransaction) -> Client | None:
        return None if self.replica is None else transaction.ledger.client(self.replica)

    def _admit(self, transaction: ReadTransaction, client: Client | None) -> None:
        if client is None and self.replica is not None and not self._may_be_unknown:
            raise UnknownReplica(f"replica {self.replica} was never registered here")
        former = None if self._previous is None else transaction.ledger.client(self._previous)
        for named in (client, former):
            if named is not None:
                check_own(self.actor, named)
        self._has_looked = True

    @property
    def _may_be_unknown(self) -> bool:
        return self._route.registers or self.actor.operator


Handler = Callable[[Caller, Any], m.Response]
Handlers = Mapping[type, Handler]


class Gate:
    """The only caller of handlers."""

    def __init__(self, central: Central, handlers: Handlers) -> None:
        self._central, self._handlers = central, handlers

    def answer(self, actor: Actor, request: m.Request) -> m.Response:
        """Let the handler answer, or refuse. Raises SynclineError; nothing has changed then."""
        route, handler = BY_REQUEST.get(type(request)), self._handlers.get(type(request))
        if route is None or route.who is None or handler is None:
            raise Forbidden(
                f"{type(request).__name__} is open to nobody here",
                code="route_closed",
                remedy="Upgrade the hub, or ask for something that /openapi.json names.",
            )
        caller = Caller(self._central, actor, route, request)
        _check_role(route, caller, request)
        try:
            response = handler(caller, request)
        except (Outdated, NotPrepared):  # to be asked again, once what is kept in memory was looked up anew
            raise
        except SynclineError:
            if route.who != "anyone":
                caller.look()  # whoever may not ask is told that, whatever else is wrong
            raise
        if route.who != "anyone":
            caller.look()
        return response


def check_own(actor: Actor, client: Client) -> None:
    """Raise ReplicaOfAnother unless the replica is the actor's own, ReplicaRevoked if it is locked out.

    A replica belongs to whoever registered it. One that was registered while the hub was open belongs to
    `anyone`, who is nobody as soon as there is an authenticator: an operator hands it over, or it stays out.
    """
    if not actor.may_use(client.actor):
        raise ReplicaOfAnother(
            f"replica {client.replica} was registered by another actor than the one that asks,"
            f" {shown(actor.owner)!r}"
        )
    if client.revoked:
        raise ReplicaRevoked(f"replica {client.replica} was locked out of this hub")


def _check_role(route: Route, caller: Caller, request: m.Request) -> None:
    """What can be told without the database."""
    concerns_all = route.who == "operator" or (route.who == "replica" and caller.replica is None)
    if concerns_all and not caller.actor.operator:
        raise Forbidden(
            f"{type(request).__name__} without a replica of one's own is for operators",
            code="operators_only",
            remedy="Name a replica of your own, or ask as an operator of the hub.",
        )
    pull = getattr(request, "pull", None)
    if pull is not None and pull.replica != caller.replica:
        raise Malformed("a push carries the pull of its own replica")
