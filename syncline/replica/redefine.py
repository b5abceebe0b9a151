"""Changing the text of a CREATE TABLE in the file, for what SQLite has no ALTER TABLE for.

The documented way for changes that say nothing about what is stored (sqlite.org/lang_altertable.html, section
7): the text in the schema table is written, and the schema read anew.
"""

from __future__ import annotations

from collections.abc import Callable

from syncline.replica.affinity import affinity
from syncline.replica.indexes import columns_of
from syncline.replica.store import Store, quote
from syncline.sqlitekit.definition import with_type


def redefine(store: Store, table: str, change: Callable[[str], str]) -> None:
    """Write what `change` makes of a table's CREATE TABLE, unless it is the same. Inside a transaction."""
    text = store.value(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)", (table,)
    )
    changed = change(text)
    if changed == text:
        return
    store.execute("PRAGMA writable_schema = ON")
    try:
        store.execute(
            "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND lower(name) = lower(?)",
            (changed, table),
        )
    finally:
        store.execute("PRAGMA writable_schema = RESET")  # which also reads the schema anew


def retype(store: Store, table: str, column: str, declared: str) -> None:
    """Give a column another declared type, if values are kept in another way under it. Inside a transaction,
    while capture is suppressed. What is stored is written anew."""
    present = columns_of(store, table)[column]
    if affinity(present.declared) == affinity(declared):
        return
    redefine(store, table, lambda sql: with_type(sql, column, declared))
    store.execute(f"UPDATE {quote(table)} SET {quote(column)} = {quote(column)}")
    store.execute(f"REINDEX {quote(table)}")
