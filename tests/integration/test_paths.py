"""Paths at which there can be no file, or none of this kind: a StoreError or an error of usage, and never one
of Python's (law L12)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.cli import run
from syncline.errors import StoreError, SynclineError
from syncline.replica.examine import examine
from tests.support.application import sql

PATHS: dict[str, Any] = {
    "too long": "x" * 300,
    "too long for what lies beside": "x" * 250,
    "in a folder too long": "/tmp/" + "y" * 300 + "/device.db",
    "far too long": "/".join(["d"] * 3000),
    "with NUL": "a\0b",
    "a folder": "folder",
    "in no folder": "nowhere/device.db",
    "in a file": "centre.db/device.db",
    "a link to itself": "loop",
    "empty": "",
    "bytes": b"device.db",
}
VERBS = "sync push pull status log conflicts rejected verify upgrade doctor".split()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> syncline.Hub:
    monkeypatch.chdir(tmp_path)
    sql(tmp_path / "centre.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    os.mkdir("folder")
    os.symlink("loop", "loop")
    hub = syncline.Hub("sqlite:///centre.db")
    hub.init()
    return hub


ENTRIES: dict[str, Callable[[syncline.Hub, Any], Any]] = {
    "connect": lambda hub, path: syncline.connect(path),
    "connect to track": lambda hub, path: syncline.connect(path, hub),
    "clone": lambda hub, path: syncline.clone(hub, path),
    "doctor": lambda hub, path: examine(path),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("what", [name for name in PATHS if name not in ("a link to itself",)])
def test_l12_a_path_at_which_no_file_can_be_is_said(hub: syncline.Hub, entry: str, what: str) -> None:
    with closing(hub), pytest.raises(StoreError) as caught:
        ENTRIES[entry](hub, PATHS[what])
    assert caught.value.remedy and not caught.value.retry


@pytest.mark.parametrize("what", [name for name in PATHS if name != "bytes"])
def test_l12_no_verb_ends_in_an_error_of_python_for_its_path(
    hub: syncline.Hub, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.close()
    for verb in VERBS:
        assert run([verb, PATHS[what]]) in (1, 2), verb
        assert "try:" in capsys.readouterr().err
    for words in (["clone", "http://127.0.0.1:1", PATHS[what]], ["init", PATHS[what] + ".toml"]):
        assert run(words) in (1, 2), words
        assert "try:" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["too long", "with NUL", "a folder", "in no folder"])
def test_l12_a_centre_at_which_no_file_can_be_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder")
    with closing(syncline.Hub(f"sqlite:///{PATHS[what]}")) as hub, pytest.raises(SynclineError) as caught:
        hub.init()
    assert caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to who may everything")
def test_l12_a_folder_without_rights_is_said(hub: syncline.Hub, tmp_path: Path) -> None:
    os.chmod(tmp_path / "folder", 0)
    for entry in ENTRIES.values():
        with pytest.raises(StoreError):
            entry(hub, "folder/device.db")
    os.chmod(tmp_path / "folder", 0o700)
    hub.close()
