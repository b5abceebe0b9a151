"""The demo's processes: a hub that answers over HTTP, and a sync that is killed in the middle.

Both are the command itself, started as a child; only children started here are ever ended, by their own
process ids.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import syncline
from syncline.cli.demo.line import LosesTheAnswer
from syncline.errors import TransportError

PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class RunningHub:
    url: str
    process: int


@dataclass(frozen=True, slots=True)
class Killed:
    """`answered`: the hub had answered, so it had committed; the device never got to read it."""

    process: int
    answered: bool


@contextmanager
def hub(toml: Path) -> Iterator[RunningHub]:
    """`syncline serve` on a free port, until the block ends."""
    child = _start(["serve", str(toml), "--port", "0", "--json"])
    assert child.stdout is not None
    try:
        announced = child.stdout.readline()
        if not announced:
            raise TransportError("the hub's process ended before it listened", code="hub_not_started")
        yield RunningHub(json.loads(announced)["url"], child.pid)
    finally:
        child.terminate()
        _wait(child)
        child.stdout.close()


def killed_sync(file: Path, hub_url: str) -> Killed:
    """Run `syncline sync FILE`; SIGKILL it when the hub has committed and before the device knows."""
    with LosesTheAnswer(hub_url) as line:
        child = _start(["sync", str(file), "--hub", line.url, "--json"])
        assert child.stdout is not None
        answered = line.answer_withheld.wait(PATIENCE_SECONDS)
        child.kill()
        _wait(child)
        child.stdout.close()
    return Killed(child.pid, answered)


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    home = str(Path(syncline.__file__).resolve().parent.parent)
    paths = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "syncline.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def _wait(child: subprocess.Popen[str]) -> None:
    try:
        child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
