"""The rejected row that a rejected edit depends on, as the file keeps it: by the number of its table.

A table has another name after the centre, or the application, has renamed it; its number stays. A file that
was written before knows it by the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.store import Store, pack, unpack


class Above(NamedTuple):
    """Table number and key of such a row. `is_gone`: it was discarded, and the key is another's."""

    n: int
    key: Key
    is_gone: bool = False


def packed_above(n: int, key: Sequence[Value], *, is_gone: bool = False) -> bytes:
    """The form in which `_sync_rejected` has it."""
    return pack([n, list(key), *([True] if is_gone else [])])


def above_of(device: Device, packed: bytes | None) -> Above | None:
    """The inverse of `packed_above`. None: the edit depends on no row, or on one of a table that is not known
    by its former name."""
    if packed is None:
        return None
    n, key, *gone = unpack(packed)
    if isinstance(n, str):
        t = device.named(n)
        if t is None:
            return None
        n = t.n
    return Above(n, tuple(key), bool(gone))


def renumber_above(store: Store, former: int, now: int) -> None:
    """A table has another number: what depends on rows of it is told by that."""
    for number, packed in store.rows("SELECT id, parent FROM _sync_rejected WHERE parent IS NOT NULL"):
        n, *rest = unpack(packed)
        if n == former:
            store.execute("UPDATE _sync_rejected SET parent = ? WHERE id = ?", (pack([now, *rest]), number))
