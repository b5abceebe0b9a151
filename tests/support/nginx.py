"""Debian's nginx in front of a hub, as a process of the test's own.

Without it the tests are skipped aloud, or fail where CI=true."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_SECONDS = 20.0


def find_nginx() -> str:
    """The program; skips the test, or fails it on CI, where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail("CI=true and there is no nginx: install Debian's")
        pytest.skip("THERE IS NO NGINX HERE: proxies are not tested. On Debian: apt-get install nginx")
    return found


def free_port() -> int:
    """A port of this machine that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def proxied(server: str, port: int, folder: Path) -> Iterator[str]:
    """nginx with this `server` block, which listens on `port`; gives the URL. Everything else is as Debian's
    nginx is by itself, but for the places of its files."""
    program = find_nginx()
    folder.mkdir(parents=True, exist_ok=True)
    paths = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{paths}{server}\n}}\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def _await(port: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    process.terminate()
    pytest.fail(f"nginx did not start: {process.communicate()[1]}")
