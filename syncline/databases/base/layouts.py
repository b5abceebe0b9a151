"""The layout of Syncline's own tables in a central database, and what is said of another one."""

from __future__ import annotations

from syncline.errors import NotPrepared

LAYOUT = 6
"""The number of the present layout, the same for every kind of database."""


def other_layout(found: int | None) -> NotPrepared:
    """The error for a database whose tables of Syncline have another layout. There is no way from one to
    another. `found` is None for those that a preview of Syncline has made."""
    which = "the layout of a preview" if found is None else f"layout {found}"
    detail = f"the tables of Syncline in the central database have {which}, this version layout {LAYOUT}"
    if found is not None and found > LAYOUT:
        return NotPrepared(detail, remedy="Use the version of Syncline that prepared it, or a newer one.")
    return NotPrepared(
        detail,
        remedy="Run: syncline init syncline.toml --remove; then syncline init syncline.toml, and clone the"
        " devices anew.",
    )
