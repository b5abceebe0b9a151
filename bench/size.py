"""Cost against size: the same small pull and push with more and more rows in the table, and in the log.

Neither may depend on how large the table is, nor on how long the log is: only on what changed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import syncline
from bench import device, rows
from bench.centres import Centre
from bench.figures import Figure, most
from bench.world import World

SECTION = "size"
CHANGES = 100
"""Rows in each pull and each push."""

FULL, QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000)
ENTRIES_A_ROW = 10
"""How often each row of the largest table stands in the long log."""

UPDATE = "UPDATE item SET title = ? WHERE id = ?"


@dataclass(slots=True)
class Cost:
    """Milliseconds, one of each a repetition."""

    pull: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)
    nothing: list[float] = field(default_factory=list)


def measure(world: World) -> list[Figure]:
    """p50 of pulling and pushing 100 changes, and of a pull with nothing new, by size."""
    costs: dict[str, dict[str, Cost]] = {}
    sizes = QUICK if world.quick else FULL
    for size in sizes:
        with world.centres(SECTION) as centres:
            for centre in centres:
                found = costs.setdefault(centre.kind, {})
                found |= _at(world, centre, size, is_last=size == sizes[-1])
    return [figure for kind, by_size in costs.items() for figure in _figures(kind, by_size)]


def _at(world: World, centre: Centre, size: int, *, is_last: bool) -> dict[str, Cost]:
    """What it costs at this size and, at the last one, with the long log too."""
    centre.fill(size)
    found = {}
    with centre.served() as server:
        file = world.path("size.db")
        with syncline.clone(server.url, str(file)) as replica:
            found[f"{size:,} rows"] = _cost(world, centre, replica, file, size)
        if is_last:
            centre.lengthen_log(ENTRIES_A_ROW)
            file = world.path("size.db")
            with syncline.clone(server.url, str(file)) as replica:
                name = f"{size:,} rows, log of {size * ENTRIES_A_ROW:,}"
                found[name] = _cost(world, centre, replica, file, size)
    return found


def _cost(world: World, centre: Centre, replica: syncline.Replica, file: Path, size: int) -> Cost:
    cost = Cost()
    for turn in range(world.size(30, 3) + 1):
        chosen = [rows.key(number * (size // CHANGES)) for number in range(CHANGES)]
        centre.run(*(f"UPDATE item SET note = 'turn {turn}' WHERE id = '{key}'" for key in chosen))
        taken = Cost([_milliseconds(replica.pull)], [], [_milliseconds(replica.pull)])
        device.write(file, UPDATE, [(f"turn {turn}", key) for key in chosen])
        taken.push.append(_milliseconds(replica.push))
        if turn:  # the first one warms up
            for name in ("pull", "push", "nothing"):
                getattr(cost, name).extend(getattr(taken, name))
    world.say(
        f"{centre.kind}, {size:,} rows: pull {statistics.median(cost.pull):.1f} ms,"
        f" push {statistics.median(cost.push):.1f} ms, nothing {statistics.median(cost.nothing):.2f} ms"
    )
    return cost


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _figures(kind: str, by_size: dict[str, Cost]) -> list[Figure]:
    """Each size against the smallest one of the same run."""
    least = next(iter(by_size.values()))
    whats = {
        "pull": f"pull of {CHANGES} changes",
        "push": f"push of {CHANGES} changes",
        "nothing": "pull, nothing new",
    }
    return [
        Figure(
            SECTION,
            kind,
            f"{what}, {size}, p50",
            "ms",
            [statistics.median(getattr(cost, name))],
            [statistics.median(getattr(least, name))],
            [most(1.5, "ratio")],
            "bare: the smallest table",
        )
        for name, what in whats.items()
        for size, cost in by_size.items()
    ]
