"""Where the time of a large push goes, device and hub in one process, by the wall.

Some parts are done beside others, in a thread: together they are more than the whole.
"""

from __future__ import annotations

import sys
import time

import syncline
from bench import device
from bench.centres import Centre
from bench.figures import Figure
from bench.timing import timed
from bench.world import World
from syncline.server.runner import SWITCH_SECONDS

SECTION = "parts"

PARTS = {
    "device: freeze": ["replica.ahead.freeze_pending"],
    "hub: keep chunks (beside the freeze)": ["hub.uploads.Uploads.begin", "hub.uploads.Uploads.keep"],
    "hub: open chunks, check, spell (beside the database)": [
        "hub.large.Chunks._accepted",
        "databases.{kind}.write.RowWriter.ready",
    ],
    "database: load rows": ["databases.{kind}.write.RowWriter.stage"],
    "database: lock what exists": ["databases.{kind}.write.RowWriter.lock"],
    "database: what others did": ["databases.{kind}.write.RowWriter.rivals"],
    "database: write rows and log": ["databases.{kind}.write.RowWriter.apply"],
    "database: read back": ["databases.{kind}.write.RowWriter.differing"],
    "hub: commit, all of it": ["hub.uploads.Uploads.commit"],
    "device: take the verdict in": ["replica.follow.apply"],
}
"""Functions of the package, where they are used."""


def measure(world: World) -> list[Figure]:
    """Per cent of a push of many new rows."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _parts(world, centre)]


def _parts(world: World, centre: Centre) -> list[Figure]:
    size, found = world.size(100_000, 5_000), dict[str, list[float]]()
    file = world.path("parts.db")
    rules = {"item": syncline.Table(merge={"quantity": "sum"})}
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    with timed(PARTS, centre.kind) as seconds, syncline.Hub(centre.url, tables=rules) as hub:
        hub.init()
        with syncline.clone(hub, str(file)) as replica:
            for run in range(world.runs):
                device.insert(file, size, run * size)
                seconds.clear()
                began = time.perf_counter()
                replica.push()
                whole = time.perf_counter() - began
                for name in PARTS:
                    found.setdefault(name, []).append(100 * seconds.get(name, 0.0) / whole)
    sys.setswitchinterval(before)
    what = f"push {size:,} new rows"
    return [Figure(SECTION, centre.kind, f"{what}: {name}", "%", parts) for name, parts in found.items()]
