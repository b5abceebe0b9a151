"""Files that their owner alone can read: devices and servers hold other people's rows (law L10).

What SQLite makes beside a database (-wal, -shm, -journal) gets the rights of the database itself.
"""

from __future__ import annotations

import os
from pathlib import Path

MODE = 0o600


def make_private(path: str | os.PathLike[str]) -> None:
    """Make an empty file for its owner alone, unless there is a file; never through a symbolic link."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags, MODE))
    except FileExistsError:
        return


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone; one that is there is replaced by what is written."""
    with open(path, "wb", opener=private) as sink:
        sink.write(content)


def private(path: str, flags: int) -> int:
    """An `opener` for `open`: what it makes is for its owner alone."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), MODE)
