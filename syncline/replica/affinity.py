"""How SQLite treats the values of a column, by its declared type (sqlite.org/datatype3.html, section 3.1)."""

from __future__ import annotations

from typing import Literal

from syncline.model.forms import default_form

Affinity = Literal["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC", "ANY"]

_RULES: tuple[tuple[Affinity, tuple[str, ...]], ...] = (
    ("INTEGER", ("INT",)),
    ("TEXT", ("CHAR", "CLOB", "TEXT")),
    ("BLOB", ("BLOB",)),
    ("REAL", ("REAL", "FLOA", "DOUB")),
)
_NEUTRAL: dict[Affinity, str] = {"TEXT": "''", "BLOB": "x''"}


def affinity(declared: str) -> Affinity:
    """The affinity of a column. ANY is what a STRICT table keeps as it is; elsewhere no such type is made."""
    words = declared.upper()
    if not words:
        return "BLOB"
    if words == "ANY":
        return "ANY"
    for found, parts in _RULES:
        if any(part in words for part in parts):
            return found
    return "NUMERIC"


def neutral(declared: str) -> str:
    """A constant that says nothing, as SQL, for a column that must have a value."""
    return _NEUTRAL.get(affinity(declared), "0")


_CARRIED: dict[str, tuple[Affinity, ...]] = {
    "integer": ("INTEGER", "NUMERIC"),
    "boolean": ("INTEGER", "NUMERIC"),
    "float": ("REAL",),
    "decimal": ("TEXT",),
    "text": ("TEXT",),
    "enum": ("TEXT",),
    "other": ("TEXT",),
    "blob": ("BLOB", "TEXT", "INTEGER", "REAL", "NUMERIC"),
    "timestamp": ("TEXT", "NUMERIC"),
    "timestamptz": ("TEXT", "NUMERIC"),
    "date": ("TEXT", "NUMERIC"),
    "time": ("TEXT", "NUMERIC"),
    "timetz": ("TEXT", "NUMERIC"),
    "interval": ("TEXT", "NUMERIC"),
    "uuid": ("TEXT", "NUMERIC"),
    "json": ("TEXT", "NUMERIC"),
}
"""The affinities that leave values of a portable type as they travel. NUMERIC (DATETIME, DATE, UUID, JSON and
whatever else SQLite has no name for) makes a number of text that looks like one, which these do not, but for
a bare number of JSON, which is read as what it means (`model.forms.in_numbers`)."""


_CARRIED_AS: dict[str, tuple[Affinity, ...]] = {
    "real": ("NUMERIC", "REAL"),
    "unix": ("INTEGER", "NUMERIC", "REAL"),
    "hex": ("TEXT",),
    "blob": _CARRIED["blob"],
    "text": ("TEXT", "INTEGER", "NUMERIC"),
}
"""The same of values in another form than they travel in (`model.forms`), where it matters. `hex` is not for
NUMERIC: one of digits alone would become a number."""


def carries(kind: str, theirs: str, here: str, form: str = "") -> bool:
    """Whether a column declared `here` keeps the values of one of this portable type in this form (empty: as
    they travel), which a device would declare as `theirs`."""
    wanted, found = affinity(theirs), affinity(here)
    if form in _CARRIED_AS and form != default_form(kind):
        return found in ("BLOB", "ANY") or found in _CARRIED_AS[form]
    alike: dict[Affinity, Affinity] = {"INTEGER": "NUMERIC", "ANY": "BLOB"}
    if alike.get(wanted, wanted) == alike.get(found, found):
        return True
    return kind in _CARRIED and (found in ("BLOB", "ANY") or found in _CARRIED[kind])
