"""Memory of both sides while many rows move, each side in a process of its own (law L11)."""

from __future__ import annotations

import syncline
from bench import device
from bench.centres import Centre
from bench.figures import Figure, most
from bench.world import World

SECTION = "memory"


def measure(world: World) -> list[Figure]:
    """Peak resident megabytes of hub and device: hydrate of many rows, then push of as many."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _peaks(world, centre)]


def _peaks(world: World, centre: Centre) -> list[Figure]:
    size = world.size(1_000_000, 20_000)
    centre.fill(size)
    figures = []
    with centre.served() as server:
        file = world.path("memory.db")
        small = server.peak_megabytes
        for verb, arguments in (("clone", (server.url, file)), ("push", (file,))):
            if verb == "push":
                device.insert(file, size, start=size)
            server.forget_peak()
            done = device.in_process(verb, *arguments)
            sides = {"device": done["megabytes"], "hub": server.peak_megabytes}
            world.say(f"{verb} of {size:,} rows over {centre.kind}: {sides}, {done['seconds']:.1f} s")
            figures += [
                Figure(
                    SECTION, centre.kind, f"{verb} of {size:,} rows, {side}", "MB", [peak], (), [most(200)]
                )
                for side, peak in sides.items()
            ]
        assert centre.count() == 2 * size
        with syncline.connect(str(file)) as replica:
            assert not replica.status().pending
    return [*figures, Figure(SECTION, centre.kind, "hub that has done nothing", "MB", [small])]
