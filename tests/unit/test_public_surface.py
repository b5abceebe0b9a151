"""The public names, exactly: what is here may be used, and a change here is a change for users."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import syncline

PUBLIC = [
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

HEAVY = "starlette uvicorn psycopg sqlalchemy click rich syncline.hub syncline.databases".split()
"""What a device must not load: servers, drivers, the command line, the central side."""


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def modules_loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(syncline.__all__) == PUBLIC


def test_every_public_name_is_there_and_documented() -> None:
    missing = [name for name in syncline.__all__ if not inspect.getdoc(getattr(syncline, name))]
    assert missing == []


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(syncline, "conect")


def test_the_entrances_take_the_documented_arguments() -> None:
    assert parameters(syncline.connect)[:3] == ["file", "hub", "token"]
    assert parameters(syncline.clone)[:4] == ["hub", "file", "token", "progress"]
    assert parameters(syncline.Table) == ["merge", "deletes", "local_rows", "key", "forms", "inserts"]


def test_a_replica_and_a_hub_have_the_documented_verbs() -> None:
    verbs = "sync push pull status log conflicts resolve rejected retry discard track close"
    assert [verb for verb in verbs.split() if not callable(getattr(syncline.Replica, verb, None))] == []
    verbs = "init handle conflicts resolve close"
    assert [verb for verb in verbs.split() if not callable(getattr(syncline.Hub, verb, None))] == []


def test_importing_syncline_loads_nothing_but_itself() -> None:
    loaded = {name for name in modules_loaded_by("import syncline") if name.startswith("syncline")}
    assert loaded == {"syncline"}


def test_a_device_loads_no_server_and_no_driver() -> None:
    loaded = modules_loaded_by("import syncline; syncline.connect; syncline.clone; syncline.Replica")
    assert [name for name in HEAVY if name in loaded] == []
