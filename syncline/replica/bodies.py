"""The bodies of a large push stand in the file once, under numbers: for the push in flight, and after its
verdict for what is kept of it (`replica.sent`). To keep a push is a matter of a few small rows then.

A body goes with whatever named it last. A small push has its body with it.
"""

from __future__ import annotations

from syncline.replica.store import Store, queries

_QUERIES = queries("syncline.replica", "bodies.sql")


def add_chunk(store: Store, push: int, chunk: int, rows: int, digest: str, body: bytes) -> None:
    """Write one chunk of the push in flight."""
    store.execute(_QUERIES["add_body"], (body,))
    store.execute(_QUERIES["add_chunk"], (push, chunk, rows, digest))


def drop_chunks(store: Store) -> None:
    """Remove the chunks of the push in flight, or of a draft, and the bodies unless they are kept."""
    if store.execute(_QUERIES["drop_chunks"]):
        sweep_bodies(store)


def sweep_bodies(store: Store) -> None:
    """Remove the bodies that neither the push in flight nor a kept one names. Inside the transaction that
    removed what did; cheap if there are none."""
    store.execute(_QUERIES["sweep_bodies"])
