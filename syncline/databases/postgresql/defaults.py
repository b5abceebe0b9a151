"""Column defaults that a device can make by itself, in SQLite's words."""

from __future__ import annotations

import re

_STRING = re.compile(r"'((?:[^']|'')*)'(?:::[\w .\"()\[\],]+)?")
_NUMBER = re.compile(r"\(?'?(-?[0-9]+(?:\.[0-9]+)?)'?\)?(?:::[\w .\"()\[\],]+)?")
_NOW = r"(?:now|(?:transaction|statement|clock)_timestamp)\(\)|CURRENT_TIMESTAMP(?:\(\d\))?"
_HEX = "lower(hex(randomblob({})))"

_RANDOM_UUID = "||'-'||".join(
    [_HEX.format(4), _HEX.format(2), "'4'||substr(" + _HEX.format(2) + ",2)",
     "substr('89ab',1+(abs(random())%4),1)||substr(" + _HEX.format(2) + ",2)", _HEX.format(6)]
)  # fmt: skip


_MADE = (
    ("boolean", re.compile("true"), "1"),
    ("boolean", re.compile("false"), "0"),
    ("uuid", re.compile(r"gen_random_uuid\(\)|public\.uuid_generate_v4\(\)"), _RANDOM_UUID),
    ("timestamptz", re.compile(_NOW), "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"),
    ("timestamp", re.compile(rf"{_NOW}|LOCALTIMESTAMP(?:\(\d\))?"), "strftime('%Y-%m-%dT%H:%M:%f', 'now')"),
    ("date", re.compile("CURRENT_DATE"), "date('now')"),
)
"""By portable type: what the centre calls, and what a device does instead."""


def device_default(expression: str, portable: str, central: str = "") -> str | None:
    """The SQLite expression for a default as `pg_get_expr` writes it; None if a device cannot make it.

    A column without such a default gets its value from the central database, and the device gets it back.
    """
    if central.endswith("[]"):  # an array travels as JSON; only the empty one is spelled here
        return "'[]'" if expression.startswith("'{}'::") else None
    if portable in ("integer", "float", "decimal"):
        number = _NUMBER.fullmatch(expression)
        return _number(number[1], portable) if number else None
    if portable in ("text", "enum", "json"):
        text = _STRING.fullmatch(expression)
        return f"'{text[1]}'" if text and "\\" not in text[1] else None
    known = ((made, test) for kind, test, made in _MADE if kind == portable)
    return next((made for made, test in known if test.fullmatch(expression)), None)


def _number(text: str, portable: str) -> str | None:
    if portable == "integer":
        return None if "." in text else text
    return repr(float(text)) if portable == "float" else f"'{text}'"
