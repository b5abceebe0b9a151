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
PARENT_REJECTED = policies.PARENT_REJECTED
KEY_TAKEN = policies.KEY_TAKEN
COLUMN_DROPPED = "column_dropped"
TABLE_DROPPED = "table_dropped"
TABLE_CHANGED = "table_changed"

_STEPS = (
    "rite what the row should hold (insert it again if it is gone), sync, and discard the"
    " edit: a retry sends it as it was."
)
WRITE, ANEW = f"W{_STEPS}", f"Or w{_STEPS}"

REMEDIES: dict[str, str] = {
    UNIQUE: f"Another row has this value already: retry when that has given it up. {ANEW}",
    FOREIGN_KEY: "Bring the row it points at into being (or move the rows that point at it), then retry."
    f" {ANEW}",
    NOT_NULL: f"The column needs a value. If the edit has it: w{_STEPS} If it has not, devices do not send"
    " one yet: let whoever runs the hub give it a default (syncline doctor syncline.toml: value_demanded), or"
    " upgrade to an application that brings it; then retry the edit, and what the device's own table had in"
    " the column goes with it.",
    CHECK: f"The table's CHECK does not allow the value. {WRITE}",
    INVALID: f"The value is none of the column's type and range. {WRITE}",
    TRIGGER: f"A rule in the central database refused it: retry when it allows it. {ANEW}",
    CONSTRAINT: f"See the detail. {WRITE}",
    LOCKED: "Nothing: the edit waits on the device and goes with the next sync. End what holds the row.",
    KEY_TAKEN: policies.KEY_TAKEN_REMEDY,
    PARENT_REJECTED: "Settle the rejected row it depends on first, then retry this one.",
    COLUMN_DROPPED: "Put the value elsewhere if it is still needed, then discard the edit.",
    TABLE_CHANGED: policies.TABLE_CHANGED_REMEDY,
    TABLE_DROPPED: "If the table takes part again, retry the edit; else put the row elsewhere if it is"
    " needed, and discard the edit.",
}


def remedy_of(code: str) -> str:
    """What to do about a row refused with `code`."""
    return REMEDIES.get(code, REMEDIES[CONSTRAINT])
