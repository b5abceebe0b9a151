"""Static SQL: the named queries of the .sql files."""

from __future__ import annotations

import re
from functools import cache
from pkgutil import get_data

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def read_sql(package: str, file: str) -> str:
    """The text of an .sql file that stands beside the modules of `package`."""
    data = get_data(package, file)
    assert data is not None, f"{package} was loaded by what cannot read files"
    return data.decode("utf-8")


@cache
def queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The named queries of an .sql file: each begins with a line `-- name: x`."""
    parts = _NAME.split(read_sql(package, file))
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
