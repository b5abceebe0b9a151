"""A Django project with its migrations and its admin: the same answers in the centre and on a device (L8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import syncline

PROJECT = Path(__file__).parent / "django_project"


@pytest.fixture
def environment(postgres_url: str, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "FLEET_CENTRE": postgres_url, "FLEET_DEVICE": str(tmp_path / "device.db")}


def ask(verb: str, database: str, environment: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, "ask.py", verb, database],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_django_project_has_the_same_answers_on_a_device(environment: dict[str, str]) -> None:
    ask("migrate", "default", environment)
    with syncline.Hub(environment["FLEET_CENTRE"], forms="django") as hub:
        hub.init()
        with syncline.clone(hub, environment["FLEET_DEVICE"]) as device:
            assert {"auth_user", "django_admin_log", "django_migrations", "fleet_trip"} <= set(
                device.status().tables
            )
            before = ask("queries", "default", environment)
            assert ask("queries", "device", environment) == before
            assert [name for name, found in before.items() if not found] == ["log"], (
                "the others find something"
            )
            ask("edit", "device", environment)
            report = device.sync()
            assert (report.push.overruled, report.push.rejected, report.push.conflicts) == (0, (), 0)
            after = ask("queries", "default", environment)
            assert ask("queries", "device", environment) == after
            assert [name for name, found in after.items() if found == before[name]] != list(before), (
                "it was edited"
            )
            assert after["log"] == [["2024-02-29 12:00:03.500000+00:00", "B-30", "ada"]]
            assert device.verify().equal
