"""A hub behind https: who is trusted is what this machine trusts, and nobody else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.server import create_app, serving
from syncline.transports import http
from syncline.transports.http import HttpTransport
from tests.support.nginx import free_port, proxied


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` that nobody but itself vouches for; the key stands beside it."""
    program = shutil.which("openssl")
    if program is None:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail("CI=true and there is no openssl: install Debian's")
        pytest.skip("THERE IS NO openssl HERE: https is not tested. On Debian: apt-get install openssl")
    made = tmp_path / "hub.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(tmp_path / "hub.key"), "-out", str(made), *subject]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def url(tmp_path: Path, certificate: Path) -> Iterator[str]:
    """A hub of one table with one row, behind nginx with that certificate."""
    with closing(sqlite3.connect(tmp_path / "centre.db")) as centre:
        centre.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO item VALUES (1, 'x')"
        )
    hub = syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}")
    hub.init()
    port = free_port()
    with serving(create_app(hub)) as plain:
        server = (
            f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate};"
            f" ssl_certificate_key {certificate.with_suffix('.key')}; location / {{ proxy_pass {plain}; }} }}"
        )
        with proxied(server, port, tmp_path / "nginx"):
            yield f"https://localhost:{port}"
    hub.close()


CLONE = "import sys, syncline; print(syncline.clone(sys.argv[1], sys.argv[2]).sync().requests)"


def clone(url: str, file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A device of its own process, since what is trusted is looked up once a process."""
    command = [sys.executable, "-c", CLONE, url, str(file)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_a_device_syncs_with_a_hub_that_the_machine_trusts_and_with_no_other(
    url: str, certificate: Path, tmp_path: Path
) -> None:
    refused = clone(url, tmp_path / "one.db")
    assert refused.returncode and "certificate verify failed" in refused.stderr
    assert clone(url, tmp_path / "two.db", SSL_CERT_FILE=str(certificate)).stdout == "1\n"


def test_nothing_is_trusted_over_plain_http_and_one_context_serves_all_hubs_over_https(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    monkeypatch.setattr(
        "httpx2.create_ssl_context", lambda: made.append(ssl.create_default_context()) or made[-1]
    )
    http._trusting.cache_clear()
    HttpTransport("http://127.0.0.1:1").close()
    assert made == []
    for _ in range(3):
        HttpTransport("https://127.0.0.1:1").close()
    assert len(made) == 1
