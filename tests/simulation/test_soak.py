"""Histories over a PostgreSQL centre, and the command that plays them for a given time (laws L2 to L9)."""

from __future__ import annotations

import pytest

from syncline.testing import soak
from syncline.testing.simulate import play
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("world", ["world", "world-in-chunks", "schema", "schema-in-chunks"])
@pytest.mark.parametrize("seed", range(4))
def test_histories_over_postgresql_end_as_they_must(
    postgres_server: PostgresServer, world: str, seed: int
) -> None:
    failure = play(world, seed, server=postgres_server.url)
    assert failure is None, failure


def test_the_command_says_how_many_histories_it_played(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "BATCH", 1)
    assert soak.main(["--minutes", "0.001", "--workers", "1"]) == 0
    *worlds, whole = capsys.readouterr().out.splitlines()
    played = sum(int(line.partition(": ")[2]) for line in worlds)
    assert played > 0
    assert whole == f"{played} histories over SQLite, 0 failed"


def test_one_history_replays_by_the_command(
    postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--world", "schema", "--seed", "3", "--steps", "0,1,2"]
    assert soak.main(arguments, postgres_server.url) == 0
    assert capsys.readouterr().out == "schema 3: as it must be\n"
