"""Rejected edits of which a file hears, when it asks, that the centre has them by now, or may have."""

from __future__ import annotations

from collections.abc import Collection

from syncline.protocol.body import each_stamp
from syncline.replica.rejected import Reason
from syncline.replica.settled import BROUGHT, EDIT, MADE, TOLD, UNTOLD, retry_of
from syncline.replica.store import Store, unpack

UNTOLD_SINCE = Reason(
    "edit_untold",
    "whether the centre has this edit since, from a copy of the file, is forgotten there",
    "Compare the row with the centre; then retry the edit, or discard it.",
)
BROUGHT_SINCE = Reason(
    "edit_brought",
    "the centre has taken this edit since, from a copy of the file",
    "Retry or discard it: it is forgotten then. Make the change again if it is wanted once more.",
)


def note_taken(store: Store, taken: Collection[bytes], since: int | None) -> None:
    """What was rejected and the centre has taken by now, or may have, is said to be so. `taken`: the stamps,
    of edits and of retries; `since`: what was rejected before may have come by what the hub has forgotten;
    None: none has, as no other file has gone on. Inside a transaction."""
    columns = f"id, n, key, code, detail, stamps, part, {EDIT}, {MADE}"
    sql = f"SELECT {columns} FROM _sync_rejected WHERE {TOLD}"
    for number, n, key, code, detail, stamps, part, edit, made in store.rows(sql):
        again = retry_of(n, unpack(key), part, edit, stamps)
        pairs = zip(each_stamp(stamps), each_stamp(again), strict=True)
        there = [stamp in taken or retry in taken for stamp, retry in pairs]
        if all(there) and part is None:
            told = BROUGHT_SINCE
        elif _is_unsure(code, any(there), made, since):
            told = UNTOLD_SINCE
        else:
            continue
        if told.code != code:
            why = told.code, f"{told.detail}; it was rejected: {detail}", told.remedy, number
            store.execute("UPDATE _sync_rejected SET code = ?, detail = ?, remedy = ? WHERE id = ?", why)


def _is_unsure(code: str, is_there: bool, made: int, since: int | None) -> bool:
    if code in (UNTOLD, BROUGHT):
        return code == BROUGHT and since is not None
    return is_there or (since is not None and made <= since)
