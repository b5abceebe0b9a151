"""A transaction: log, rows and ledger over one connection, within a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from syncline.databases.base.ledger import Ledger
from syncline.errors import ScopeUnsupported
from syncline.model.scope import Scope

L = TypeVar("L")
R = TypeVar("R")


@dataclass(slots=True)
class ReadTransaction(Generic[L, R]):
    """The contract's `ReadTransaction`; `log` and `rows` are the adapter's."""

    log: L
    rows: R
    ledger: Ledger
    scope: Scope


@dataclass(slots=True)
class WriteTransaction(ReadTransaction[L, R]):
    """The contract's `WriteTransaction`, of a database in which nothing needs to be done to wait longer."""

    attempt: int = 0

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Note how often the transaction was run before."""
        self.attempt = attempt


def only_unbounded(scope: Scope) -> Scope:
    """The scope, for an adapter that has no row filter. ScopeUnsupported for any but the unbounded one: what
    is not filtered must not be read (law L10)."""
    if not scope.is_unbounded:
        raise ScopeUnsupported("this kind of central database cannot keep within a scope")
    return scope
