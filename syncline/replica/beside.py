"""Columns that a table of the file has beside the hub's: the application's own (law L2).

No edit has them, so what stood there in a new row that was rejected is kept beside that edit, and comes back
with the row; where somebody else's row has its key by then, that one does not get it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncline.errors import StoreConstraint
from syncline.model.order import is_sound
from syncline.model.values import Value
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.sql import quote


class Beside:
    """The application's own columns of one table."""

    def __init__(self, store: Store, t: Statements) -> None:
        self._store, self._t = store, t
        ours = {column.name.lower() for column in t.table.columns}
        self._defaults = {
            name: default for name, default in _columns(store, t).items() if name.lower() not in ours
        }

    def values(self, key: Sequence[Value]) -> dict[str, Value]:
        """What a row has in them, by their names, but for NULL and text that is not UTF-8."""
        if not self._defaults:
            return {}
        named = ", ".join(map(quote, self._defaults))
        with self._store.undecoded():
            row = self._store.row(
                f"SELECT {named} FROM main.{self._t.name} WHERE {self._t.by_key}", list(key)
            )
        found = zip(self._defaults, row or (), strict=False)
        return {name: value for name, value in found if value is not None and is_sound(value)}

    def empty(self, key: Sequence[Value]) -> None:
        """Give a row what a new one has in them, as far as the table lets it."""
        for name, default in self._defaults.items():
            _write(self._store, self._t, key, f"{quote(name)} = ({default or 'NULL'})", [])


def put_beside(store: Store, t: Statements, key: Sequence[Value], own: Mapping[str, Value]) -> None:
    """Write what a row had in them into it, where the file has these columns still; some may be the hub's by
    now."""
    there = {name.lower(): name for name in _columns(store, t)}
    for name, value in own.items():
        if name.lower() in there:
            _write(store, t, key, f"{quote(there[name.lower()])} = ?{t.arity + 1}", [value])


def _write(store: Store, t: Statements, key: Sequence[Value], change: str, given: list[Value]) -> None:
    try:
        with store.savepoint():
            store.execute(f"UPDATE main.{t.name} SET {change} WHERE {t.by_key}", (*key, *given))
    except StoreConstraint:
        if not store.in_transaction:  # a trigger of the application has undone all of it
            raise


def _columns(store: Store, t: Statements) -> dict[str, str | None]:
    """The defaults of the columns that can be written, by their names."""
    rows = store.described(f"PRAGMA main.table_xinfo({t.name})")
    return {name: default for _, name, _, _, default, _, hidden in rows if not hidden}
