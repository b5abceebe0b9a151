"""Transactions of a database in which they go on beside each other, and others have locks and take rights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Generic, TypeVar

from syncline.databases.base.findings import rights_missing
from syncline.databases.base.holders import Hold, naming
from syncline.databases.base.inturn import PatientCatalogue
from syncline.databases.base.ledger import Ledger
from syncline.databases.base.reading import TypedReader
from syncline.databases.base.recorded import BaseDatabase
from syncline.databases.base.transaction import ReadTransaction, WriteTransaction, only_unbounded
from syncline.databases.base.writing import LockingWriter
from syncline.errors import DatabaseError
from syncline.model.scope import Scope

V = TypeVar("V")
G = TypeVar("G")
R = TypeVar("R", bound=TypedReader[Any])
W = TypeVar("W", bound=LockingWriter[Any])


class PatientDatabase(BaseDatabase, Generic[V, G, R, W]):
    """The contract's `Database`, as far as it is about transactions. `V` are the adapter's sessions, `G` its
    log, `R` and `W` what its transactions read and write rows by."""

    forbidden: ClassVar[type[Exception]]
    """The driver's error of a statement that the role may not run."""

    catalogue: PatientCatalogue[Any]

    @abstractmethod
    def begun(self, *, writes: bool) -> AbstractContextManager[V]:
        """A transaction that sees one instant; it may leave a mark, also where an operator has forbidden
        writes by default, and writes nothing else. Or one that `writes`, and commits on success: every
        statement of it sees what was committed before."""

    @abstractmethod
    def revision(self, session: V, *, writes: bool) -> object:
        """That of what is prepared. Until the end of a transaction that writes nobody prepares it anew."""

    @abstractmethod
    def ledger_over(self, session: V) -> Ledger:
        """The ledger in this transaction."""

    @abstractmethod
    def reader(self, session: V, known: Any, ledger: Ledger) -> tuple[G, R]:
        """Log and rows of a transaction that reads; `known` is the layout."""

    @abstractmethod
    def writer(self, session: V, known: Any, ledger: Ledger) -> tuple[G, W]:
        """Log and rows of one that writes."""

    @abstractmethod
    def lacking(self) -> tuple[str, Sequence[str]]:
        """In a transaction of its own: the role, and statements that allow it what it may not do with
        Syncline's own tables."""

    @contextmanager
    def read(self, scope: Scope) -> Iterator[ReadTransaction[G, R]]:
        """A transaction that sees one instant."""
        with self._opened(scope, writes=False) as (session, known):
            ledger = self.ledger_over(session)
            log, rows = self.reader(session, known, ledger)
            yield ReadTransaction(log, rows, ledger, scope)
            rows.still_known()

    @contextmanager
    def write(self, scope: Scope) -> Iterator[WriteTransaction[G, W]]:
        """A transaction that commits on success; every statement sees what was committed before it."""
        with self._opened(scope, writes=True) as (session, known):
            ledger = self.ledger_over(session)
            log, rows = self.writer(session, known, ledger)
            yield WriteTransaction(log, rows, ledger, scope)
            rows.still_known()

    @contextmanager
    def _opened(self, scope: Scope, *, writes: bool) -> Iterator[tuple[V, Any]]:
        only_unbounded(scope)
        known = self.catalogue.known()
        how: Hold = "held" if writes else "closed"
        with naming(self.catalogue.holders, how), self.begun(writes=writes) as session:
            self.catalogue.verify(known, self.revision(session, writes=writes))
            yield session, known

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """What the role may not do with Syncline's own tables is said with the statements that allow it."""
        try:
            yield
        except DatabaseError as error:
            if not isinstance(error.__cause__, self.forbidden):
                raise
            role, lacking = self.lacking()
            if not lacking:
                raise
            raise rights_missing(role, lacking) from error
