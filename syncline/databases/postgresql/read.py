"""The rows that the hub reads in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from syncline.databases.base.reading import Fetch, TypedReader
from syncline.databases.base.typed import Present
from syncline.databases.postgresql.layout import Layout, Shape, as_they_are
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array, queries


class RowReader(TypedReader[Shape]):
    """The contract's `ReadRows`."""

    unreadable = psycopg.DataError

    def __init__(self, session: Session, layout: Layout) -> None:
        super().__init__(session, layout)
        self._session = session
        self._layout = layout

    def as_they_are(self, tables: Iterable[int], written: Iterable[int]) -> dict[int, Present]:
        return as_they_are(self._session, tables, written)

    def stream(self, statement: str, values: Sequence[Any]) -> AbstractContextManager[Fetch]:
        return self._session.stream(statement, values)

    def estimate(self) -> int:
        """About how many rows all tables have."""
        names: list[str | None] = [shape.name for shape in self._layout.by_number]
        found = self._session.run(queries("read.sql")["estimate"], array(names))
        large = sum(int(count) for _, count, is_small in found if not is_small)
        small = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name, _, is_small in found if is_small)
        return large + sum(count for (count,) in self._session.run(small)) if small else large
