"""Histories over a PostgreSQL centre, and the command that plays them for a given time (laws L2 to L9)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncline.replica import apply
from syncline.testing import soak
from syncline.testing.simulate import outcome, play
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("world", ["world", "world-in-chunks", "schema", "schema-in-chunks"])
@pytest.mark.parametrize("seed", range(4))
def test_histories_over_postgresql_end_as_they_must(
    postgres_server: PostgresServer, world: str, seed: int
) -> None:
    failure = play(world, seed, server=postgres_server.url)
    assert failure is None, failure


def test_the_command_says_how_many_histories_and_steps_of_each_world_it_played(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--histories", "12", "--workers", "1", "--world", "world", "--world", "lockstep"]
    assert soak.main(words) == 0
    *worlds, whole = capsys.readouterr().out.splitlines()
    steps = [sum(outcome(w, seed).steps for seed in range(n)) for w, n in (("lockstep", 2), ("world", 10))]
    assert worlds == [
        f"lockstep: 2 histories, {steps[0]} steps, 0 failed",
        f"world: 10 histories, {steps[1]} steps, 0 failed",
    ]
    assert re.fullmatch(r"12 histories over sqlite in \d+\.\d minutes, 0 failed", whole)


def test_the_worlds_take_turns_until_there_are_enough_histories() -> None:
    wanted = soak.Wanted(("world", "schema"), 30, 60.0, 41, None)
    played = [f"{world} {first} {count}" for world, first, count in wanted.batches()]
    assert played == ["world 30 10", "schema 30 10", "world 40 10", "schema 40 10", "world 50 1"]


def test_a_history_that_fails_is_told_with_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apply, "remove_gone", lambda work: work.gone.clear())
    # the planted fault is in this process
    monkeypatch.setattr(soak, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(soak, "be_quiet", lambda: None)
    assert soak.main(["--histories", "5", "--workers", "1", "--world", "lockstep"]) == 1
    out = capsys.readouterr().out.splitlines()
    command = next(line.removeprefix("FAILED ") for line in out if line.startswith("FAILED "))
    assert command.startswith("python3 run.py soak --centre sqlite --world lockstep --seed ")
    assert f"  {command}" in out
    assert soak.main(command.partition("--centre sqlite ")[2].split()) == 1
    assert capsys.readouterr().out.startswith("Traceback")


def test_one_history_replays_by_the_command(
    postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--world", "schema", "--seed", "3", "--steps", "0,1,2"]
    assert soak.main(arguments, postgres_server.url) == 0
    assert capsys.readouterr().out == "schema 3: as it must be\n"
