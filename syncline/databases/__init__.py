"""The central databases: one folder each, all of the same inner shape.

Each folder offers `open_database(url) -> syncline.hub.contract.Database`. They know that contract and the
model; the hub does not know them, it is handed one. The driver is imported in its own folder alone.
"""
