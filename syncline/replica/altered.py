"""What is said where a verb meets something in Syncline's own tables that it does not write."""

from __future__ import annotations

from syncline.errors import StoreDamaged
from syncline.replica.store import PUT_BACK, Store


def altered(store: Store, table: str, what: str) -> StoreDamaged:
    """The error: what is wrong in which table of Syncline's own. Nothing was sent or changed."""
    name = table.strip('"')
    return StoreDamaged(f"{store.path}: {name} was altered: {what}", remedy=PUT_BACK)
