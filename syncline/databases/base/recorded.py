"""What was prepared in a database, as far as Syncline's own tables tell; what a hub keeps in memory of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, Protocol, TypeVar

from syncline.databases.base.before import present
from syncline.databases.base.layouts import other_layout
from syncline.databases.base.ledger import Ledger
from syncline.errors import NotPrepared
from syncline.hub.contract import Outdated, Renaming
from syncline.model.schema import Schema


class Recorded(ABC):
    """What is recorded, in a transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @abstractmethod
    def is_ours(self) -> bool | None:
        """Whether Syncline's own tables are of a layout that keeps the versions of the schema; None if there
        are none. Where statements like CREATE TABLE are committed one by one: whether the table `state` is
        there, or None; as long as it has no row, nothing counts as prepared."""

    @abstractmethod
    def renamed(self) -> Renaming | None:
        """As the contract says."""

    def identity(self) -> tuple[str, str]:
        """The hub's id, and the fingerprint of the schema in force. Raises NotPrepared."""
        found = self.found()
        if found is None:
            raise NotPrepared("the central database holds no tables of Syncline")
        return found

    def found(self) -> tuple[str, str] | None:
        """The same; None where nothing was prepared. NotPrepared for another layout."""
        is_ours = self.is_ours()
        if is_ours is False:
            raise other_layout(None)
        is_cut_short = is_ours and self.ledger.session.dialect.ddl_commits and not self.ledger.is_begun()
        return None if is_ours is None or is_cut_short else self.ledger.identity()

    def in_force(self) -> Schema | None:
        """The schema that was prepared last, None where nothing was. NotPrepared for another layout."""
        return None if self.found() is None else self.ledger.in_force()

    def last(self) -> tuple[str, Schema, Mapping[int, tuple[int, ...]]]:
        """The hub's id, the schema, and the columns of which the log keeps old values. Raises NotPrepared."""
        (hub, _), schema = self.identity(), self.ledger.in_force()
        if schema is None:
            raise NotPrepared("the central database was never prepared to the end")
        return hub, schema, present(schema, self.ledger.before())

    def ledger_here(self) -> Ledger | None:
        """The ledger, if it is one of this version's."""
        return self.ledger if self.is_ours() and self.ledger.is_of_this_layout() else None


class Layout(Protocol):
    """What is kept in memory of a prepared database."""

    @property
    def hub(self) -> str: ...

    @property
    def revision(self) -> str: ...


Y = TypeVar("Y", bound=Layout)
P = TypeVar("P", bound=Recorded)


class BaseCatalogue(ABC, Generic[Y, P]):
    """The part of the contract's `Catalogue` that looks up what was prepared, and what is kept of it."""

    notes: tuple[str, ...] = ()
    """Sentences of the last `reflect`."""

    kept: Y | None = None
    """The layout, if it was looked up and nothing is known to have changed since."""

    @abstractmethod
    def load(self) -> Schema:
        """The schema as last prepared, looked up anew, and its layout kept. NotPrepared if there is none."""

    @abstractmethod
    def looking(self) -> AbstractContextManager[P]:
        """What is prepared, in a transaction that reads one instant."""

    @property
    def hub_id(self) -> str:
        """A uuid made at the first `prepare`. NotPrepared before."""
        with self.looking() as recorded:
            return recorded.identity()[0]

    def renamed(self) -> Renaming | None:
        """By what the database itself knows tables and columns by."""
        with self.looking() as recorded:
            return recorded.renamed()

    def verify(self, known: Y, revision: object) -> None:
        """Any number of processes work on one database; each finds out here what another has prepared."""
        if revision != known.revision:
            self.kept = None
            raise Outdated("the central database was prepared anew by another process")


class BaseDatabase(ABC):
    """The part of the contract's `Database` that is about Syncline's own tables alone."""

    @abstractmethod
    def recorded(self, *, read_only: bool) -> AbstractContextManager[Recorded]:
        """What is recorded, in a transaction that is committed at the end."""

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Syncline's own tables alone; where writers follow each other, with the lock."""
        return self._ledger(read_only=False)

    def reading_ledger(self) -> AbstractContextManager[Ledger]:
        """Syncline's own tables alone."""
        return self._ledger(read_only=True)

    @contextmanager
    def _ledger(self, *, read_only: bool) -> Iterator[Ledger]:
        with self.recorded(read_only=read_only) as recorded:
            recorded.identity()
            yield recorded.ledger
