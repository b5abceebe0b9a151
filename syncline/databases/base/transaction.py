"""A transaction: log, rows and ledger over one connection, within a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from syncline.databases.base.ledger import Ledger
from syncline.errors import ScopeUnsupported
from syncline.model.scope import Scope

L = TypeVar("L")
R = TypeVar("R")


class Waiting(Protocol):
    """Rows that are written, and may be held by others."""

    def wait_longer(self, attempt: int, patience: float) -> None:
        """As the contract's `WriteTransaction` says."""

    def foresee(self) -> None:
        """As the contract's `WriteTransaction` says."""


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class ReadTransaction(Generic[L, R]):
    """The contract's `ReadTransaction`; `log` and `rows` are the adapter's."""

    log: L
    rows: R
    ledger: Ledger
    scope: Scope


@dataclass(slots=True)
class WriteTransaction(ReadTransaction[L, W]):
    """The contract's `WriteTransaction`."""

    attempt: int = 0

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Note how often the transaction was run before, and wait for rows accordingly."""
        self.attempt = attempt
        self.rows.wait_longer(attempt, patience)

    def foresee(self) -> None:
        """Nothing is committed: let rows be refused that the commit would find."""
        self.rows.foresee()


def only_unbounded(scope: Scope) -> Scope:
    """The scope, for an adapter that has no row filter. ScopeUnsupported for any but the unbounded one: what
    is not filtered must not be read (law L10)."""
    if not scope.is_unbounded:
        raise ScopeUnsupported("this kind of central database cannot keep within a scope")
    return scope
