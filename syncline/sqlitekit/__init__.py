"""What is known of SQLite, for whoever works with a SQLite file: a device's, or a central database's.

Names and literals, what SQLite says of a table, the terms of its indexes, the numbers of its errors. Asks
through a function that runs SQL; must not know what is synced, nor hold a connection.
"""
