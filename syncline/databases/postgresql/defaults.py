"""Column defaults that a device can make by itself, in SQLite's words."""

from __future__ import annotations

import re

_STRING = re.compile(r"'((?:[^']|'')*)'(?:::[\w .\"()\[\],]+)?")
_NUMBER = re.compile(r"\(?'?(-?[0-9]+(?:\.[0-9]+)?)'?\)?(?:::[\w .\"()\[\],]+)?")
_NOW = re.compile(r"(?:now|(?:transaction|statement|clock)_timestamp)\(\)|CURRENT_TIMESTAMP(?:\(\d\))?")
_LOCAL_NOW = re.compile(r"LOCALTIMESTAMP(?:\(\d\))?")
_HEX = "lower(hex(randomblob({})))"

_RANDOM_UUID = "||'-'||".join(
    [_HEX.format(4), _HEX.format(2), "'4'||substr(" + _HEX.format(2) + ",2)",
     "substr('89ab',1+(abs(random())%4),1)||substr(" + _HEX.format(2) + ",2)", _HEX.format(6)]
)  # fmt: skip


def device_default(expression: str, portable: str, central: str = "") -> str | None:
    """The SQLite expression for a default as `pg_get_expr` writes it; None if a device cannot make it.

    A column without such a default gets its value from the central database, and the device gets it back.
    """
    if central.endswith("[]"):  # an array travels as JSON; only the empty one is spelled here
        return "'[]'" if expression.startswith("'{}'::") else None
    if portable == "boolean":
        return {"true": "1", "false": "0"}.get(expression)
    if portable == "integer":
        number = _NUMBER.fullmatch(expression)
        return number[1] if number and "." not in number[1] else None
    if portable == "float":
        number = _NUMBER.fullmatch(expression)
        return repr(float(number[1])) if number else None
    if portable == "decimal":
        number = _NUMBER.fullmatch(expression)
        return f"'{number[1]}'" if number else None
    if portable == "uuid":
        return _RANDOM_UUID if expression in ("gen_random_uuid()", "public.uuid_generate_v4()") else None
    if portable == "timestamptz" and _NOW.fullmatch(expression):
        return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    if portable == "timestamp" and (_NOW.fullmatch(expression) or _LOCAL_NOW.fullmatch(expression)):
        return "strftime('%Y-%m-%dT%H:%M:%f', 'now')"
    if portable == "date" and expression == "CURRENT_DATE":
        return "date('now')"
    if portable in ("text", "enum", "json"):
        text = _STRING.fullmatch(expression)
        return f"'{text[1]}'" if text and "\\" not in text[1] else None
    return None
