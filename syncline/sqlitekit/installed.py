"""The triggers of a file, read once for all tables: there may be thousands, and SQLite looks through all that
there is for those of one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from syncline.model.naming import folded
from syncline.sqlitekit.tables import Ask


class Trigger(NamedTuple):
    """A trigger, ours or the user's; the newest has the highest number."""

    number: int
    name: str
    table: str
    sql: str


class Triggers:
    """Every trigger there is; which are ours, and of which table, their names say (`number_in`)."""

    def __init__(self, ask: Ask, number_in: Callable[[str], int | None]) -> None:
        self.ours: dict[int, list[Trigger]] = {}
        """Those of ours by the number in their names."""
        self._on: dict[str, list[Trigger]] = {}
        rows = ask(
            "SELECT rowid, name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        )
        for one in (Trigger(*row) for row in rows):
            n = number_in(one.name)
            if n is not None:
                self.ours.setdefault(n, []).append(one)
            self._on.setdefault(folded(one.table), []).append(one)

    def on(self, table: str) -> Sequence[Trigger]:
        """All that a table has, in the order of their making."""
        return self._on.get(folded(table), ())

    def own(self, n: int) -> dict[str, str]:
        """Ours of table `n`: name and SQL."""
        return {one.name: one.sql for one in self.ours.get(n, ())}
