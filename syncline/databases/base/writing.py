"""Steps 5 to 7: stages on their way through one write transaction, and rows that others hold.

An adapter loads stages, locks their rows and compares them; what follows from that is the same everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from typing import Any, ClassVar, Generic, cast

from syncline.databases.base import statements
from syncline.databases.base.bases import Bases
from syncline.databases.base.codec import mend_floats
from syncline.databases.base.counters import Counting
from syncline.databases.base.holders import ANOTHER, BaseHolders
from syncline.databases.base.isolation import L
from syncline.databases.base.staged import R, Tries, Verbs
from syncline.databases.base.typed import TypedShape
from syncline.errors import Conflict
from syncline.hub.contract import Key, Position, Refusal, Rival, Stage, codes


class BaseWriter(ABC, Generic[L]):
    """The part of the contract's `Rows` that is about stages. The handle of a stage is what was loaded."""

    def __init__(self) -> None:
        self._staged: list[Stage] = []

    @abstractmethod
    def load(self, stage: Stage) -> None:
        """Bring the rows into the database, what they are there in the handle of the stage."""

    @abstractmethod
    def drop(self, loaded: Sequence[L]) -> None:
        """Free what the rows take."""

    @abstractmethod
    def present(self, stages: Sequence[Stage], *, hopeful: bool) -> Sequence[AbstractSet[int]]:
        """Lock the rows that exist, in one order for everybody; which these are, by stage. `hopeful`: as
        `lock` says."""

    @abstractmethod
    def is_triggered(self, loaded: L) -> bool:
        """Whether code of the user's may have changed what was written."""

    @abstractmethod
    def there(self, loaded: L) -> Iterable[int]:
        """The rows that exist."""

    @abstractmethod
    def stored_otherwise(self, loaded: L) -> Iterable[int]:
        """The rows, one or more, of an insert or update that are not as they were staged."""

    @abstractmethod
    def keyless(self, stage: Stage, rows: Sequence[int]) -> AbstractSet[int]:
        """Which of the rows, whose keys were refused, have a key that is no spelling of any."""

    def ready(self, stage: Stage) -> None:
        """Do what can be done before the transaction writes; nothing, unless an adapter has something."""

    def wait_longer(self, attempt: int, patience: float) -> None:
        """Nothing needs to be done, unless others can hold rows."""

    def foresee(self) -> None:
        """Nothing needs to be done, unless constraints are left to the commit."""

    def loaded(self, stage: Stage) -> L:
        """What is in the database of a stage."""
        assert stage.handle is not None, "the stage was not loaded"
        return cast(L, stage.handle)

    def stage(self, stage: Stage) -> None:
        """Load the rows. What cannot be loaded is refused when the stage is applied."""
        self.load(stage)
        self._staged.append(stage)

    def unstage(self) -> None:
        """Free what was loaded now, not only at the end, and let go of the rows."""
        self.drop([self.loaded(stage) for stage in self._staged])
        for stage in self._staged:
            stage.handle = None  # a stage and its handle hold each other
        self._staged.clear()

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        """Lock what exists; per stage the rows that are not as expected."""
        found = self.present(stages, hopeful=hopeful)
        return [
            [row for row in self.loaded(stage).live if (row in there) == (stage.form == "insert")]
            for stage, there in zip(stages, found, strict=True)
        ]

    def unfit(self, stage: Stage) -> tuple[list[int], list[int]]:
        """The rows that were refused for their key: of no row, of a row in another spelling."""
        live = self.loaded(stage).live
        if len(live) == len(stage.rows):
            return [], []
        gone = sorted(set(range(len(stage.rows))).difference(live))
        keyless = self.keyless(stage, gone)
        return [row for row in gone if row in keyless], [row for row in gone if row not in keyless]

    def differing(self, stage: Stage) -> list[int]:
        """Applied rows that are not stored as they were staged. A row that was deleted and is there was
        turned into an update, the centre's way of deleting."""
        loaded = self.loaded(stage)
        if not loaded.live:
            return []
        if stage.form == "delete":
            return sorted(self.there(loaded)) if self.is_triggered(loaded) else []
        return sorted(self.stored_otherwise(loaded))


