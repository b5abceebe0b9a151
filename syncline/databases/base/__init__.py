"""What the adapters share: the ledger, written once for all databases, and what a dialect must spell for it.

Must not know any driver, nor the user's tables.
"""

from syncline.databases.base.before import numbers_of, present, to_keep
from syncline.databases.base.dialect import NOW, Dialect, LedgerSession
from syncline.databases.base.layouts import LAYOUT, other_layout
from syncline.databases.base.ledger import Ledger
from syncline.databases.base.pool import Driver, Pool
from syncline.databases.base.tables import TABLES, Column, Kind, Table
from syncline.databases.base.transaction import ReadTransaction, WriteTransaction, only_unbounded

__all__ = [
    "LAYOUT",
    "NOW",
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
