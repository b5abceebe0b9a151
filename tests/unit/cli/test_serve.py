"""`serve` lets nobody in from elsewhere unless it is told to: what counts is what the socket is bound to."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from syncline.cli import run
from syncline.cli.serve import refuse_strangers
from syncline.cli.verbs import application
from syncline.errors import UsageError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    sqlite3.connect(tmp_path / "centre.db").executescript(
        "CREATE TABLE item (id INTEGER PRIMARY KEY)"
    ).close()
    file = tmp_path / "syncline.toml"
    file.write_text('[hub]\ndatabase = "sqlite:///centre.db"\n')
    assert CliRunner().invoke(application, ["init", str(file)]).exit_code == 0
    return file


def bound(family: int, address: str) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.bind((address, 0))
    except OSError:
        listening.close()
        pytest.skip(f"this machine has no {address}")
    return listening


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_address_is_open_to_nobody_else(address: str) -> None:
    with bound(socket.AF_INET6 if ":" in address else socket.AF_INET, address) as listening:
        assert not refuse_strangers(listening, is_open=False)
        assert not refuse_strangers(listening, is_open=True)


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::", "::ffff:0.0.0.0"])
def test_another_one_is_refused_unless_everybody_may_come_in(address: str) -> None:
    with bound(socket.AF_INET6 if ":" in address else socket.AF_INET, address) as listening:
        with pytest.raises(UsageError) as caught:
            refuse_strangers(listening, is_open=False)
        assert caught.value.code == "open_to_strangers"
        assert "--open" in caught.value.remedy and "authenticate=" in caught.value.remedy
        assert refuse_strangers(listening, is_open=True)


def test_a_name_counts_as_what_it_stands_for() -> None:
    """The name of this machine may stand for a loopback address or for another one."""
    name = socket.gethostname()
    with bound(socket.AF_INET, name) as listening:
        address = listening.getsockname()[0]
        if address.startswith("127."):
            assert not refuse_strangers(listening, is_open=False)
        else:
            with pytest.raises(UsageError):
                refuse_strangers(listening, is_open=False)


def test_a_socket_without_an_address_counts_as_reached(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "hub.sock"))
        with pytest.raises(UsageError):
            refuse_strangers(listening, is_open=False)


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_serve_says_what_to_do_and_listens_to_nobody(toml: Path, host: str, more: list[str]) -> None:
    command = ["serve", str(toml), "--host", host, "--port", "0", "--json", *more]
    done = subprocess.run(
        [sys.executable, "-m", "syncline", *command], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "open_to_strangers"
    assert "--open" in error["remedy"]


def test_a_socket_that_is_handed_over_counts_too(toml: Path) -> None:
    """As systemd does it, and as `--workers` hands it to each of them."""
    with bound(socket.AF_INET, "0.0.0.0") as listening:
        done = subprocess.run(
            [sys.executable, "-m", "syncline", "serve", str(toml), "--fd", str(listening.fileno())],
            pass_fds=[listening.fileno()], capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode != 0
    assert "open_to_strangers" in done.stderr


@pytest.fixture(params=[[], ["--workers", "2"]], ids=["one", "workers"])
def served(toml: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    command = ["serve", str(toml), "--host", "0.0.0.0", "--port", "0", "--json", "--open", *request.param]
    with subprocess.Popen(
        [sys.executable, "-m", "syncline", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()
        assert process.stderr is not None
        assert "--open" in json.loads(process.stderr.read())["warning"]
    assert process.returncode == 0


def test_with_open_it_listens_to_everybody_and_says_so(served: str) -> None:
    url = served.replace("0.0.0.0", "127.0.0.1")
    assert httpx2.get(url + "/ready").status_code == 200
    assert httpx2.post(url + "/sync/clients", json={"replica": "r"}).status_code == 200


def test_one_worker_is_renewed_by_sighup_and_goes_on_where_it_cannot_be(toml: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "syncline", "serve", str(toml), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = json.loads(process.stdout.readline())
        good = toml.read_text()
        toml.write_text(good + "[limits]\nnonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        assert "nonsense" in json.loads(process.stderr.readline())["warning"]
        assert httpx2.get(first["url"] + "/ready").status_code == 200
        toml.write_text(good.replace("[hub]", f"[hub]\nsnapshots = '{toml}'"))  # no folder
        process.send_signal(signal.SIGHUP)
        assert "goes on as it was started" in json.loads(process.stderr.readline())["warning"]
        assert json.loads(process.stdout.readline()) == first, "as it was"
        toml.write_text(good + "[limits]\npush_rows = 77\n")
        process.send_signal(signal.SIGHUP)
        assert json.loads(process.stdout.readline()) == first, "the same socket, process and tables"
        told = httpx2.post(first["url"] + "/sync/clients", json={"replica": "r"}).json()
        assert told["limits"]["push_rows"] == 77
        process.terminate()
    assert process.returncode == 0


def test_a_replica_is_handed_over_on_the_command_line(toml: Path) -> None:
    import syncline
    from syncline.protocol import messages as m

    ann = syncline.Actor("ann", tenant="north")
    with syncline.Hub(f"sqlite:///{toml.parent / 'centre.db'}") as hub:
        hub.handle(syncline.Actor("bob"), m.Register("r1"))
        done = CliRunner().invoke(
            application, ["assign", str(toml), "r1", "ann", "--tenant", "north", "--json"]
        )
        assert json.loads(done.output) == {"replica": "r1", "actor": "north / ann"}
        assert isinstance(hub.handle(ann, m.StateQuery("r1")), m.StateAnswer)
        listed = CliRunner().invoke(application, ["replicas", str(toml), "--json"])
        assert [one["actor"] for one in json.loads(listed.output)["replicas"]] == ["north / ann"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_l12_serve_of_a_database_that_is_not_prepared_says_what_doctor_says(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "sqlite:///centre.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    sqlite3.connect(tmp_path / "centre.db").execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY)"
    ).connection.close()
    file = tmp_path / "syncline.toml"
    file.write_text(f'[hub]\ndatabase = "{url}"\n')
    for more in ([], ["--workers", "2"]):
        assert run(["serve", str(file), "--port", "0", *more]) == 1
        assert capfd.readouterr().err.splitlines() == [
            "error: the central database holds no tables of Syncline [not_prepared]",
            "try:   Run: syncline init syncline.toml",
        ]
    assert run(["doctor", str(file), "--json"]) == 3
    (found,) = json.loads(capfd.readouterr().out)["findings"]
    assert found["sentence"] == "the central database holds no tables of Syncline"
