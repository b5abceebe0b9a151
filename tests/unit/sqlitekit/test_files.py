"""L10: what is made is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.replica.store import Store
from syncline.sqlitekit.files import make_private, private, write_private


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "a")
    write_private(tmp_path / "b", b"x")
    with open(tmp_path / "c", "wb", opener=private):
        pass
    assert [mode(tmp_path / name) for name in "abc"] == [0o600] * 3
    make_private(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x"


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    make_private(tmp_path / "link")
    with pytest.raises(OSError):
        write_private(tmp_path / "link", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_what_sqlite_makes_beside_a_private_file_is_private_too(tmp_path: Path) -> None:
    store = Store.open_private(tmp_path / "d.db")
    store.execute("CREATE TABLE t (a)")
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) > 1
    store.close()


def test_the_rights_of_a_file_that_is_there_are_its_owners_affair(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "d.db").close()
    (tmp_path / "d.db").touch()
    os.chmod(tmp_path / "d.db", 0o644)
    Store.open_private(tmp_path / "d.db").close()
    assert mode(tmp_path / "d.db") == 0o644
