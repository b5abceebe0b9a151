"""Syncline keeps an ordinary SQLite file and the tables of a central database in step, both ways.

The public names, exactly. They load when first used (PEP 562), so that a device imports no server and no
driver:

    replica = syncline.connect("field.db", hub="http://127.0.0.1:8080")
    replica.sync()

`syncline.server` (its `create_app` makes the ASGI application) needs the extra `server`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncline.errors import SynclineError
    from syncline.hub.engine import Hub
    from syncline.merge.policies import Reject
    from syncline.merge.rules import Table
    from syncline.model.actor import Actor
    from syncline.protocol.messages import ConflictNote
    from syncline.replica.replica import Replica
    from syncline.replica.reports import (
        ComparedTable,
        Difference,
        LogEntry,
        OverruledRow,
        PullReport,
        PushPreview,
        PushReport,
        Recovered,
        Regained,
        RejectedEdit,
        RejectedRow,
        Reopened,
        RetriedEdit,
        Status,
        SyncReport,
        Unable,
        UpgradeReport,
        VerifyReport,
        WaitingRow,
    )
    from syncline.transports.open import clone, connect

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "ComparedTable",
    "ConflictNote",
    "Difference",
    "Hub",
    "LogEntry",
    "OverruledRow",
    "PullReport",
    "PushPreview",
    "PushReport",
    "Recovered",
    "Regained",
    "Reject",
    "RejectedEdit",
    "RejectedRow",
    "Reopened",
    "Replica",
    "RetriedEdit",
    "Status",
    "SyncReport",
    "SynclineError",
    "Table",
    "Unable",
    "UpgradeReport",
    "VerifyReport",
    "WaitingRow",
    "clone",
    "connect",
]

_HOME = {
    "Actor": "syncline.model.actor",
    "ComparedTable": "syncline.replica.reports",
    "ConflictNote": "syncline.protocol.messages",
    "Difference": "syncline.replica.reports",
    "Hub": "syncline.hub.engine",
    "LogEntry": "syncline.replica.reports",
    "OverruledRow": "syncline.replica.reports",
    "PullReport": "syncline.replica.reports",
    "PushPreview": "syncline.replica.reports",
    "PushReport": "syncline.replica.reports",
    "Recovered": "syncline.replica.reports",
    "Regained": "syncline.replica.reports",
    "Reject": "syncline.merge.policies",
    "RejectedEdit": "syncline.replica.reports",
    "RejectedRow": "syncline.replica.reports",
    "RetriedEdit": "syncline.replica.reports",
    "Reopened": "syncline.replica.reports",
    "Replica": "syncline.replica.replica",
    "Status": "syncline.replica.reports",
    "SyncReport": "syncline.replica.reports",
    "SynclineError": "syncline.errors",
    "Table": "syncline.merge.rules",
    "Unable": "syncline.replica.reports",
    "UpgradeReport": "syncline.replica.reports",
    "VerifyReport": "syncline.replica.reports",
    "WaitingRow": "syncline.replica.reports",
    "clone": "syncline.transports.open",
    "connect": "syncline.transports.open",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in ("server", "errors", "testing"):
        value = importlib.import_module(f"syncline.{name}")
    else:
        raise AttributeError(f"module 'syncline' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
