"""PostgreSQL in the centre.

Its place in the flow: steps 6, 7 and 10, behind `hub.contract`. Writers run side by side; what a replica has
seen is a `pg_snapshot` (see `position`), values pass between SQL types and the portable form inside SQL
(`types`), rows in sets (`stage`, `apply`). Must not know the engine, the protocol or the replica.
"""

from syncline.databases.postgresql.database import PostgresDatabase, open_database

__all__ = ["PostgresDatabase", "open_database"]
