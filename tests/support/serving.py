"""`syncline serve` as a real process, for tests that need one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


class Served:
    """The hub of a syncline.toml over HTTP, prepared first. A context manager."""

    def __init__(self, configuration: Path) -> None:
        command = [sys.executable, "-m", "syncline.cli"]
        subprocess.run([*command, "init", str(configuration)], check=True, capture_output=True)
        self.process = subprocess.Popen(
            [*command, "serve", str(configuration), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server ended before it listened"
        self.url: str = json.loads(line)["url"]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.communicate()
