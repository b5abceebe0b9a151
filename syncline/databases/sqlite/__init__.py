"""SQLite in the centre: the embedded default.

Its place in the flow: steps 6, 7 and 10, behind `hub.contract`. Writers follow each other (BEGIN IMMEDIATE),
so the log's sequence is the order of commits and a position is simply the last sequence number seen.
Must not know the engine, the protocol or the replica.
"""

from syncline.databases.sqlite.database import SqliteDatabase, open_database

__all__ = ["SqliteDatabase", "open_database"]
