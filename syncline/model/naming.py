"""Names as devices can have them: SQLite compares names without regard to the case of A to Z alone."""

from __future__ import annotations

OWN_PREFIXES = ("sqlite_", "_sync_")
"""How no name of the application's begins: SQLite and Syncline keep these for themselves."""

LONGEST = 500
"""Characters of a name: more than any database but SQLite has."""

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def folded(name: str) -> str:
    """The name as SQLite compares it with others: `é` and `É` are two names."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def why_no_name(name: str) -> str | None:
    """What keeps a table or column of this name from a device, as the end of a sentence; or None."""
    if folded(name).startswith(OWN_PREFIXES):
        return "is reserved on devices (sqlite_..., _sync_...)"
    if not 0 < len(name) <= LONGEST:
        return f"has {len(name)} characters; there may be 1 to {LONGEST}"
    if "\0" in name or name.encode("utf-8", "ignore").decode() != name:
        return "is no text that can be stored"
    return None


def named_like_ours(trigger: str | None) -> str:
    """The beginning of a sentence on a table that has such a trigger: Syncline's own could not be made."""
    return f"has a trigger, {trigger}, of somebody else's, with a name that is kept for Syncline's own"
