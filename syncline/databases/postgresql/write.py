"""What the hub does with rows in one write transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager

from psycopg.errors import LockNotAvailable

from syncline.databases.base import Ledger, WriteTransaction
from syncline.databases.base import statements as common
from syncline.databases.base.staged import Tries
from syncline.databases.base.writing import LockingWriter
from syncline.databases.postgresql import holders
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.apply import Application
from syncline.databases.postgresql.counters import follow
from syncline.databases.postgresql.dialect import PostgresLedgerSession
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.log import PostgresLog
from syncline.databases.postgresql.position import SnapshotPosition, snapshot_position
from syncline.databases.postgresql.read import RowReader
from syncline.databases.postgresql.session import BRIEF, FIRST_PATIENCE, Session, milliseconds
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded, discard, drop, load, place, ready
from syncline.databases.postgresql.unseen import Memory, Unseen, is_known, look
from syncline.errors import Conflict
from syncline.hub.contract import Position, Refusal, Rival, Stage
from syncline.model.masks import join_mask
from syncline.model.scope import Scope


class RowWriter(RowReader, LockingWriter[Loaded]):
    """The contract's `Rows`, READ COMMITTED."""

    patience_over = LockNotAvailable

    def __init__(self, session: Session, layout: Layout) -> None:
        RowReader.__init__(self, session, layout)
        LockingWriter.__init__(self)
        self._looked: Memory = {}

    def ready(self, stage: Stage) -> None:
        """Spell the rows as they are loaded."""
        stage.handle = ready(self.shape(stage.table), stage)

    def load(self, stage: Stage) -> None:
        if stage.handle is None:
            self.ready(stage)
        load(self._session, self.loaded(stage))

    def drop(self, loaded: Sequence[Loaded]) -> None:
        drop(self._session, [item.table for item in loaded if item.table])

    def savepoint(self) -> AbstractContextManager[None]:
        return self._session.savepoint()

    def lock_rows(self, loaded: Sequence[Loaded]) -> list[tuple[int, int]]:
        """What is to be deleted is also held against new children."""
        for item in loaded:
            place(self._session, item)
        shape, pieces, parameters = loaded[0].shape, [], []
        for number, item in enumerate(loaded):
            piece, parameter = item.over(sql.numbered(shape, number))
            pieces.append(piece.replace("$1", f"${number + 1}"))
            parameters.append(parameter)
        deletes = any(item.stage.form == "delete" for item in loaded)
        strength = "UPDATE {}" if deletes else "NO KEY UPDATE {}"
        strength += "" if self.tries.waits else " SKIP LOCKED"
        return [(i, n) for i, n in self._session.run(sql.lock(shape, pieces, strength), *parameters)]

    def present_rows(self, loaded: Loaded, locked: AbstractSet[int]) -> dict[int, list[str]]:
        return holders.of_rows(self._session, loaded, but=locked)

    def table_holders(self, loaded: Loaded) -> list[str]:
        return holders.of_shape(self._session, loaded.shape)

    def rivals(
        self, stage: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        """What others did to the rows since their bases. SQL narrows it down by what the oldest base has
        not seen; what a row's own base has seen is left out here."""
        self.loaded(stage).asked = bases, base, replica
        return self._rivals(self.loaded(stage), triggers=self._layout.triggered)

    def _rivals(self, loaded: Loaded, *, triggers: bool) -> list[Rival]:
        """With `triggers`, those that have fired in this transaction are among the others."""
        if loaded.asked is None:
            return []
        bases, base, replica = loaded.asked
        shape, seen = loaded.shape, _snapshots(bases, base)
        if not loaded.live or not seen:
            return []
        base_unseen = Unseen(
            min(position.seen.xmax for position in seen),
            frozenset().union(*(position.seen.running for position in seen)),
        )
        left = self._unseen(loaded, replica, base_unseen)
        if not left.others and left != base_unseen and not triggers:
            return []
        name = ("rivals", triggers)
        template = shape.statement(name, lambda: sql.rivals(shape, triggers=triggers))
        place(self._session, loaded)
        rows = self._session.run(*loaded.over(template), replica, *left.bound())
        whole = shape.table.all_mask
        return [
            Rival(n, at, op, join_mask(words) & whole, hlc, origin)
            for n, xid, seq, op, hlc, origin, *words in rows
            if not bases[base[n] if base else 0].sees(at := (shape.n, xid, seq))
        ]

    def _unseen(self, loaded: Loaded, replica: str, base: Unseen) -> Unseen:
        """What is looked through. The first time a small stage asks, that is all: nearly every push has
        another base than the one before."""
        memory = self._looked if self._session.connection.is_shared else self._session.connection.memory
        if not is_known(memory, loaded.shape, replica, base) and loaded.texts is not None:
            return base
        return look(self._session, memory, loaded.shape, replica, base)

    def discard(self, stage: Stage, rows: Sequence[int]) -> None:
        """Take rows out of a stage."""
        discard(self._session, self.loaded(stage), rows)

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, or nothing if any row is refused."""
        loaded = [self.loaded(stage) for stage in stages]
        self._written.update(stage.table for stage in stages if stage.form != "delete")
        refusals = Application(self._session, self._layout, loaded, origin, self.tries).run()
        if not refusals:
            inserted = [item for item in loaded if item.stage.form == "insert"]
            self._check_inserted(inserted)
            follow(self._session, inserted)
        return refusals

    def _check_inserted(self, inserted: Sequence[Loaded]) -> None:
        """Raise Conflict if somebody else deleted one of these rows while nobody was looking. Now that they
        are there, nobody can touch them any more."""
        for item in inserted:
            if self._rivals(item, triggers=False):
                name = item.shape.table.name
                raise Conflict(f"rows of {name} were deleted by others meanwhile")

    def is_triggered(self, loaded: Loaded) -> bool:
        return loaded.shape.facts.triggered

    def there(self, loaded: Loaded) -> list[int]:
        return [n for (n,) in self._session.run(*loaded.over(common.present(loaded.shape)))]

    def stored_otherwise(self, loaded: Loaded) -> Iterable[int]:
        shape, columns = loaded.shape, loaded.stage.columns
        if shape.computed_mask:  # made here, unknown to the device
            return loaded.live
        respelled = loaded.respelled.intersection(loaded.live)
        if loaded.certain and not shape.facts.triggered:
            return respelled
        place(self._session, loaded)
        read = loaded.read if loaded.table else frozenset()
        name = ("differing", *columns, -1, *sorted(read))
        template = shape.statement(name, lambda: sql.differing(shape, columns, read))
        return {n for (n,) in self._session.run(*loaded.over(template))} | respelled


class PostgresWriteTransaction(WriteTransaction[PostgresLog, RowWriter]):
    """The contract's `WriteTransaction`."""

    def __init__(
        self, session: Session, layout: Layout, cluster: str, lock_timeout: float, scope: Scope
    ) -> None:
        ledger = Ledger(PostgresLedgerSession(session))
        log = PostgresLog(session, layout, cluster, ledger, writes=True)
        super().__init__(log, RowWriter(session, layout), ledger, scope)
        self._session = session
        self._lock_timeout = lock_timeout

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Wait for each row as long as at first, which is not long enough to be a deadlock or to keep others
        waiting, until the patience is over. From the second time on not beside others that try again: a storm
        of them would keep failing on each other."""
        self.attempt, self.rows.tries = attempt, Tries(attempt, waits=patience > 0)
        wait_longer = queries("write.sql")["wait longer"]
        if attempt > 1:
            self._session.value(wait_longer, str(milliseconds(self._lock_timeout)))
            self._session.value(queries("write.sql")["queue"])
        seconds = min(FIRST_PATIENCE, patience) if patience > 0 else BRIEF
        self._session.value(wait_longer, str(milliseconds(seconds)))


def _snapshots(bases: Sequence[Position], base: Sequence[int]) -> list[SnapshotPosition]:
    """The bases that are used."""
    return [snapshot_position(bases[index]) for index in (set(base) or range(len(bases[:1])))]
