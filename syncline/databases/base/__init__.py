"""What the adapters share: the decisions that are the same in every database, over what an adapter spells.

    ledger      ledger, tables, dialect, text, cells
    catalogue   recorded, reflection, defaults, foreign, preparing, planning, lines, before, wider, removal
                layouts, inturn, findings
    rows        shape, typed, statements, codec, screen, spelling, respelling, bounds, reading, isolation
                loading, staged, placed, bases, writing, holders, application, order, steps, parents
                parking, softly, counters
    log         log, ordered, logtable, typedlog, former, compacting, others, page
    connection  pool, instant, watch, transaction, patient

Must not know any driver, nor an adapter. An adapter takes what fits its database: SQLite, whose columns have
no types of their own and whose foreign keys wait for the commit, reflects, prepares and applies by itself.
"""

from syncline.databases.base.before import numbers_of, present, to_keep
from syncline.databases.base.dialect import NOW, Dialect, LedgerSession
from syncline.databases.base.layouts import LAYOUT, other_layout
from syncline.databases.base.ledger import Ledger
from syncline.databases.base.pool import Driver, Pool
from syncline.databases.base.tables import ONE_LOG, TABLES, Column, Kind, Table
from syncline.databases.base.transaction import ReadTransaction, WriteTransaction, only_unbounded

__all__ = [
    "LAYOUT",
    "NOW",
    "ONE_LOG",
    "TABLES",
    "Column",
    "Dialect",
    "Driver",
    "Kind",
    "Ledger",
    "LedgerSession",
    "Pool",
    "ReadTransaction",
    "Table",
    "WriteTransaction",
    "numbers_of",
    "only_unbounded",
    "other_layout",
    "present",
    "to_keep",
]
