"""How both sides speak: messages, their encodings, limits, versions, and the flows without I/O.

Knows `model` and `errors`. Must not know HTTP clients, servers, files or databases.
"""
