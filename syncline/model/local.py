"""What becomes of rows of a device's own tables that refer to a row which the centre deleted.

`refuse`: that row stays, and is said to wait; `cascade`: they go with it; `null`: they refer to nothing.
"""

from __future__ import annotations

from typing import Literal

LocalRows = Literal["refuse", "cascade", "null"]
LOCAL_ROWS: tuple[LocalRows, ...] = ("refuse", "cascade", "null")
