"""A central database: its catalogue, and transactions that offer log, rows and ledger."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from syncline.errors import Conflict
from syncline.hub.contract.catalogue import Catalogue
from syncline.hub.contract.ledger import Ledger, ReadLedger
from syncline.hub.contract.log import Log, Position, ReadLog
from syncline.hub.contract.rows import ReadRows, Rows
from syncline.model.scope import Scope


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a process uses the central database: at most `pool` connections; timeouts in seconds.

    `lock_timeout` is the longest wait for a row that others hold (SQLite: for the file), `statement_timeout`
    for any one statement (0: no limit). `direct` is a URL that leads to the database itself where the usual
    one leads to a pooler; news are waited for there."""

    pool: int = 10
    statement_timeout: float = 0.0
    lock_timeout: float = 15.0
    direct: str = ""


class Outdated(Conflict):
    """What this process keeps in memory of the layout is no longer true: another one has prepared the
    database anew. Nothing was done; `load` again, then begin again with what was sent. From `prepare` and
    `examine`: the tables are not what `reflect` has said; `reflect` again."""


class Locked(Conflict):
    """What others hold was not free within the time that one transaction waits. Nothing was done, and nobody
    is kept waiting by it meanwhile: run it again, see `WriteTransaction.wait_longer`."""


class ReadTransaction(Protocol):
    """Everything in it is seen as of one instant, and `log` and `rows` are within its scope."""

    @property
    def scope(self) -> Scope:
        """What the actor may have at this instant: the scope that was asked for, with its anchors as they are
        now. Watermarks that are given out of this transaction are sealed with it."""

    @property
    def log(self) -> ReadLog: ...

    @property
    def rows(self) -> ReadRows: ...

    @property
    def ledger(self) -> ReadLedger: ...


class WriteTransaction(Protocol):
    """Every statement sees what others committed before; what is written is committed whole or not at all.

    What is read of `rows` is within the scope; what is written may meet rows beyond it, see `Rows`."""

    @property
    def scope(self) -> Scope: ...

    @property
    def log(self) -> Log: ...

    @property
    def rows(self) -> Rows: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def attempt(self) -> int:
        """How often this transaction was run before, for it met a concurrent one."""

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Called first in a transaction that is run again, for the `attempt`th time: wait for others again,
        at most for `patience` seconds; with none left, refuse rows that others hold (`codes.LOCKED`)."""

    def foresee(self) -> None:
        """Called first in a transaction that is not to be committed: `Rows.apply` refuses what the commit
        would refuse, too. (`write` runs a transaction again, by Conflict, that was refused at its end.)"""


class Database(Protocol):
    """A central database. Safe to use from several threads; keeps a bounded pool of connections.

    Errors: DatabaseUnavailable, NotPrepared, SchemaError, Conflict (run the transaction again);
    constraint trouble inside `write` is a Refusal, not an error. Outdated, from `read` and `write` alone.
    """

    @property
    def catalogue(self) -> Catalogue:
        """What is asked and done outside of transactions of the engine's."""

    @property
    def lock_timeout(self) -> float:
        """Seconds that a push waits for rows that others hold, in all (`Locked`)."""

    def read(self, scope: Scope) -> AbstractContextManager[ReadTransaction]:
        """One read-only transaction in which everything is seen as of one instant and within `scope`.

        The scope belongs to the transaction, so that nothing read through it can forget it (law L10).
        ScopeUnsupported before anything is read, if it cannot be kept within."""

    def write(self, scope: Scope) -> AbstractContextManager[WriteTransaction]:
        """One transaction that commits on success and rolls back on any error; for `scope` as with `read`.

        Every later statement sees what others committed before it (READ COMMITTED or a write lock)."""

    def ledger(self) -> AbstractContextManager[Ledger]:
        """A transaction that writes, of the ledger alone: it needs nothing of the user's tables, which may
        not be what was prepared. NotPrepared before the first `prepare`."""

    def reading_ledger(self) -> AbstractContextManager[ReadLedger]:
        """`ledger`, to be read alone: it waits for nobody who writes, and nobody for it. NotPrepared."""

    def position(self, token: str) -> Position:
        """Parse a position token; ValueError if it is not one of this kind of database.

        A token of another cluster gives a position that has seen nothing and is `restored`."""

    def instant(self) -> object:
        """Where the database stands at this moment: equal to what it was before only if nothing was committed
        in between, by whomever, that a read transaction would see. Costs one small question, on a connection
        of its own that is made for it. DatabaseUnavailable."""

    def hint(self) -> None:
        """Wake every `Watch` on this database, in whatever process. It may be lost: nothing relies on it."""

    def watch(self) -> Watch:
        """Begin to listen for hints."""

    def close(self) -> None:
        """Close all connections; those in use when they are given back."""


class Watch(Protocol):
    """Somebody who waits for news: a hint of a hub, or what another program has committed.

    For one thread at a time. A wait may end for nothing, and after trouble it does; whoever waits pulls to
    see whether there is anything (law L4 rests on the pull alone).
    """

    def wait(self, seconds: float) -> bool:
        """True as soon as something may be new since the last wait, False after `seconds`.

        What a hub committed ends the wait at once, what other programs wrote within a second or so.
        Raises DatabaseUnavailable; the next wait connects again, and ends at once."""

    def close(self) -> None: ...
