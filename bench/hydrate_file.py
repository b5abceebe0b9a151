"""Hydrate by file: the first device waits for the build, the others for the download alone."""

from __future__ import annotations

import time

import syncline
from bench import device
from bench.centres import Centre
from bench.figures import Figure, most
from bench.hydrate import bare_insert
from bench.world import World

SECTION = "hydrate_file"


def measure(world: World) -> list[Figure]:
    """Seconds from nothing to a working replica, of the first device and of those after it."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _hydrate(world, centre)]


def _hydrate(world: World, centre: Centre) -> list[Figure]:
    size = world.size(1_000_000, 20_000)
    centre.fill(size)
    folder = world.path("files")
    plain = world.path("plain.db")
    bare = bare_insert(plain, size)
    plain.unlink()
    with centre.served(f'snapshots = "{folder}"') as server:
        server.forget_peak()
        first = _clone(world, server.url, size)
        peak = server.peak_megabytes
        (kept,) = folder.glob("*.zst")
        later = [_clone(world, server.url, size) for _ in range(world.runs)]
        megabytes = kept.stat().st_size / 1e6
    world.say(f"by file from {centre.kind}: first {first:.1f} s, then {later[-1]:.2f} s, {megabytes:.0f} MB")
    name, waited = f"hydrate {size:,} rows by file", "waits for the build"
    return [
        Figure(SECTION, centre.kind, name, "s", later, [bare] * len(later), [most(4)],
               "bare: executemany", {"file_megabytes": megabytes}),
        Figure(SECTION, centre.kind, f"{name}, first device", "s", [first], [bare], (), waited),
        Figure(SECTION, centre.kind, f"{name}, server peak", "MB", [peak], (), [most(200)]),
    ]  # fmt: skip


def _clone(world: World, url: str, size: int) -> float:
    file = world.path("hydrated.db")
    start = time.perf_counter()
    syncline.clone(url, str(file)).close()
    seconds = time.perf_counter() - start
    assert device.count(file) == size
    file.unlink()
    return seconds
