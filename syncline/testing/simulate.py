"""Many simulated histories, by a command; a failing seed is printed and replays.

    python -m syncline.testing.simulate 50000            that many of both worlds together
    python -m syncline.testing.simulate --seed 211 --world lockstep

Two of three histories are of the lockstep world (compared with the reference after every step), one of
the world with foreign keys, unique columns and every policy (compared with the centre at the end). In one
of five histories next to nothing fits one request, so that pushes go in chunks. The world `setbacks`, where
the centre goes back in time, is played by seed only.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from syncline.testing.lockstep import Lockstep, LockstepInChunks
from syncline.testing.setbacks import Setbacks
from syncline.testing.world import World, WorldInChunks

WORLDS: dict[str, type[Lockstep] | type[World]] = {
    "lockstep": Lockstep,
    "world": World,
    "lockstep-in-chunks": LockstepInChunks,
    "world-in-chunks": WorldInChunks,
    "setbacks": Setbacks,
}
BATCH = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """One history that did not end as it must."""

    world: str
    seed: int
    text: str


def history(number: int) -> tuple[str, int]:
    """World and seed of the history with this number."""
    world, seed = ("world", number // 3) if number % 3 == 2 else ("lockstep", number - number // 3)
    return (f"{world}-in-chunks", seed) if number % 5 == 4 else (world, seed)


def play(world: str, seed: int) -> Failure | None:
    """Play one history from its beginning."""
    try:
        with closing(WORLDS[world](seed)) as played:
            played.run()
    except Exception:
        return Failure(world, seed, traceback.format_exc(limit=-6))
    return None


def play_range(bounds: tuple[int, int]) -> list[Failure]:
    """Play the histories numbered from the first bound up to the second, exclusive."""
    found = (play(*history(number)) for number in range(*bounds))
    return [failure for failure in found if failure is not None]


def simulate(start: int, count: int, workers: int) -> Iterator[tuple[int, list[Failure]]]:
    """Yield (histories played so far, failures among the latest of them)."""
    ranges = [(first, min(first + BATCH, start + count)) for first in range(start, start + count, BATCH)]
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        for bounds, failures in zip(ranges, pool.map(play_range, ranges), strict=True):
            done += bounds[1] - bounds[0]
            yield done, failures


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command; 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python -m syncline.testing.simulate", description=__doc__)
    parser.add_argument("histories", type=int, nargs="?", default=50_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first history")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--world", choices=sorted(WORLDS), default="lockstep", help="with --seed")
    parser.add_argument("--seed", type=int, help="replay one history")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        failure = play(options.world, options.seed)
        print(failure.text if failure else f"{options.world} {options.seed}: as it must be")
        return 1 if failure else 0
    failed = 0
    for done, failures in simulate(options.start, options.histories, options.workers):
        for failure in failures:
            failed += 1
            print(f"FAILED --world {failure.world} --seed {failure.seed}\n{failure.text}", flush=True)
        if done % 1000 == 0:
            print(f"{done} histories, {failed} failed", file=sys.stderr, flush=True)
    print(f"{options.histories} histories, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
