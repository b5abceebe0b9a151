"""Where the time of a large push goes, device and hub in one process, by the profiler's cumulative times.

The profiler slows Python down and not the database, so these are parts, not speeds.
"""

from __future__ import annotations

import cProfile
import pstats

import syncline
from bench import device
from bench.centres import Centre
from bench.figures import Figure
from bench.world import World

SECTION = "parts"

PARTS = {
    "device: read, coalesce, encode, freeze": [("replica/freeze.py", "freeze")],
    "upload the chunks": [("hub/uploads.py", "begin"), ("hub/uploads.py", "keep")],
    "hub: read the chunks, check cells, keys, stamps": [("hub/large.py", "_accepted")],
    "load the rows into the database": [("write.py", "stage")],
    "lock the rows that exist": [("write.py", "lock")],
    "what others did to them": [("write.py", "rivals")],
    "write rows and log": [("write.py", "apply")],
    "read back what may be stored otherwise": [("write.py", "differing")],
    "device: take the verdict in": [("replica/apply.py", "apply")],
}
"""By (end of the file's name, function)."""


def measure(world: World) -> list[Figure]:
    """Per cent of a push of many new rows."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _parts(world, centre)]


def _parts(world: World, centre: Centre) -> list[Figure]:
    size, found = world.size(100_000, 5_000), dict[str, list[float]]()
    file = world.path("parts.db")
    rules = {"item": syncline.Table(merge={"quantity": "sum"})}
    with syncline.Hub(centre.url, tables=rules) as hub:
        hub.init()
        with syncline.clone(hub, str(file)) as replica:
            for run in range(world.runs):
                device.insert(file, size, run * size)
                for name, part in _profiled(replica).items():
                    found.setdefault(name, []).append(part)
    what = f"push {size:,} new rows"
    return [Figure(SECTION, centre.kind, f"{what}: {name}", "%", parts) for name, parts in found.items()]


def _profiled(replica: syncline.Replica) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.runcall(replica.push)
    times: dict[tuple[str, str], float] = {}
    for (path, _, function), entry in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for place in {place for places in PARTS.values() for place in places}:
            if path.endswith(f"/{place[0]}") and function == place[1]:
                times[place] = times.get(place, 0.0) + entry[3]
            if function == "push" and path.endswith("replica/replica.py"):
                whole = entry[3]
    parts = {
        name: 100 * sum(times.get(place, 0.0) for place in places) / whole for name, places in PARTS.items()
    }
    return {**parts, "the rest": 100 - sum(parts.values())}
