"""A device: a replica file written as an application would. Also a process of its own, for memory.

python -m bench.device clone URL FILE     hydrate, print what it took
python -m bench.device push FILE          push what is pending, print what it took
python -m bench.device verify FILE [--repair]   print what it took and found
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import syncline
from bench import rows
from bench.server import peak_megabytes


def write(file: Path, statement: str, values: Iterable[Sequence[Any]]) -> None:
    """Run a statement for many values in one transaction, as the application would."""
    with closing(sqlite3.connect(file, timeout=60)) as connection, connection:
        connection.executemany(statement, values)


def insert(file: Path, count: int, start: int = 0) -> None:
    """Insert `count` rows, captured."""
    for chunk in rows.chunks(count, 50_000, start):
        write(file, rows.ITEM_INSERT, chunk)


def count(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM item").fetchone()[0])


def in_process(*arguments: object) -> dict[str, float]:
    """Run this module in a process of its own; its seconds and its peak megabytes."""
    command = [sys.executable, "-m", "bench.device", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def main(verb: str, *arguments: str) -> None:
    found: dict[str, int] = {}
    start = time.perf_counter()
    if verb == "clone":
        url, file = arguments
        syncline.clone(url, file).close()
    elif verb == "verify":
        with syncline.connect(arguments[0]) as replica:
            report = replica.verify(repair="--repair" in arguments)
        found = {"requests": report.requests, "differences": len(report.differences)}
    else:
        with syncline.connect(arguments[0]) as replica:
            replica.push()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "megabytes": peak_megabytes(os.getpid()), **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
