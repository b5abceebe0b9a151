"""Tables, columns and indexes of the hub's schema come into being here, and nowhere else.

Each statement is made of what the schema says (`replica.ddl`) and runs under an authorizer that lets it make
this one thing. What it may not do, or SQLite cannot read, is Malformed: the hub is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from syncline.errors import Malformed, StoreError, StoreObstacle
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.replica.affinity import carries
from syncline.replica.answers import REMEDY
from syncline.replica.ddl import Index, add_column, carried, constant, local_table
from syncline.replica.indexes import columns_of, misfits
from syncline.replica.postponed import is_possible, note_postponed
from syncline.replica.redefine import redefine
from syncline.replica.store import Store, warden
from syncline.sqlitekit.definition import with_default

_TRIED = "_sync_tried"
"""A table that is there for a moment."""


def make_table(store: Store, table: TableSchema, hub: Schema, local: Schema) -> None:
    """Make a table of `local`, the hub's schema with the names of this file. Inside a transaction."""
    with _blamed(f"table {table.name}"), store.held_to(warden.only_table(table.name)):
        store.execute(local_table(table, hub, local))
    _check_made(store, table)


def _check_made(store: Store, table: TableSchema) -> None:
    """Malformed unless the table that was made is the one described: a definition of the hub's own may make
    another."""
    wrong = misfits(store, table)
    made = columns_of(store, table.name)
    wrong += [f"the column {one.name} is generated" for one in table.columns
              if one.name in made and made[one.name].generated]  # fmt: skip
    if wrong:
        raise Malformed(
            f"the hub's schema cannot be: its table {table.name} is another: {wrong[0]}", remedy=REMEDY
        )


def make_column(store: Store, table: TableSchema, column: ColumnSchema, schema: Schema) -> None:
    """Add a column to a table. Inside a transaction. A default that is no constant, which ADD COLUMN does not
    take, is written into the definition: rows that are there have NULL until their values come. Foreign keys
    that the file cannot have yet are left out, and noted."""
    keys = [key for key in carried(table, schema) if key.columns == (column.name,)]
    possible = [key for key in keys if is_possible(store, key)]
    with _blamed(f"table {table.name}, column {column.name}"), store.held_to(warden.only_column(table.name)):
        store.execute(add_column(table, column, possible))
    for key in keys if constant(column.default) is None else ():
        if key not in possible:
            note_postponed(store, table, key)
    if column.default is not None and constant(column.default) is None:
        with _blamed(f"table {table.name}, the default of column {column.name}"):
            _check_default(store, column.default)
            _give_default(store, table.name, column.name, column.default)
    here = columns_of(store, table.name)[column.name]
    if not carries(column.type, column.declared, here.declared, column.form):
        raise Malformed(
            f"the hub's schema cannot be: table {table.name}: {column.name} cannot hold its values",
            remedy=REMEDY,
        )


def _check_default(store: Store, default: str) -> None:
    """Let SQLite read it as a default: what is written into a definition it reads only afterwards."""
    with store.held_to(warden.only_table(_TRIED)):
        store.execute(f"CREATE TABLE {_TRIED} (tried DEFAULT ({default}))")
    made = columns_of(store, _TRIED)
    store.execute(f"DROP TABLE {_TRIED}")
    if len(made) != 1:
        raise Malformed("the hub's schema cannot be: a default is more than that", remedy=REMEDY)


def _give_default(store: Store, table: str, column: str, default: str) -> None:
    others = {name: one for name, one in columns_of(store, table).items() if name != column}
    redefine(store, table, partial(with_default, column=column, default=default))
    here = columns_of(store, table)
    if here.pop(column).default is None or here != others:
        raise Malformed(f"the hub's schema cannot be: the default of column {column} is none", remedy=REMEDY)


def make_index(store: Store, index: Index, name: str) -> None:
    """Make an index under this name. StoreConstraint if rows stand in its way. Inside a transaction."""
    with _blamed(f"index {name}"), store.held_to(warden.only_index(name, index.on)):
        store.execute(index.sql(name))


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Errors of SQLite that say nothing of the file are the hub's."""
    try:
        yield
    except StoreError as error:
        if error.code not in (StoreError.code, StoreObstacle.code):
            raise
        raise Malformed(
            f"the hub's schema: {what} cannot be made as it is described: {error.detail}",
            remedy="Do not use this hub: it, or what answers in its place, is broken or hostile.",
        ) from error
