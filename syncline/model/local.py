"""What becomes of rows of a device's own tables that refer to a row which the centre deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

LocalRows = Literal["refuse", "cascade", "null"]
LOCAL_ROWS: Mapping[str, str] = {
    "refuse": "the deleted row stays on the device, and is said to wait",
    "cascade": "they go with it",
    "null": "they refer to nothing",
}
"""What may be chosen, and what it says. The first is the default."""
