"""A transaction: log, rows and ledger over one connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from syncline.databases.base.ledger import Ledger

L = TypeVar("L")
R = TypeVar("R")


@dataclass(slots=True)
class ReadTransaction(Generic[L, R]):
    """The contract's `ReadTransaction`; `log` and `rows` are the adapter's."""

    log: L
    rows: R
    ledger: Ledger


@dataclass(slots=True)
class WriteTransaction(ReadTransaction[L, R]):
    """The contract's `WriteTransaction`, of a database in which nothing needs to be done to wait longer."""

    attempt: int = 0

    def wait_longer(self, attempt: int) -> None:
        """Note how often the transaction was run before."""
        self.attempt = attempt
