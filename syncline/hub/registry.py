"""From a database URL to its adapter, without importing any driver before it is needed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import cast

from syncline.errors import ConfigurationError
from syncline.hub.contract import Database, Tuning

ADAPTERS = {
    "sqlite": ("syncline.databases.sqlite", "syncline"),
    "postgresql": ("syncline.databases.postgresql", "syncline[postgresql]"),
    "postgres": ("syncline.databases.postgresql", "syncline[postgresql]"),
}
"""URL scheme -> (module with `open_database(url)`, what to install for it)."""

_SCHEME = re.compile(r"mysql|mariadb|mssql|oracle|[a-z]{1,10}sql[a-z]{0,4}")
_NO_URL = "the address of the central database is no URL"
"""What is none is not shown: there may be a password in it."""


def open_database(url: str, tuning: Tuning | None = None) -> Database:
    """Open the central database of a URL. Raises ConfigurationError, or the adapter's DatabaseError."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        kind = f"no central database of kind {scheme!r}" if _SCHEME.fullmatch(scheme) else _NO_URL
        raise ConfigurationError(
            f"{kind}; known are {known}",
            code="unknown_database",
            remedy="Write it as scheme://..., like sqlite:///central.db or postgresql://user@host/name.",
        )
    module, extra = ADAPTERS[scheme]
    try:
        adapter = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the driver for {scheme} is not installed ({error.name})",
            code="driver_missing",
            remedy=f"Install it: pip install '{extra}'",
        ) from error
    return cast(Callable[..., Database], adapter.open_database)(url, tuning=tuning)
