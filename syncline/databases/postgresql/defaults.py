"""Column defaults as `pg_get_expr` writes them."""

from __future__ import annotations

import re

from syncline.databases.base.defaults import INSTANT, LOCAL, RANDOM_UUID, TODAY, Defaults

_NOW = r"(?:now|(?:transaction|statement|clock)_timestamp)\(\)|CURRENT_TIMESTAMP(?:\(\d\))?"

_DEFAULTS = Defaults(
    number=re.compile(r"\(?'?(-?[0-9]+(?:\.[0-9]+)?)'?\)?(?:::[\w .\"()\[\],]+)?"),
    string=re.compile(r"'((?:[^']|'')*)'(?:::[\w .\"()\[\],]+)?"),
    made=(
        ("boolean", re.compile("true"), "1"),
        ("boolean", re.compile("false"), "0"),
        ("uuid", re.compile(r"gen_random_uuid\(\)|public\.uuid_generate_v4\(\)"), RANDOM_UUID),
        ("timestamptz", re.compile(_NOW), INSTANT),
        ("timestamp", re.compile(rf"{_NOW}|LOCALTIMESTAMP(?:\(\d\))?"), LOCAL),
        ("date", re.compile("CURRENT_DATE"), TODAY),
    ),
)


def device_default(expression: str, portable: str, central: str) -> str | None:
    """The SQLite expression for a default; None if a device cannot make it."""
    if central.endswith("[]"):  # an array travels as JSON; only the empty one is spelled here
        return "'[]'" if expression.startswith("'{}'::") else None
    return _DEFAULTS.on_device(expression, portable)
