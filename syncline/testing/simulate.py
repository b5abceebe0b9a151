"""Many simulated histories, by a command; a failing seed is printed and replays.

    python -m syncline.testing.simulate 50000            that many of both worlds together
    python -m syncline.testing.simulate --seed 211 --world lockstep
    python -m syncline.testing.simulate 2000 --world schema     that many in which the tables change

Two of three histories are of the lockstep world (compared with the reference after every step), one of
the world with foreign keys, unique columns and every policy (compared with the centre at the end). In one
of five histories next to nothing fits one request, so that pushes go in chunks. The world `setbacks`, where
the centre goes back in time, is played by seed only. A history of the world `schema` that fails is printed
with as few of its steps as still fail; `--steps` plays those alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

from syncline.testing.lockstep import Lockstep, LockstepInChunks
from syncline.testing.office import MakeOffice, SqliteOffice
from syncline.testing.schemas import SchemaInChunks, SchemaWorld
from syncline.testing.setbacks import Setbacks
from syncline.testing.shrink import shrunk
from syncline.testing.world import World, WorldInChunks

WORLDS: dict[str, type[Lockstep] | type[World]] = {
    "lockstep": Lockstep,
    "world": World,
    "lockstep-in-chunks": LockstepInChunks,
    "world-in-chunks": WorldInChunks,
    "setbacks": Setbacks,
}
STEPPED: dict[str, type[SchemaWorld]] = {"schema": SchemaWorld, "schema-in-chunks": SchemaInChunks}
"""The worlds whose steps can be left out one by one."""
BATCH = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """One history that did not end as it must."""

    world: str
    seed: int
    text: str
    kind: str = ""
    """Failures of one kind have one cause, as a rule."""


def history(number: int) -> tuple[str, int]:
    """World and seed of the history with this number."""
    world, seed = ("world", number // 3) if number % 3 == 2 else ("lockstep", number - number // 3)
    return (f"{world}-in-chunks", seed) if number % 5 == 4 else (world, seed)


def play(
    world: str, seed: int, keep: Sequence[int] | None = None, server: str | None = None
) -> Failure | None:
    """Play one history from its beginning; of a world with steps only those to `keep`.

    `server`: the URL of a PostgreSQL server to make its centre in; None: the centre is over SQLite."""
    try:
        with closing(_made(world, seed, keep, server)) as played:
            played.run()
    except Exception as error:
        return Failure(world, seed, traceback.format_exc(limit=-6), _kind(error))
    return None


def _made(
    world: str, seed: int, keep: Sequence[int] | None, server: str | None
) -> Lockstep | World | SchemaWorld:
    if world in STEPPED:
        return STEPPED[world](seed, keep, _offices(server))
    made = WORLDS[world]
    return made(seed, _offices(server)) if server is not None and issubclass(made, World) else made(seed)


def _offices(server: str | None) -> MakeOffice:
    if server is None:
        return SqliteOffice
    from syncline.testing.office_postgresql import offices_in  # wants the driver, an extra

    return offices_in(server)


def _kind(error: Exception) -> str:
    """What kind of failure it is: the error, and the function that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {getattr(error, 'code', '')} {last.name}"


def shortened(failure: Failure, server: str | None = None) -> str:
    """How to replay a history that failed, with as few steps as fail in the same way, and what they do."""
    command = f"--world {failure.world} --seed {failure.seed}"
    if failure.world not in STEPPED:
        return command
    make = STEPPED[failure.world]

    def fails(steps: Sequence[int]) -> str | None:
        found = play(failure.world, failure.seed, steps, server)
        return None if found is None else found.kind

    with closing(make(failure.seed, None, _offices(server))) as whole:
        count = len(whole.steps)
    steps = shrunk(range(count), fails)
    with closing(make(failure.seed, steps, _offices(server))) as played:
        with suppress(Exception):
            played.run()
        told = "\n".join(f"  {line}" for line in played.trace)
    return f"{command} --steps {','.join(map(str, steps))}\n{told}"


def play_range(bounds: tuple[int, int]) -> list[Failure]:
    """Play the histories numbered from the first bound up to the second, exclusive."""
    found = (play(*history(number)) for number in range(*bounds))
    return [failure for failure in found if failure is not None]


def play_changes(bounds: tuple[int, int]) -> list[Failure]:
    """The same of the histories in which the tables change; one of five goes in chunks."""
    worlds = ("schema-in-chunks" if number % 5 == 4 else "schema" for number in range(*bounds))
    found = (play(world, number) for world, number in zip(worlds, range(*bounds), strict=True))
    return [failure for failure in found if failure is not None]


def simulate(
    start: int, count: int, workers: int, plays: Callable[[tuple[int, int]], list[Failure]] = play_range
) -> Iterator[tuple[int, list[Failure]]]:
    """Yield (histories played so far, failures among the latest of them)."""
    ranges = [(first, min(first + BATCH, start + count)) for first in range(start, start + count, BATCH)]
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        for bounds, failures in zip(ranges, pool.map(plays, ranges), strict=True):
            done += bounds[1] - bounds[0]
            yield done, failures


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command; 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python -m syncline.testing.simulate", description=__doc__)
    parser.add_argument("histories", type=int, nargs="?", default=50_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first history")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--world", choices=sorted([*WORLDS, *STEPPED]), help="with --seed, or: schema")
    parser.add_argument("--seed", type=int, help="replay one history")
    parser.add_argument("--steps", help="replay only these steps of it: 3,4,17")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.world or "lockstep", options.seed, options.steps)
    failed = 0
    plays = play_changes if options.world in STEPPED else play_range
    for done, failures in simulate(options.start, options.histories, options.workers, plays):
        for failure in failures:
            failed += 1
            print(f"FAILED {shortened(failure)}\n{failure.text}", flush=True)
        if done % 1000 == 0:
            print(f"{done} histories, {failed} failed", file=sys.stderr, flush=True)
    print(f"{options.histories} histories, {failed} failed")
    return 1 if failed else 0


def replay(world: str, seed: int, steps: str | None, server: str | None = None) -> int:
    """Play one history and print how it ended; 1 if not as it must."""
    failure = play(world, seed, None if steps is None else [int(step) for step in steps.split(",")], server)
    print(failure.text if failure else f"{world} {seed}: as it must be")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
