"""Filling a new replica while the centre goes on changing, with interruptions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import StoreBusy, StoreError, TransportError
from syncline.protocol.messages import Limits, Request, Response, Snapshot
from syncline.replica.hydrate import building_path
from syncline.transports.local import LocalTransport
from syncline.transports.open import clone_over

DDL = """
CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id), name TEXT UNIQUE NOT NULL);
CREATE TABLE leaf (a TEXT, b BLOB, node INTEGER REFERENCES node (id) ON DELETE CASCADE, PRIMARY KEY (a, b));
CREATE INDEX leaf_node ON leaf (node);
"""


class Centre:
    """A centre whose hub answers in chunks of three rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sql = sqlite3.connect(folder / "centre.db", isolation_level=None)
        self.sql.execute("PRAGMA foreign_keys = ON")
        self.sql.executescript(DDL)
        with self.sql:
            self.sql.execute("BEGIN")
            self.sql.execute("PRAGMA defer_foreign_keys = ON")
            self.sql.executemany(
                "INSERT INTO node VALUES (?, ?, ?)", [(i, 21 - i, f"n{i}") for i in range(1, 21)]
            )
            self.sql.executemany(
                "INSERT INTO leaf VALUES (?, ?, ?)", [("x", bytes([i]), i) for i in range(1, 21)]
            )
            self.sql.execute("COMMIT")
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", limits=Limits(pull_rows=3))
        self.hub.init()

    def agrees(self, file: Path) -> None:
        with sqlite3.connect(file) as device:
            for table in ("node", "leaf"):
                rows = f"SELECT * FROM {table} ORDER BY 1, 2"
                assert device.execute(rows).fetchall() == self.sql.execute(rows).fetchall()
            assert device.execute("PRAGMA foreign_key_check").fetchall() == []
            assert device.execute("SELECT count(*) FROM _sync_held").fetchone() == (0,)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    yield made
    made.hub.close()


class Meddling(LocalTransport):
    """Calls `between` with the number of each chunk before it is answered."""

    def __init__(self, centre: Centre, between: Callable[[int], None]) -> None:
        super().__init__(centre.hub)
        self.between, self.chunks = between, 0

    def send(self, request: Request) -> Response:
        if isinstance(request, Snapshot):
            self.chunks += 1
            self.between(self.chunks)
        return super().send(request)


def test_what_changes_while_rows_are_copied_arrives_too_l4_l5(centre: Centre) -> None:
    def between(chunk: int) -> None:
        centre.sql.execute("UPDATE node SET up = NULL WHERE id = ?", (chunk,))
        centre.sql.execute("DELETE FROM leaf WHERE node = ?", (chunk + 5,))
        centre.sql.execute("INSERT INTO leaf VALUES (?, x'00', 20)", (f"new{chunk}",))

    clone_over(Meddling(centre, between), centre.folder / "a.db")
    centre.agrees(centre.folder / "a.db")


def test_a_unique_value_that_moves_ahead_of_the_copying_is_no_trouble(centre: Centre) -> None:
    def between(chunk: int) -> None:
        if chunk == 3:
            centre.sql.execute("UPDATE node SET name = 'gone' WHERE id = 1")
            centre.sql.execute("UPDATE node SET name = 'n1' WHERE id = 19")

    clone_over(Meddling(centre, between), centre.folder / "a.db")
    centre.agrees(centre.folder / "a.db")


def test_a_row_that_moves_along_the_key_while_it_is_copied_ends_up_once(centre: Centre) -> None:
    def between(chunk: int) -> None:
        if chunk == 3:
            centre.sql.execute("DELETE FROM leaf WHERE node = 20")
            centre.sql.execute("UPDATE node SET up = NULL WHERE up = 20")
            centre.sql.execute("UPDATE node SET id = 99 WHERE id = 20")

    clone_over(Meddling(centre, between), centre.folder / "a.db")
    centre.agrees(centre.folder / "a.db")


@pytest.mark.parametrize("stop", range(1, 15))
def test_an_interrupted_clone_goes_on_from_the_chunk_it_had(centre: Centre, stop: int) -> None:
    def between(chunk: int) -> None:
        if chunk == stop:
            raise TransportError("the network is gone")

    file = centre.folder / "a.db"
    with pytest.raises(TransportError):
        clone_over(Meddling(centre, between), file)
    assert not file.exists()
    again = Meddling(centre, lambda chunk: None)
    clone_over(again, file)
    assert again.chunks == 14 - max(0, stop - 1)
    centre.agrees(file)
    assert not Path(building_path(str(file))).exists()


def test_a_clone_whose_unfinished_file_is_taken_away_says_so_and_can_be_tried_again(centre: Centre) -> None:
    file = centre.folder / "a.db"

    def between(chunk: int) -> None:
        if chunk == 5:
            Path(building_path(str(file))).unlink()

    with pytest.raises(StoreBusy, match="taken away"):
        clone_over(Meddling(centre, between), file)
    assert not file.exists()
    clone_over(Meddling(centre, lambda chunk: None), file)
    centre.agrees(file)


def test_what_was_begun_with_another_schema_is_begun_anew(centre: Centre) -> None:
    def between(chunk: int) -> None:
        if chunk == 4:
            raise TransportError("the network is gone")

    file = centre.folder / "a.db"
    with pytest.raises(TransportError):
        clone_over(Meddling(centre, between), file)
    centre.sql.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    centre.hub.init()
    clone_over(Meddling(centre, lambda chunk: None), file)
    with sqlite3.connect(file) as device:
        assert device.execute("SELECT count(*) FROM later").fetchone() == (0,)
    centre.agrees(file)


def test_a_clone_has_the_indexes_and_captures_from_the_first_moment(centre: Centre) -> None:
    with syncline.clone(centre.hub, centre.folder / "a.db") as replica:
        with sqlite3.connect(centre.folder / "a.db") as device:
            names = [
                name for (name,) in device.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
            ]
            assert "leaf_node" in names
            device.execute("UPDATE node SET name = 'mine' WHERE id = 1")
        assert replica.status().pending == {"node": 1}


def test_a_clone_into_a_folder_that_does_not_exist_is_a_store_error_l12(centre: Centre) -> None:
    with pytest.raises(StoreError):
        syncline.clone(centre.hub, centre.folder / "nowhere" / "a.db")
