"""Why a central database refuses a row: the stable codes and what to do about each.

Adapters map their driver's errors to these codes, by error number or SQLSTATE, never by text. The codes
travel in `protocol.messages.Rejection` and are kept beside the rejected edit on the device.
"""

from __future__ import annotations

from syncline.merge import policies

UNIQUE = "unique_violation"
FOREIGN_KEY = "foreign_key_violation"
NOT_NULL = "not_null_violation"
CHECK = "check_violation"
INVALID = "invalid_value"
TRIGGER = "rejected_by_trigger"
CONSTRAINT = "constraint_violation"
LOCKED = "row_locked"
PARENT = policies.PARENT_REJECTED
KEY_TAKEN = policies.KEY_TAKEN
COLUMN_DROPPED = "column_dropped"
TABLE_DROPPED = "table_dropped"
TABLE_CHANGED = "table_changed"

REMEDIES: dict[str, str] = {
    UNIQUE: "Another row has this value already: change it on the device and retry, or discard the edit.",
    FOREIGN_KEY: "Bring the row it points at into being (or move the rows that point at it), then retry.",
    NOT_NULL: "Give the column a value, then retry.",
    CHECK: "Change the value to one that the table's CHECK allows, then retry.",
    INVALID: "Change the value to one of the column's type and range, then retry.",
    TRIGGER: "A rule in the central database refused it: change the row and retry, or discard the edit.",
    CONSTRAINT: "See the detail, change the row and retry, or discard the edit.",
    LOCKED: "Nothing: the edit waits on the device and goes with the next sync. End what holds the row.",
    KEY_TAKEN: policies.KEY_TAKEN_REMEDY,
    PARENT: "Settle the rejected row it depends on first, then retry this one.",
    COLUMN_DROPPED: "Put the value elsewhere if it is still needed, then discard the edit.",
    TABLE_CHANGED: "The table stays in the file. See what it is in the centre now with: syncline doctor FILE;"
    " make the row there again if it is still needed, then discard the edit.",
    TABLE_DROPPED: "Put the row elsewhere if it is still needed, then discard the edit.",
}


def remedy_of(code: str) -> str:
    """What to do about a row refused with `code`."""
    return REMEDIES.get(code, REMEDIES[CONSTRAINT])
