"""Changing the text of a CREATE TABLE in the file, for what SQLite has no ALTER TABLE for; and making a
trigger again whose text is not UTF-8, which no statement can say.

The documented way for changes that say nothing about what is stored (sqlite.org/lang_altertable.html, section
7): the text in the schema table is written, and the schema read anew.
"""

from __future__ import annotations

from collections.abc import Callable

from syncline.replica.affinity import affinity
from syncline.replica.indexes import columns_of
from syncline.replica.store import Store, quote
from syncline.sqlitekit.definition import with_type
from syncline.sqlitekit.triggers import Trigger
from syncline.sqlitekit.undecoded import is_text


def redefine(store: Store, table: str, change: Callable[[str], str]) -> None:
    """Write what `change` makes of a table's CREATE TABLE, unless it is the same. Inside a transaction."""
    text = store.definition("table", table) or ""
    changed = change(text)
    if changed != text:
        _write_schema(
            store,
            "UPDATE sqlite_master SET sql = CAST(? AS TEXT) WHERE type = 'table' AND lower(name) = lower(?)",
            (_as_kept(changed), table),
        )


def make_trigger(store: Store, trigger: Trigger, sql: str) -> None:
    """Make a trigger of the application (again), by this text. Inside a transaction."""
    if is_text(sql):
        store.execute(sql)
    else:
        _write_schema(
            store,
            "INSERT INTO sqlite_master SELECT 'trigger', CAST(? AS TEXT), name, 0, CAST(? AS TEXT) FROM"
            " sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(CAST(? AS TEXT))",
            tuple(map(_as_kept, (trigger.name, sql, trigger.on))),
        )


def drop_trigger(store: Store, trigger: Trigger) -> None:
    """Drop a trigger of the application, if it is there. Inside a transaction."""
    if is_text(trigger.name):
        store.execute(f"DROP TRIGGER IF EXISTS {quote(trigger.name)}")
    else:
        sql = "DELETE FROM sqlite_master WHERE type = 'trigger' AND name = CAST(? AS TEXT)"
        _write_schema(store, sql, (_as_kept(trigger.name),))


def _as_kept(text: str) -> str | bytes:
    """What to bind for a text that may have escaped bytes; the statement makes it a text."""
    return text if is_text(text) else text.encode("utf-8", "surrogateescape")


def _write_schema(store: Store, sql: str, parameters: tuple[str | bytes, ...]) -> None:
    store.execute("PRAGMA writable_schema = ON")
    try:
        store.execute(sql, parameters)
    finally:
        store.execute("PRAGMA writable_schema = RESET")  # which also reads the schema anew
    version = store.value("PRAGMA schema_version")  # other connections read theirs anew when it is another
    store.execute(f"PRAGMA schema_version = {version + 1}")


def retype(store: Store, table: str, column: str, declared: str) -> None:
    """Give a column another declared type, if values are kept in another way under it. Inside a transaction,
    while capture is suppressed. What is stored is written anew."""
    present = columns_of(store, table)[column]
    if affinity(present.declared) == affinity(declared):
        return
    redefine(store, table, lambda sql: with_type(sql, column, declared))
    store.execute(f"UPDATE {quote(table)} SET {quote(column)} = {quote(column)}")
    store.execute(f"REINDEX {quote(table)}")
