"""Staged rows: temporary tables that `lock`, `rivals` and `apply` join with the user's tables.

Row i of a stage has the number n = i. Key columns have the affinity of the user's key columns, so that joins
with the log compare what will be stored; value columns have none, so that what was sent can be compared
with what was stored.

The tables of small stages stay, empty, for later transactions of the connection: making or dropping a
temporary table has SQLite prepare every statement of the connection anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncline.databases.base import statements
from syncline.databases.base.loading import LoadedRows
from syncline.databases.base.statements import over
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.errors import ValueRefused
from syncline.hub.contract import Stage
from syncline.model.masks import mask_columns, split_mask
from syncline.model.values import Row
from syncline.sqlitekit.sql import commas, numbered

LOG = "_sync_hub_log"

FEW = 500
"""Rows of a stage whose table stays."""

KEPT = 4
"""Stages of one push whose tables may stay: one table for each number of columns and types of keys."""


@dataclass(slots=True, eq=False, repr=False)
class Staged(LoadedRows[Shape]):
    """With the names of its temporary tables. Refused rows are not in them."""

    table: str = field(kw_only=True)
    entries: str | None = None
    indexed: bool = False
    stays: bool = False
    """Whether the table is emptied and kept for others."""

    def over(self, template: str, rows: Sequence[int] | None = None) -> tuple[str, tuple[int, ...]]:
        """A statement over all rows, or those from the first to the last of these; what to bind."""
        if rows is None:
            return over(template, f"{self.table} AS s"), ()
        some = f"(SELECT * FROM {self.table} WHERE n BETWEEN ?1 AND ?2) AS s"
        return over(template, some), (rows[0], rows[-1])


def load(connection: sqlite3.Connection, layout: Layout, stage: Stage, number: int) -> Staged:
    """Make the temporary tables of one stage and fill them: two executemany at most."""
    shape = layout.shapes[stage.table]
    affinities = [shape.affinity(name) for name in shape.table.key]
    if number < KEPT and len(stage.rows) <= FEW:
        kind = "_".join([str(number), *(name or "any" for name in affinities), str(len(stage.columns))])
        staged = Staged(stage, shape, table=f"temp._sync_small_{kind}", stays=True)
    else:
        staged = Staged(stage, shape, table=f"temp._sync_stage_{number}")
    keys = [f"k{i} {affinity}" for i, affinity in enumerate(affinities)]
    columns = ["n INTEGER PRIMARY KEY", *keys, *numbered("c", len(stage.columns)), "hlc"]
    rows = zip(staged.live, stage.rows, stage.hlc, strict=True)
    _fill(connection, staged.table, columns, [(n, *row, hlc) for n, row, hlc in rows])
    if stage.entries is not None:
        words = layout.words
        staged.entries = f"{staged.table}_entry_{words}"
        entries = [(row, hlc, *split_mask(mask, words)) for row, mask, hlc in stage.entries]
        _fill(connection, staged.entries, ["n", "hlc", *mask_columns(words)], entries)
    _refuse_keys(connection, staged, affinities)
    return staged


def _refuse_keys(connection: sqlite3.Connection, staged: Staged, affinities: Sequence[str]) -> None:
    """Refuse keys that are stored as another value: `2` where text belongs, `'1'` where a number does."""
    arity, rows = staged.shape.arity, staged.stage.rows
    turned = (_TURNED.get(name, frozenset()) for name in affinities)
    if all(kinds.isdisjoint({type(row[place]) for row in rows}) for place, kinds in enumerate(turned)):
        return
    stored = connection.execute(f"SELECT n, {commas(numbered('k', arity))} FROM {staged.table}").fetchall()
    wrong = [n for n, *key in stored if key != rows[n][:arity]]
    discard(connection, staged, wrong)
    staged.refuse_keys(wrong, "SQLite")


_TURNED: Mapping[str, frozenset[type]] = {
    "TEXT": frozenset([int, float]),
    "INTEGER": frozenset([str]),
    "NUMERIC": frozenset([str]),
    "REAL": frozenset([str, int]),
}
"""By affinity: the classes of values of which some are stored as another value."""


def _fill(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Make a temporary table of these rows."""
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table[5:]} ({commas(columns)})")
    try:
        connection.executemany(f"INSERT INTO {table} VALUES ({commas('?' * len(columns))})", rows)
    except (OverflowError, UnicodeEncodeError, sqlite3.DataError) as error:
        raise ValueRefused(f"a pushed value cannot be stored in SQLite: {error}") from error


def discard(connection: sqlite3.Connection, staged: Staged, rows: Sequence[int]) -> None:
    gone = set(rows)
    for table in filter(None, (staged.table, staged.entries)):
        connection.executemany(f"DELETE FROM {table} WHERE n = ?", [(row,) for row in gone])
    staged.leave_out(gone)
    staged.forget(gone)


def drop(connection: sqlite3.Connection, staged: Staged) -> None:
    for table in filter(None, (staged.table, staged.entries)):
        connection.execute(f"{'DELETE FROM' if staged.stays else 'DROP TABLE'} {table}")


def keep(connection: sqlite3.Connection, table: str, select: str) -> None:
    """Keep the rows of a query in a temporary table, in place of what an attempt before has kept there."""
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(f"CREATE TEMP TABLE {table[5:]} AS {select}")


def index(connection: sqlite3.Connection, staged: Staged) -> None:
    """Index the staged keys, for joins from the log."""
    if not staged.indexed:
        schema, name = staged.table.split(".")
        keys = commas(numbered("k", staged.shape.arity))
        connection.execute(f"CREATE INDEX IF NOT EXISTS {schema}.{name}_key ON {name} ({keys})")
        staged.indexed = True


def record(connection: sqlite3.Connection, staged: Staged, origin: str) -> None:
    """Append the log entries of a stage, with the old values of what it is about to change."""
    shape, stage = staged.shape, staged.stage
    source, order = f"{staged.table} AS s", "s.n"
    masks = map(str, split_mask(shape.covers(stage), len(shape.words)))
    given = {"tbl": str(shape.n), "op": "?", "origin": "?", "hlc": "s.hlc"}
    given |= dict(zip(shape.words, masks, strict=True))
    if staged.entries is not None:
        source, order = f"{staged.entries} AS e CROSS JOIN {source} ON s.n = e.n", "e.rowid"
        given |= {name: f"e.{name}" for name in ("hlc", *shape.words)}
    old = shape.keeps_old(stage)
    statement = statements.entries(shape, LOG, given, source, old=old, order=f" ORDER BY {order}")
    connection.execute(statement, (stage.op, origin))