class LockingWriter(BaseWriter[R], Counting[R], Generic[R]):
    """Where transactions write beside each other: rows may be held by others, and are waited for until the
    patience is over. Then those that could not be locked are refused, or all of a table that is held."""

    patience_over: ClassVar[type[Exception]]
    """The error of a statement that has waited for a lock in vain."""

    def __init__(self, session: Verbs, holders: BaseHolders[R]) -> None:
        super().__init__()
        self._verbs, self._holders, self.tries = session, holders, Tries()

    @abstractmethod
    def lock_rows(self, loaded: Sequence[R]) -> Iterable[tuple[int, int]]:
        """Lock the rows of all stages of one table in one statement: which stage, and their numbers in it. If
        `tries` says that nothing is waited for, rows that others hold are left out."""

    def present(self, stages: Sequence[Stage], *, hopeful: bool) -> Sequence[AbstractSet[int]]:
        found: list[set[int]] = [set() for _ in stages]
        loaded = [self.loaded(stage) for stage in stages]
        for item in loaded:
            item.unlooked = hopeful and item.stage.form == "insert"
        for table in sorted({stage.table for stage in stages}):
            sought = [
                i
                for i, item in enumerate(loaded)
                if item.stage.table == table and item.live and not item.unlooked
            ]
            for index, row in self._locked([loaded[i] for i in sought]) if sought else ():
                found[sought[index]].add(row)
        return found

    def there(self, loaded: R) -> list[int]:
        return [n for (n,) in self._verbs.run(*loaded.over(statements.present(loaded.shape)))]

    @abstractmethod
    def shape(self, table: int) -> TypedShape[Any]:
        """The table, which is used from now on."""

    def children(self, stage: Stage, child: int, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, Key]]:
        """The rows that point at those with the staged keys. If `tries` says that nothing is waited for, and
        others hold the table of the children, the staged rows are refused."""
        loaded, shape = self.loaded(stage), self.shape(child)
        query = loaded.over(statements.children(loaded.shape, shape, pairs))
        try:
            with nullcontext() if self.tries.waits else self._verbs.savepoint():
                found = [list(row) for row in self._verbs.run(*query)]
        except self.patience_over:
            if self.tries.waits:
                raise
            who = next(iter(self._holders.of_shape(shape)), ANOTHER)
            why = f"cannot go: {shape.table.name}, of which rows would go with it, is held by {who}"
            for row in loaded.live:
                loaded.refused.setdefault(row, waiting(loaded, row, why))
            return []
        mend_floats(found, [place for place, codec in enumerate(shape.keys, 1) if codec.is_float])
        return [(n, tuple(key)) for n, *key in found]

    @abstractmethod
    def write(self, loaded: Sequence[R], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, or nothing if any row is refused."""

    @abstractmethod
    def rivals_of(self, loaded: R, bases: Bases, *, again: bool) -> list[Rival]:
        """What others did to rows since their bases. `again`: once more, after this transaction has written
        them; what triggers have done in it is left out."""

    def rivals(
        self, stage: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        """What others did to the rows since their bases."""
        loaded = self.loaded(stage)
        loaded.asked = Bases(bases, base, replica)
        return self._rivals(loaded, again=False)

    def _rivals(self, loaded: R, *, again: bool) -> list[Rival]:
        bases = loaded.asked
        if bases is None or not bases.positions or not loaded.live:
            return []
        return self.rivals_of(loaded, bases, again=again)

    @abstractmethod
    def spell(self, table: int, keys: Sequence[Key]) -> list[Key]:
        """As the contract says."""

    @abstractmethod
    def still_known(self) -> None:
        """Raise Outdated if a table that was used is not what it was taken for."""

    def keyless(self, stage: Stage, rows: Sequence[int]) -> AbstractSet[int]:
        """Of a key that no row can have there is no other spelling."""
        keys = [tuple(stage.rows[row][: self.loaded(stage).shape.arity]) for row in rows]
        spelled = self.spell(stage.table, keys)
        return {row for row, key, there in zip(rows, keys, spelled, strict=True) if key == there}

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, or nothing if any row is refused. Raise Conflict if
        somebody else deleted a row that was inserted, while nobody was looking: now that it is there, nobody
        can touch it any more."""
        refusals = self.write([self.loaded(stage) for stage in stages], origin)
        if not refusals:
            inserted = [self.loaded(stage) for stage in stages if stage.form == "insert"]
            for item in inserted:
                if self._rivals(item, again=True):
                    raise Conflict(f"rows of {item.shape.table.name} were deleted by others meanwhile")
            self.follow(inserted)
        return refusals

    def is_triggered(self, loaded: R) -> bool:
        return loaded.shape.facts.triggered

    @abstractmethod
    def unlike(self, loaded: R) -> Iterable[int]:
        """The rows that are not as they were staged, by a look at them."""

    def stored_otherwise(self, loaded: R) -> Iterable[int]:
        """What the database computes is unknown to the device. What certainly is as it was sent needs no
        look."""
        if loaded.shape.computed_mask:
            return loaded.live
        respelled = loaded.respelled.intersection(loaded.live)
        if loaded.certain and not loaded.shape.facts.triggered:
            return respelled
        return respelled.union(self.unlike(loaded))

    def _locked(self, loaded: Sequence[R]) -> Iterator[tuple[int, int]]:
        """The rows that exist: which stage, and their numbers in it."""
        if self.tries.waits:
            yield from self.lock_rows(loaded)
            return
        try:
            with self._verbs.savepoint():
                rows = set(self.lock_rows(loaded))
        except self.patience_over:
            yield from self._refuse_all(loaded)
            return
        yield from rows
        for index, item in enumerate(loaded):
            left = self._holders.of_rows(item, but={row for of, row in rows if of == index})
            for row, who in left.items():
                item.refused[row] = held(item, row, who)
                yield index, row
            for row, why in self._holders.barred(item).items():
                item.refused.setdefault(row, waiting(item, row, why))

    def _refuse_all(self, loaded: Sequence[R]) -> Iterator[tuple[int, int]]:
        who = self._holders.of_shape(loaded[0].shape)
        for index, item in enumerate(loaded):
            item.stage.held = True
            for row in item.live:
                item.refused[row] = held(item, row, who)
                if item.stage.form != "insert":
                    yield index, row


def held(loaded: R, row: int, who: Sequence[str]) -> Refusal:
    """A row that is not to be had: who holds it is said in words, as far as it is known."""
    return waiting(loaded, row, f"is held by {who[0] if who else ANOTHER}")


def waiting(loaded: R, row: int, why: str) -> Refusal:
    """A row that cannot be written now, `why` in words."""
    shape = loaded.shape
    key = list(loaded.stage.rows[row][: shape.arity])
    return Refusal(loaded.stage, row, codes.LOCKED, f"{shape.table.name} {key!r} {why}")
