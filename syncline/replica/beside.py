"""Columns that a table of the file has beside the hub's: the application's own, and those that the centre has
dropped (law L2).

No edit has them, so what stood there in a new row that was rejected is kept beside that edit, and comes back
with the row; where somebody else's row has its key by then, that one does not get it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from syncline.errors import StoreConstraint
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.naming import folded
from syncline.model.order import is_sound
from syncline.model.values import Value
from syncline.replica.above import above_of
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store, unpack
from syncline.sqlitekit.sql import quote


class Beside:
    """The columns of one table that the hub has not."""

    def __init__(self, store: Store, t: Statements) -> None:
        self._store, self._t = store, t
        ours = {folded(column.name) for column in t.table.columns}
        self._defaults = {
            name: default for name, default in _columns(store, t).items() if folded(name) not in ours
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
            given = default or self._t.constants.get(quote(name), "NULL")
            change = f"{quote(name)} = ({given})"
            try:
                with self._store.savepoint():
                    self._store.execute(
                        f"UPDATE main.{self._t.name} SET {change} WHERE {self._t.by_key}", list(key)
                    )
            except StoreConstraint:
                if not self._store.in_transaction:  # a trigger of the application has undone all of it
                    raise


def empty_taken(device: Device, since: int, among: Collection[int] | None = None) -> None:
    """New rows that were rejected, with ids above `since`, as another's has their key, or as they are below
    such a one, leave what the centre may have under that key nothing in these columns: it is kept with them.
    `among`: the numbers of the tables that matter; None: all. Inside a transaction that captures nothing."""
    known: dict[int, Beside] = {}
    for n, key in _taken(device, since):
        if n in device.tables and (among is None or n in among):
            beside = known.setdefault(n, Beside(device.store, device.tables[n]))
            if beside.values(key):
                beside.empty(key)


def _taken(device: Device, since: int) -> list[tuple[int, Key]]:
    sql = (
        "SELECT n, key, code, parent FROM _sync_rejected WHERE id > ? AND op IN ('I', 'R') AND code IN (?, ?)"
    )
    found: list[tuple[int, Key]] = []
    below: dict[tuple[int, Key], list[tuple[int, Key]]] = {}
    for n, packed, code, parent in device.store.rows(sql, (since, KEY_TAKEN, PARENT_REJECTED)):
        place, above = (n, tuple(unpack(packed))), above_of(device, parent)
        if code == KEY_TAKEN:
            found.append(place)
        elif above is not None:
            below.setdefault((above.n, above.key), []).append(place)
    for place in found:  # which grows meanwhile
        found += below.pop(place, ())
    return found


def retired_names(device: Device, n: int, own: Mapping[str, Value]) -> dict[str, int]:
    """Those of these columns that the centre had once, with their numbers: another one may have the name by
    the time that the row comes back."""
    retired = {one.name: one.number for one in device.retired.columns.get(n, ())}
    return {name: retired[name] for name in own if name in retired}


def named_now(
    device: Device, n: int, own: Mapping[str, Value], retired: Mapping[str, int]
) -> dict[str, Value]:
    """What was kept of these columns, by the names that they have now; of `retired` ones what the file has
    still."""
    found = {name: device.retired.name(n, retired[name]) if name in retired else name for name in own}
    return {name: own[before] for before, name in found.items() if name is not None}


def there(store: Store, t: Statements, own: Mapping[str, Value], columns: Sequence[int]) -> dict[str, Value]:
    """What of this the file has columns for still, by the names that they have now; some may be the hub's by
    now. `columns`: value columns that are written otherwise."""
    if not own:
        return {}
    taken = {*t.table.key, *(t.table.values[i].name for i in columns)}
    written = {folded(name) for name in taken}
    found = {folded(name): name for name in _columns(store, t) if folded(name) not in written}
    return {found[folded(name)]: value for name, value in own.items() if folded(name) in found}


def _columns(store: Store, t: Statements) -> dict[str, str | None]:
    """The defaults of the columns that can be written, by their names."""
    rows = store.described(f"PRAGMA main.table_xinfo({t.name})")
    return {name: default for _, name, _, _, default, _, hidden in rows if not hidden}
