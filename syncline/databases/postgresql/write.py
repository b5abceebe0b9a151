"""`Writer`: what the hub does in one write transaction. (First stage: clients, clock and conflicts.)"""

from __future__ import annotations

from syncline.databases.postgresql.read import Reader


class Writer(Reader):
    """A transaction of the contract's `WriteTransaction`."""
