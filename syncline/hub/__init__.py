"""The centre: accept, merge, commit, log, pull, snapshot. Decides every conflict.

Knows `merge`, `protocol`, `model`; reaches a database only through the contract in `hub.contract`.
Must not know HTTP, SQLite, PostgreSQL or the replica.
"""
