"""Pages of a pull that goes on: kept in the file until the last one is there (laws L5, L11)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from syncline.protocol.messages import Changes
from syncline.replica.store import Store


def add_page(store: Store, page: Changes) -> None:
    """Keep one page, which says of which schema it is, after those before it. One transaction."""
    store.execute(
        "INSERT INTO _sync_stage (schema, body) VALUES (?, ?)", (page.schema, msgspec.msgpack.encode(page))
    )


def is_staged_otherwise(store: Store, fingerprint: str) -> bool:
    """Whether a kept page is of another schema than this."""
    return store.row("SELECT 1 FROM _sync_stage WHERE schema IS NOT ? LIMIT 1", (fingerprint,)) is not None


def staged(store: Store) -> Iterator[Changes]:
    """The kept pages in order, one at a time."""
    for (number,) in store.rows("SELECT page FROM _sync_stage ORDER BY page"):
        yield _page(store, number)


def last_page(store: Store) -> Changes | None:
    """The page to go on from, if a pull was interrupted."""
    number = store.value("SELECT max(page) FROM _sync_stage")
    return None if number is None else _page(store, number)


def clear_stage(store: Store) -> None:
    """Forget the pages: they are applied, or a push went past them."""
    store.execute("DELETE FROM _sync_stage")


def _page(store: Store, number: int) -> Changes:
    body = store.value("SELECT body FROM _sync_stage WHERE page = ?", (number,))
    return msgspec.msgpack.decode(body, type=Changes)
