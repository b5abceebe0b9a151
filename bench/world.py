"""What every section of the benchmark is given: sizes, a folder, the centres, a place to talk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.centres import Centre, PostgresCentre, SqliteCentre

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
"""The server as people run it, unlike the tests'."""


@dataclass
class World:
    """`quick` makes everything smaller; figures of a quick run are no figures."""

    folder: Path
    quick: bool
    runs: int
    kinds: tuple[str, ...]
    server: Any = None
    full: bool = False
    made: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextmanager
    def centres(self, section: str) -> Iterator[list[Centre]]:
        """A fresh centre of each kind."""
        folder = self.path(section)
        folder.mkdir()
        centres: list[Centre] = []
        if "sqlite" in self.kinds:
            centres.append(SqliteCentre(folder))
        if "postgresql" in self.kinds:
            centres.append(PostgresCentre(folder, self.postgres().database()))
        yield centres
        for centre in centres:
            if isinstance(centre, PostgresCentre):
                self.postgres().drop(centre.url)
        shutil.rmtree(folder)

    def postgres(self) -> Any:
        """The PostgreSQL server, started when first needed."""
        if self.server is None:
            from tests.support.postgres import start_server

            self.server = start_server(DURABLE)
        return self.server

    def path(self, name: str) -> Path:
        """A path that is not used yet."""
        return self.folder / f"{next(self.made)}-{name}"

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()

    @staticmethod
    def say(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)
