"""Random histories for as long as somebody wants to wait, with a centre over SQLite or PostgreSQL.

    python3 run.py soak --minutes 30 --centre postgresql

Every history takes a number of its own, from `--start` on, so that a longer run plays more of the same. A
history that fails is made as short as it still fails, if its world can leave steps out, and printed with the
arguments that play it again. At the end the command says how many histories of each world it played.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

from syncline.testing.simulate import STEPPED, WORLDS, Failure, play, replay, shortened

LOCKSTEP = ("lockstep", "lockstep-in-chunks", "setbacks")
"""Worlds that set the centre's clock or its whole contents: over SQLite alone."""
ROUND = (
    "world",
    "schema",
    "world-in-chunks",
    "lockstep",
    "schema-in-chunks",
    "lockstep-in-chunks",
    "setbacks",
)
"""The worlds, which take turns."""
BATCH = 10


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one batch of one world."""

    world: str
    histories: int
    failures: tuple[Failure, ...]


def play_batch(world: str, first: int, server: str | None) -> Played:
    """Play `BATCH` histories of a world from this number on."""
    logging.disable(logging.WARNING)
    found = (play(world, seed, server=server) for seed in range(first, first + BATCH))
    return Played(world, BATCH, tuple(failure for failure in found if failure is not None))


def soak(seconds: float, start: int, workers: int, server: str | None) -> Iterator[Played]:
    """Yield batches as they end, for this many seconds or a little longer. `server`: the URL of a PostgreSQL
    server whose user may create databases; None: the centre is over SQLite."""
    end, batches = time.monotonic() + seconds, _batches(start, server)
    with ProcessPoolExecutor(workers) as pool:
        running: set[Future[Played]] = set()
        while running or time.monotonic() < end:
            while len(running) < 2 * workers and time.monotonic() < end:
                world, first = next(batches)
                running.add(pool.submit(play_batch, world, first, server))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _batches(start: int, server: str | None) -> Iterator[tuple[str, int]]:
    worlds = [world for world in ROUND if server is None or world not in LOCKSTEP]
    first = start
    while True:
        for world in worlds:
            yield world, first
        first += BATCH


def main(arguments: Sequence[str] | None = None, server: str | None = None) -> int:
    """Entry point of the command; 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python3 run.py soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--start", type=int, default=0, help="number of the first history of each world")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--world", choices=sorted([*WORLDS, *STEPPED]), help="with --seed")
    parser.add_argument("--seed", type=int, help="replay one history")
    parser.add_argument("--steps", help="replay only these steps of it: 3,4,17")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.world or "world", options.seed, options.steps, server)
    counted: Counter[str] = Counter()
    failed = 0
    for played in soak(options.minutes * 60, options.start, options.workers, server):
        before = sum(counted.values())
        counted[played.world] += played.histories
        for failure in played.failures:
            failed += 1
            print(f"FAILED {shortened(failure, server)}\n{failure.text}", flush=True)
        if sum(counted.values()) // 1000 > before // 1000:
            print(f"{sum(counted.values())} histories, {failed} failed", file=sys.stderr, flush=True)
    for world in sorted(counted):
        print(f"{world}: {counted[world]}")
    print(f"{sum(counted.values())} histories over {'PostgreSQL' if server else 'SQLite'}, {failed} failed")
    return 1 if failed else 0
