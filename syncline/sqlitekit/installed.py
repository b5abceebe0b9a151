"""The triggers of a file, read once for all tables: there may be thousands, and SQLite looks through all that
there is for those of one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from syncline.model.naming import folded, named_like_ours
from syncline.sqlitekit.tables import Ask

_LIKELY = 10_000
"""Numbers from here on are not looked for in the names of others' triggers."""


class Trigger(NamedTuple):
    """A trigger, ours or the user's; the newest has the highest number."""

    number: int
    name: str
    table: str
    sql: str


class Triggers:
    """Every trigger there is. Ours are those with a `mark` in their SQL; of which table they are, their names
    say (`number_in`)."""

    def __init__(self, ask: Ask, number_in: Callable[[str], int | None], mark: str = "") -> None:
        self.ours: dict[int, list[Trigger]] = {}
        """Those of ours by the number in their names."""
        self.misnamed: dict[str, str] = {}
        """The tables with a trigger of somebody else's that is named like ours, and what to say of it."""
        self.taken: set[int] = set()
        """The numbers in names of somebody else's triggers."""
        self._on: dict[str, list[Trigger]] = {}
        rows = ask(
            "SELECT rowid, name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        )
        for one in (Trigger(*row) for row in rows):
            n = number_in(one.name)
            if mark not in str(one.sql):
                self._note_other(one, n)
            elif n is not None:
                self.ours.setdefault(n, []).append(one)
            self._on.setdefault(folded(one.table), []).append(one)

    def _note_other(self, one: Trigger, n: int | None) -> None:
        if folded(one.name).startswith("_sync_"):
            self.misnamed[folded(one.table)] = f"{named_like_ours(one.name)}; make it under another name"
        if n is not None and n < _LIKELY:
            self.taken.add(n)

    def on(self, table: str) -> Sequence[Trigger]:
        """All that a table has, in the order of their making."""
        return self._on.get(folded(table), ())

    def own(self, n: int) -> dict[str, str]:
        """Ours of table `n`: name and SQL."""
        return {one.name: one.sql for one in self.ours.get(n, ())}
