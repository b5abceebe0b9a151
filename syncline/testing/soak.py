"""Random histories of every world, for as long as somebody wants to wait, over SQLite or PostgreSQL.

    python3 run.py soak --minutes 30 --centre postgresql
    python3 run.py soak --histories 1000 --world field
    python3 run.py soak --world field --seed 211 --steps 3,4,17

Every history takes a number of its own, from `--start` on, so that a longer run plays more of the same. A
history that fails is made as short as it still fails, and printed with what is done in it and the command
that plays it again. At the end each world is told with how many histories and steps were played of it. See
docs/simulation.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from syncline.testing.simulate import (
    NAMES,
    SQLITE_WORLDS,
    WORLDS,
    Failure,
    Shortened,
    outcome,
    replay,
    shortened,
)

BATCH = 10


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one batch of one world."""

    world: str
    histories: int
    steps: int
    failures: tuple[tuple[Failure, Shortened], ...]


@dataclass(slots=True)
class Count:
    """What was played of one world."""

    histories: int = 0
    steps: int = 0
    failed: list[str] = field(default_factory=list)
    """The command that replays each."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to play: these worlds by turns, from this number on, until time or histories are up. `server`: the
    URL of a PostgreSQL server whose user may create databases; None: the centre is over SQLite."""

    worlds: tuple[str, ...]
    start: int
    seconds: float
    histories: int | None
    server: str | None

    def batches(self) -> Iterator[tuple[str, int, int]]:
        """World, first number, and how many, without end or until there are enough."""
        first, left = self.start, self.histories
        while True:
            for world in self.worlds:
                count = BATCH if left is None else min(BATCH, left)
                if count == 0:
                    return
                left = None if left is None else left - count
                yield world, first, count
            first += BATCH


def play_batch(world: str, first: int, count: int, server: str | None) -> Played:
    """Play so many histories of a world from this number on; shorten those that fail."""
    found = [outcome(world, seed, None, server) for seed in range(first, first + count)]
    failures = [one.failure for one in found if one.failure is not None]
    told = tuple((failure, shortened(failure, server)) for failure in failures)
    return Played(world, count, sum(one.steps for one in found), told)


def be_quiet() -> None:
    """What a process that plays does first: histories provoke what a server warns of."""
    logging.disable(logging.WARNING)


def soak(wanted: Wanted, workers: int) -> Iterator[Played]:
    """Yield batches as they end, for as long as is wanted or a little longer."""
    end, batches = time.monotonic() + wanted.seconds, wanted.batches()
    with ProcessPoolExecutor(workers, initializer=be_quiet) as pool:
        running: set[Future[Played]] = set()
        is_over = False
        while running or not is_over:
            while len(running) < 2 * workers and not is_over:
                batch = next(batches, None)
                if batch is not None:
                    running.add(pool.submit(play_batch, *batch, wanted.server))
                is_over = batch is None or time.monotonic() >= end
            if running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()


def main(arguments: Sequence[str] | None = None, server: str | None = None) -> int:
    """Entry point of the command; 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python3 run.py soak", description=__doc__)
    parser.add_argument("--minutes", type=float, help="30 by default")
    parser.add_argument("--histories", type=int, help="how many, all worlds together, instead of a time")
    parser.add_argument("--start", type=int, default=0, help="number of the first history of each world")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--world", choices=NAMES, action="append", help="this one alone; may be repeated")
    parser.add_argument("--seed", type=int, help="replay one history of the world")
    parser.add_argument("--steps", help="replay only these steps of it: 3,4,17")
    options = parser.parse_args(arguments)
    possible = tuple(WORLDS if server is not None else [*WORLDS, *SQLITE_WORLDS])
    worlds = tuple(options.world or possible)
    if not set(worlds) <= set(possible):
        parser.error(f"over PostgreSQL there are {', '.join(possible)}")
    if options.seed is not None:
        return replay(worlds[0], options.seed, options.steps, server)
    is_endless = options.minutes is None and options.histories is not None
    seconds = float("inf") if is_endless else 60 * (30.0 if options.minutes is None else options.minutes)
    wanted = Wanted(worlds, options.start, seconds, options.histories, server)
    return _report(wanted, soak(wanted, options.workers))


def _report(wanted: Wanted, batches: Iterator[Played]) -> int:
    """Print failures as they come, and at the end how much was played."""
    name = "sqlite" if wanted.server is None else "postgresql"
    counts: dict[str, Count] = {}
    begun = time.monotonic()
    for played in batches:
        before = sum(count.histories for count in counts.values())
        count = counts.setdefault(played.world, Count())
        count.histories += played.histories
        count.steps += played.steps
        for failure, short in played.failures:
            command = f"python3 run.py soak --centre {name}"
            count.failed.append(f"{command} {short.arguments}")
            print(f"FAILED {command} {short}", failure.text, sep="\n")
            sys.stdout.flush()
        now, failed = before + played.histories, sum(len(one.failed) for one in counts.values())
        if now // 1000 > before // 1000:
            print(f"{now} histories, {failed} failed", file=sys.stderr, flush=True)
    for world in sorted(counts):
        count = counts[world]
        print(f"{world}: {count.histories} histories, {count.steps} steps, {len(count.failed)} failed")
        for command in count.failed:
            print(f"  {command}")
    whole = sum(count.histories for count in counts.values())
    failed = sum(len(count.failed) for count in counts.values())
    minutes = (time.monotonic() - begun) / 60
    print(f"{whole} histories over {name} in {minutes:.1f} minutes, {failed} failed")
    return 1 if failed else 0
