"""The device file: the only part of the replica that knows SQLite's driver.

Purpose: open the file safely beside the application, run statements and transactions, keep Syncline's
own tables, say every failure as a StoreError. Must not know what is synced, why, or with whom.
"""

from syncline.replica.store.connection import BUSY_SECONDS, LIBRARY, MEMORY, SAFE_CHECKPOINTS, checked_path
from syncline.replica.store.errors import legible
from syncline.replica.store.packed import pack, unpack
from syncline.replica.store.state import Checkpoint, State
from syncline.replica.store.store import LAYOUT, PUT_BACK, Store, log_name
from syncline.replica.store.text import queries
from syncline.replica.store.wal import WAL_BYTES
from syncline.sqlitekit.sql import literal, quote

__all__ = [
    "BUSY_SECONDS",
    "LAYOUT",
    "LIBRARY",
    "MEMORY",
    "PUT_BACK",
    "SAFE_CHECKPOINTS",
    "WAL_BYTES",
    "Checkpoint",
    "State",
    "Store",
    "checked_path",
    "legible",
    "literal",
    "log_name",
    "pack",
    "queries",
    "quote",
    "unpack",
]
