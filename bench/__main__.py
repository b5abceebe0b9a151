"""`python -m bench`: measure, print the table, write bench/results/*.json."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, table
from bench.world import World

SECTIONS = (
    "capture",
    "push",
    "parts",
    "pull",
    "hydrate",
    "hydrate_file",
    "verify",
    "wire",
    "idle",
    "latency",
    "size",
    "waits",
    "refused",
    "tables",
    "memory",
)
CENTRES = ("sqlite", "postgresql")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _options()
    begun = time.strftime("%Y%m%d-%H%M%S")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o755)
        kinds = tuple(options.centre or CENTRES)
        world = World(Path(folder), options.quick, options.runs, kinds, full=options.full)
        try:
            for name in options.only or SECTIONS:
                world.say(f"measuring {name}")
                figures += importlib.import_module(f"bench.{name}").measure(world)
        finally:
            world.close()
            if figures:
                print(table(figures))
                print(f"\nwritten to {_save(begun, figures, options)}")
    if options.quick:
        print("These are figures of a quick run: they only show that the benchmark works.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Syncline against bare operations.")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME",
                        help=f"one section, can be given again: {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--centre", action="append", choices=CENTRES, help="one kind of central database")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--full", action="store_true", help="waits: a million rows, too")
    parser.add_argument("--runs", type=int, default=None, help="how often each is measured (3; quick: 2)")
    options = parser.parse_args()
    if options.runs is None:
        options.runs = 2 if options.quick else 3
    return options


def _save(begun: str, figures: list[Figure], options: argparse.Namespace) -> Path:
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
    }
    file = RESULTS / f"{begun}{'-quick' if options.quick else ''}.json"
    plain = {"begun": begun, "quick": options.quick, "runs": options.runs, "machine": machine}
    file.write_text(json.dumps({**plain, "figures": [figure.plain() for figure in figures]}, indent=1))
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


if __name__ == "__main__":
    sys.exit(main())
