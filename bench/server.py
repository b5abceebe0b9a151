"""`syncline serve` in a process of its own, and what it uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


class Server:
    """A hub over HTTP. A context manager."""

    def __init__(self, configuration: Path) -> None:
        command = [sys.executable, "-m", "syncline.cli", "serve", str(configuration), "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self.process.wait()}")
        self.url: str = json.loads(line)["url"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def forget_peak(self) -> None:
        """Start to measure the peak anew (Linux)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    @property
    def processor_seconds(self) -> float:
        """Processor time that the server has taken so far (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_megabytes(self) -> float:
        return peak_megabytes(self.process.pid)


def peak_megabytes(process: int) -> float:
    """The largest resident size of a process so far (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell the peak of a process")
