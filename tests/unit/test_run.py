"""What `run.py` starts does not outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("put away", flush=True)
    sys.exit(7)
"""


def test_a_terminated_run_lets_what_it_has_started_put_things_away_and_waits() -> None:
    ours = f"import sys, run; sys.exit(run.call(sys.executable, '-c', {CHILD!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", ours], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "put away\n"
    assert process.returncode == 7
