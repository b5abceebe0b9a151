"""How much SQLite does, without a stop watch: the steps of its machine. A row that is read takes some."""

from __future__ import annotations

from collections.abc import Callable

from syncline.replica.store import Store

EVERY = 20
"""Steps that are counted as one."""


def steps_of(store: Store, verb: Callable[[], object]) -> int:
    """The steps that the verb takes on the connection of this store, in `EVERY`s."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._connection.set_progress_handler(count, EVERY)
    try:
        verb()
    finally:
        store._connection.set_progress_handler(None, 0)
    return steps
