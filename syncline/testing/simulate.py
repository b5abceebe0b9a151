"""Many simulated histories, by a command; a failing seed is printed and replays.

    python -m syncline.testing.simulate 50000            that many of both worlds together
    python -m syncline.testing.simulate --seed 211 --world lockstep
    python -m syncline.testing.simulate 2000 --world schema     that many in which the tables change

Two of three histories are of the lockstep world (compared with the reference after every step), one of
the world with foreign keys, unique columns and every policy (compared with the centre at the end). In one
of five histories next to nothing fits one request, so that pushes go in chunks. Other worlds are played by
name. A history that fails is printed with as few of its steps as still fail; `--steps` plays those alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial

from syncline.testing.copies import Copies
from syncline.testing.field import Field, FieldInChunks
from syncline.testing.history import History, Mark
from syncline.testing.lockstep import Lockstep, LockstepInChunks
from syncline.testing.office import MakeOffice, SqliteOffice
from syncline.testing.returns import Returns
from syncline.testing.schemas import SchemaInChunks, SchemaWorld
from syncline.testing.setbacks import Setbacks
from syncline.testing.shrink import shrunk
from syncline.testing.world import World, WorldInChunks

WORLDS: dict[str, type[World] | type[SchemaWorld] | type[Field] | type[Returns]] = {
    "world": World,
    "world-in-chunks": WorldInChunks,
    "schema": SchemaWorld,
    "schema-in-chunks": SchemaInChunks,
    "field": Field,
    "field-in-chunks": FieldInChunks,
    "setbacks": Setbacks,
    "copies-and-setbacks": Returns,
}
"""The worlds whose centre may be over any database, by name."""
SQLITE_WORLDS: dict[str, type[Lockstep] | type[Copies]] = {
    "lockstep": Lockstep,
    "lockstep-in-chunks": LockstepInChunks,
    "copies": Copies,
}
"""Those that compare every step with a reference or a book, by the centre's clock: over SQLite alone."""
NAMES = sorted([*WORLDS, *SQLITE_WORLDS])
BATCH = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """One history that did not end as it must."""

    world: str
    seed: int
    text: str
    kind: str = ""
    """Failures of one kind have one cause, as a rule."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one history."""

    steps: int
    failure: Failure | None


def history(number: int) -> tuple[str, int]:
    """World and seed of the history with this number."""
    world, seed = ("world", number // 3) if number % 3 == 2 else ("lockstep", number - number // 3)
    return (f"{world}-in-chunks", seed) if number % 5 == 4 else (world, seed)


def play(
    world: str, seed: int, keep: Sequence[int] | None = None, server: str | None = None
) -> Failure | None:
    """Play one history from its beginning, all of it or only the steps to `keep`, by their place.

    `server`: the URL of a PostgreSQL server to make its centre in; None: the centre is over SQLite."""
    return outcome(world, seed, keep, server).failure


def outcome(world: str, seed: int, keep: Sequence[int] | None = None, server: str | None = None) -> Outcome:
    """The same, with the number of steps that were played."""
    played = None
    try:
        played = made(world, seed, keep, server)
        with closing(played):
            played.run()
    except Exception as error:
        failure = Failure(world, seed, traceback.format_exc(limit=-6), _kind(error))
        return Outcome(len(played.marks) if played else 0, failure)
    return Outcome(len(played.marks), None)


def made(world: str, seed: int, keep: Sequence[int] | None = None, server: str | None = None) -> History:
    """A history that is not played yet."""
    fresh = _fresh(world, seed, server)
    if keep is not None:
        marks = _marks(world, seed, server)
        fresh.only([marks[place] for place in keep if place < len(marks)])
    return fresh


def _fresh(world: str, seed: int, server: str | None) -> History:
    if world in WORLDS:
        return WORLDS[world](seed, _offices(server))
    return SQLITE_WORLDS[world](seed)


@lru_cache(maxsize=1)
def _marks(world: str, seed: int, server: str | None) -> list[Mark]:
    """The steps of the whole history, as far as it can be played."""
    with closing(_fresh(world, seed, server)) as whole:
        with suppress(Exception):
            whole.run()
        return whole.marks


def _offices(server: str | None) -> MakeOffice:
    if server is None:
        return SqliteOffice
    from syncline.testing.office_postgresql import offices_in  # wants the driver, an extra

    return offices_in(server)


def _kind(error: Exception) -> str:
    """What kind of failure it is: the error, and the function that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {getattr(error, 'code', '')} {last.name}"


@dataclass(frozen=True, slots=True)
class Shortened:
    """A history that failed, with as few steps as fail in the same way."""

    arguments: str
    """Those that replay it."""
    told: tuple[str, ...]
    """What is done in it."""

    def __str__(self) -> str:
        return "\n".join([self.arguments, *(f"  {line}" for line in self.told)])


def shortened(failure: Failure, server: str | None = None) -> Shortened:
    """Leave out all steps that the failure does not need."""

    def fails(steps: Sequence[int]) -> str | None:
        found = play(failure.world, failure.seed, steps, server)
        return None if found is None else found.kind

    count = len(_marks(failure.world, failure.seed, server))
    steps = shrunk(range(count), fails)
    with closing(made(failure.world, failure.seed, steps, server)) as played:
        with suppress(Exception):
            played.run()
        told = tuple(played.trace)
    chosen = ",".join(map(str, steps))
    return Shortened(f"--world {failure.world} --seed {failure.seed} --steps {chosen}", told)


def play_range(bounds: tuple[int, int]) -> list[Failure]:
    """Play the histories numbered from the first bound up to the second, exclusive."""
    return _failures(map(history, range(*bounds)))


def play_changes(bounds: tuple[int, int]) -> list[Failure]:
    """The same of the histories in which the tables change; one of five goes in chunks."""
    return _failures(("schema-in-chunks" if n % 5 == 4 else "schema", n) for n in range(*bounds))


def play_of(world: str, bounds: tuple[int, int]) -> list[Failure]:
    """The same of one world."""
    return _failures((world, seed) for seed in range(*bounds))


def _failures(histories: Iterable[tuple[str, int]]) -> list[Failure]:
    """What fails of these histories, by world and seed."""
    found = (play(world, seed) for world, seed in histories)
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
    parser.add_argument("--world", choices=NAMES, help="histories of this world alone")
    parser.add_argument("--seed", type=int, help="replay one history")
    parser.add_argument("--steps", help="replay only these steps of it: 3,4,17")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.world or "lockstep", options.seed, options.steps)
    failed = 0
    plays: Callable[[tuple[int, int]], list[Failure]] = play_range
    if options.world is not None:
        plays = play_changes if options.world == "schema" else partial(play_of, options.world)
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
    failure = play(world, seed, None if steps is None else numbers(steps), server)
    print(failure.text if failure else f"{world} {seed}: as it must be")
    return 1 if failure else 0


def numbers(text: str) -> list[int]:
    """Numbers between commas; none in an empty text."""
    return [int(one) for one in text.split(",") if one]


if __name__ == "__main__":
    sys.exit(main())
