"""What the hub does with rows in one write transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from psycopg.errors import LockNotAvailable

from syncline.databases.base import Ledger, WriteTransaction
from syncline.databases.base import statements as common
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.apply import Application
from syncline.databases.postgresql.counters import follow
from syncline.databases.postgresql.dialect import PostgresLedgerSession
from syncline.databases.postgresql.errors import Tries
from syncline.databases.postgresql.holders import holders, of_table
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.log import PostgresLog
from syncline.databases.postgresql.position import SnapshotPosition
from syncline.databases.postgresql.read import RowReader
from syncline.databases.postgresql.session import BRIEF, FIRST_PATIENCE, Session, milliseconds
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded, discard, drop, held, load, place, ready
from syncline.databases.postgresql.unseen import Memory, Unseen, is_known, look
from syncline.errors import Conflict, WatermarkRefused
from syncline.hub.contract import Position, Refusal, Rival, Stage, codes
from syncline.model.masks import join_mask
from syncline.model.scope import Scope


class RowWriter(RowReader):
    """The contract's `Rows`, READ COMMITTED."""

    def __init__(self, session: Session, layout: Layout) -> None:
        super().__init__(session, layout)
        self._staged: list[Stage] = []
        self._looked: Memory = {}
        self.tries = Tries()

    def ready(self, stage: Stage) -> None:
        """Spell the rows as they are loaded."""
        stage.handle = ready(self._shape(stage.table), stage)

    def stage(self, stage: Stage) -> None:
        """Load the rows. What cannot be loaded is refused when the stage is applied."""
        if stage.handle is None:
            self.ready(stage)
        load(self._session, _loaded(stage))
        self._staged.append(stage)

    def unstage(self) -> None:
        """Drop the temporary tables now, not only at the end, and let go of the rows."""
        drop(self._session, [table for stage in self._staged if (table := _loaded(stage).table)])
        for stage in self._staged:
            stage.handle = None  # a stage and its handle hold each other
        self._staged.clear()

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        """Lock what exists, in the order of tables and keys; per stage the rows that are not as expected."""
        found: list[set[int]] = [set() for _ in stages]
        for stage in stages:
            _loaded(stage).unlooked = hopeful and stage.form == "insert"
        for table in sorted({stage.table for stage in stages}):
            chosen = [i for i, stage in enumerate(stages) if stage.table == table and _is_sought(stage)]
            loaded = [_loaded(stages[i]) for i in chosen]
            for index, row in self._locked(loaded) if chosen else ():
                found[chosen[index]].add(row)
        return [
            [row for row in _loaded(stage).live if (row in there) == (stage.form == "insert")]
            for stage, there in zip(stages, found, strict=True)
        ]

    def _locked(self, loaded: Sequence[Loaded]) -> Iterator[tuple[int, int]]:
        """The rows that exist: which stage, and their numbers in it. When the patience is over, those that
        could not be locked are refused, or all if it is the table that somebody holds."""
        if self.tries.waits:
            yield from ((index, row) for index, row in self._lock(loaded))
            return
        try:
            with self._session.savepoint():
                rows = {(index, row) for index, row in self._lock(loaded)}
        except LockNotAvailable:
            yield from self._refuse_all(loaded)
            return
        yield from rows
        for index, item in enumerate(loaded):
            left = self._refuse_held(item, {row for of, row in rows if of == index})
            yield from ((index, row) for row in left)

    def _refuse_all(self, loaded: Sequence[Loaded]) -> Iterator[tuple[int, int]]:
        relids = self._session.value(queries("prepare.sql")["relids"], loaded[0].shape.n)
        who = of_table(self._session, relids)
        for index, item in enumerate(loaded):
            for row in item.live:
                item.refused[row] = Refusal(item.stage, row, codes.LOCKED, held(item, row, who))
                if item.stage.form != "insert":
                    yield index, row

    def _lock(self, loaded: Sequence[Loaded]) -> list[list[int]]:
        """Lock the rows of all stages of one table in one statement: one order for everybody. What is to be
        deleted is also held against new children."""
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
        return self._session.run(sql.lock(shape, pieces, strength), *parameters)

    def _refuse_held(self, loaded: Loaded, locked: AbstractSet[int]) -> set[int]:
        """Refuse the rows that exist and could not be locked; their numbers."""
        present = self._session.run(*loaded.over(sql.held(loaded.shape)))
        rows = [(n, xid) for n, xid in present if n not in locked]
        known = holders(self._session, [xid for _, xid in rows])
        for row, xid in rows:
            detail = held(loaded, row, [known[xid]] if xid in known else [])
            loaded.refused[row] = Refusal(loaded.stage, row, codes.LOCKED, detail)
        return {row for row, _ in rows}

    def rivals(
        self, stage: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        """What others did to the rows since their bases. SQL narrows it down by what the oldest base has
        not seen; what a row's own base has seen is left out here."""
        _loaded(stage).asked = bases, base, replica
        return self._rivals(_loaded(stage), triggers=self._layout.triggered)

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
        discard(self._session, _loaded(stage), rows)

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, or nothing if any row is refused."""
        loaded = [_loaded(stage) for stage in stages]
        self._written.update(stage.table for stage in stages if stage.form != "delete")
        refusals = Application(self._session, self._layout, loaded, origin, self.tries).run()
        if not refusals:
            inserted = [item for item in loaded if item.stage.form == "insert"]
            self._check_inserted(inserted)
            follow(self._session, inserted)
        return refusals

    def _unlog(self, deleted: Sequence[Loaded]) -> None:
        """A delete that a trigger or rule of the user's turned into an update is no delete."""
        for item in deleted:
            if item.live:
                self._session.count(*item.over(sql.unlog(item.shape)))

    def _check_inserted(self, inserted: Sequence[Loaded]) -> None:
        """Raise Conflict if somebody else deleted one of these rows while nobody was looking. Now that they
        are there, nobody can touch them any more."""
        for item in inserted:
            if self._rivals(item, triggers=False):
                name = item.shape.table.name
                raise Conflict(f"rows of {name} were deleted by others meanwhile")

    def differing(self, stage: Stage) -> list[int]:
        """Applied rows that are not stored as they were staged."""
        loaded = _loaded(stage)
        shape, columns = loaded.shape, stage.columns
        if not loaded.live:
            return []
        if stage.form == "delete":  # turned into an update, the centre's way of deleting
            there = self._session.run(*loaded.over(common.present(shape))) if shape.facts.triggered else []
            return sorted(n for (n,) in there)
        if shape.computed_mask:  # made here, unknown to the device
            return list(loaded.live)
        if loaded.certain and not shape.facts.triggered:
            return sorted(loaded.respelled.intersection(loaded.live))
        place(self._session, loaded)
        read = loaded.read if loaded.table else frozenset()
        name = ("differing", *columns, -1, *sorted(read))
        template = shape.statement(name, lambda: sql.differing(shape, columns, read))
        rows = self._session.run(*loaded.over(template))
        return sorted({n for (n,) in rows} | loaded.respelled.intersection(loaded.live))


class PostgresWriteTransaction(WriteTransaction[PostgresLog, RowWriter]):
    """The contract's `WriteTransaction`."""

    def __init__(
        self, session: Session, layout: Layout, cluster: str, lock_timeout: float, scope: Scope
    ) -> None:
        ledger = Ledger(PostgresLedgerSession(session))
        log = PostgresLog(session, layout, cluster, ledger)
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


def _loaded(stage: Stage) -> Loaded:
    assert isinstance(stage.handle, Loaded), "the stage was not loaded"
    return stage.handle


def _is_sought(stage: Stage) -> bool:
    loaded = _loaded(stage)
    return bool(loaded.live) and not loaded.unlooked


def _snapshots(bases: Sequence[Position], base: Sequence[int]) -> list[SnapshotPosition]:
    """The bases that are used."""
    used = [bases[index] for index in set(base)] if base else list(bases[:1])
    if not all(isinstance(position, SnapshotPosition) for position in used):
        raise WatermarkRefused("a base is not a watermark of this database")
    return [position for position in used if isinstance(position, SnapshotPosition)]
