"""Which columns must wait, so that a foreign key never points at what is not there (law L9)."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.hub.contract import Stage
from syncline.model.schema import ForeignKey, TableSchema


class Order:
    """The stages of one call, and what follows from their order.

    `postponed[i]` are the positions in stage i's columns that are set once all stages have been written:
    foreign keys to a table that a later stage inserts into. In an insert, only what may be NULL can wait.
    """

    def __init__(
        self, tables: Sequence[TableSchema], stages: Sequence[Stage], *, strictly: bool = False
    ) -> None:
        self._tables = tables
        self._stages = stages
        self._strictly = strictly
        self.postponed: dict[int, tuple[int, ...]] = {}
        for index, stage in enumerate(stages):
            positions = self._waiting(index, strictly) if stage.form != "delete" else set()
            if positions:
                self.postponed[index] = tuple(sorted(positions))

    def strict(self) -> Order:
        """The order for writing row by row: rows of one stage may need each other, too."""
        return Order(self._tables, self._stages, strictly=True)

    def early_deletes(self, present: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """The deletes whose parents go before them: stage index to the columns to set NULL."""
        found: dict[int, tuple[int, ...]] = {}
        deleted_before: set[str] = set()
        for index in present:
            table = self._tables[index]
            if self._stages[index].form != "delete":
                continue
            keys = [fk for fk in table.enforced if fk.parent in deleted_before]
            if keys:
                found[index] = tuple(sorted(_columns(table, keys, nullable=True)))
            deleted_before.add(table.name)
        return found

    def moving(self) -> dict[int, tuple[int, ...]]:
        """The updates that give rows another parent after the former one may have been deleted: stage index
        to the columns to set NULL before. Row by row, what fails is tried again after the
        deletes, so that these may all be before."""
        found: dict[int, tuple[int, ...]] = {}
        stages = list(zip(self._tables, self._stages, strict=True))
        deleted_before = {table.name for table, stage in stages if self._strictly and stage.form == "delete"}
        for index, (table, stage) in enumerate(stages):
            if stage.form == "delete":
                deleted_before.add(table.name)
            elif stage.form == "update":
                keys = [fk for fk in table.enforced if fk.parent in deleted_before]
                columns = _columns(table, keys, nullable=True).intersection(stage.columns)
                if columns:
                    found[index] = tuple(sorted(columns))
        return found

    def _waiting(self, index: int, strictly: bool) -> set[int]:
        table, stage = self._tables[index], self._stages[index]
        later = {
            self._tables[other].name
            for other, that in enumerate(self._stages)
            if that.form == "insert" and (other > index or (strictly and other == index))
        }
        keys = [fk for fk in table.enforced if fk.parent in later]
        waiting = _columns(table, keys, nullable=stage.form == "insert")
        return {position for position, column in enumerate(stage.columns) if column in waiting}


def _columns(table: TableSchema, keys: Sequence[ForeignKey], *, nullable: bool) -> set[int]:
    """The numbers of the foreign keys' value columns; with `nullable`, only of those that may be NULL."""
    names = {name for fk in keys for name in fk.columns}
    columns = [column for column in table.values.values() if column.name in names]
    return {column.number for column in columns if column.nullable or not nullable}
