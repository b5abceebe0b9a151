"""Push of new rows, against the fastest bare upsert of the same rows into the same database."""

from __future__ import annotations

import time

import syncline
from bench import device, rows
from bench.centres import Centre
from bench.figures import Figure, least
from bench.world import World

SECTION = "push"


def measure(world: World) -> list[Figure]:
    """Rows a second of one push of many new rows, captured to committed, over HTTP."""
    with world.centres(SECTION) as centres:
        return [_push(world, centre) for centre in centres]


def _push(world: World, centre: Centre) -> Figure:
    size = world.size(100_000, 5_000)
    ours, bare = [], []
    with centre.served() as server:
        file = world.path("push.db")
        with syncline.clone(server.url, str(file)) as replica:
            for run in range(world.runs):
                start = run * size
                device.insert(file, size, start)
                began = time.perf_counter()
                report = replica.push()
                ours.append(size / (time.perf_counter() - began))
                bare.append(size / centre.bare_push(rows.items(size, start)))
                world.say(f"push to {centre.kind}: {ours[-1]:,.0f} rows/s, bare {bare[-1]:,.0f} ({report})")
        assert centre.count() == size * world.runs
    targets = [least(0.4, "ratio"), least(60_000)] if centre.kind == "postgresql" else [least(0.4, "ratio")]
    what = "COPY and upsert" if centre.kind == "postgresql" else "executemany upsert"
    return Figure(
        SECTION, centre.kind, f"push {size:,} new rows", "rows/s", ours, bare, targets, f"bare: {what}"
    )
