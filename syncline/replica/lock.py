"""One sync a file: a lock of the operating system, on a small file beside the device file.

It dies with its process, however that ends, and holds between the threads and connections of one process,
too. Whoever holds it says in the file who that is. It only spares the second of two syncs vain work: that the
two would not harm each other rests on `Store.watched`. As SQLite's `-wal` the lock file is there while
somebody has the device file open, and goes with whoever closes it last (`tidy`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import stat
import sys
import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime

from syncline.errors import StoreBusy, StoreError, StoreReadOnly, UsageError

SUFFIX = "-sync"
"""What the name of the lock file has behind that of the device file, as `-wal` is SQLite's."""

WAIT_SECONDS = 10.0
"""How long a verb waits for another one on the same file, unless told otherwise."""

_MEMORY = ":memory:"
"""The path of a file that is none. Written out, for the store is not imported here: the command line reads
`WAIT_SECONDS` long before it opens a file."""

_SHORTEST, _LONGEST = 0.002, 0.05
"""Seconds between two looks at a lock that is held."""

_LENGTH = 1000
"""Bytes that what the holder says takes."""

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30
    """The byte that is locked: none that anybody reads."""

    def _try(handle: int) -> bool:
        os.lseek(handle, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _BEYOND, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try(handle: int) -> bool:
        """Of the open file, not of the process: threads of one process exclude each other, too."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


class _Opened:
    """An open lock file, to be closed in a child process: that must not hold what its parent holds."""

    def __init__(self, handle: int) -> None:
        self.handle = handle


_opened: weakref.WeakSet[_Opened] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for one in list(_opened):
        with contextlib.suppress(OSError):
            os.close(one.handle)
        _opened.discard(one)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def checked_wait(wait: float) -> float:
    """The seconds to wait, if they are some: 0 for not at all, infinity for ever. UsageError."""
    if not isinstance(wait, (int, float)) or math.isnan(wait) or wait < 0:
        raise UsageError(f"{wait!r} are no seconds to wait", remedy="Give a number of seconds, 0 or more.")
    return float(wait)


@contextlib.contextmanager
def one_at_a_time(file: str, verb: str, wait: float) -> Iterator[None]:
    """Inside, nobody else is inside for this file. StoreBusy, naming who is, after `wait` seconds.

    A file in memory is nobody else's: it needs no lock.
    """
    if file == _MEMORY:
        yield
        return
    opened = _locked(_beside(file), file, wait)
    try:
        try:
            _say(opened.handle, verb)
            yield
        finally:
            _write(opened.handle, b"")
            _unlock(opened.handle)
    finally:
        _close(opened)


def tidy(file: str) -> None:
    """Remove the lock file unless somebody is at work. It stays where it cannot be removed."""
    if file == _MEMORY:
        return
    path = _beside(file)
    with contextlib.suppress(
        OSError
    ):  # there is none, the folder is read-only, or another has it open (Windows)
        opened = _Opened(os.open(path, os.O_RDWR))
        _opened.add(opened)
        try:
            if _try(opened.handle) and _is_at(path, opened.handle):
                os.unlink(path)
        finally:
            _close(opened)


def _beside(file: str) -> str:
    return os.path.realpath(file) + SUFFIX


def _locked(path: str, file: str, wait: float) -> _Opened:
    """The open lock file, locked: the one that is there by then, for `tidy` may have removed another."""
    end = time.monotonic() + wait
    while True:
        opened = _open(path, file)
        try:
            _take(opened.handle, path, file, end)
            if _is_at(path, opened.handle):
                return opened
        except BaseException:
            _close(opened)
            raise
        _close(opened)


def _is_at(path: str, handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _close(opened: _Opened) -> None:
    _opened.discard(opened)
    os.close(opened.handle)


def _open(path: str, file: str) -> _Opened:
    """With the rights of the device file: who may sync that may lock it."""
    try:
        mode = stat.S_IMODE(os.stat(file).st_mode) & 0o666 if os.path.exists(file) else 0o600
        opened = _Opened(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), mode))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"{file} cannot be made: there is no folder {os.path.dirname(path)}",
            remedy="Make the folder, or give another path.",
        ) from error
    except OSError as error:
        raise StoreReadOnly(f"{path}: {error.strerror or error}") from error
    _opened.add(opened)
    return opened


def _take(handle: int, path: str, file: str, end: float) -> None:
    pause = _SHORTEST
    try:
        while not _try(handle):
            left = end - time.monotonic()
            if left <= 0:
                raise StoreBusy(
                    f"{file} is being synced by {_holder(path)}",
                    remedy="Wait until that is done, or wait longer for it: --wait SECONDS,"
                    " connect(..., wait=SECONDS).",
                )
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)
    except OSError as error:
        raise StoreError(f"{path} cannot be locked: {error.strerror or error}") from error


def _say(handle: int, verb: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    told = {"pid": os.getpid(), "host": socket.gethostname(), "verb": verb, "since": since}
    _write(handle, json.dumps(told).encode())


def _write(handle: int, told: bytes) -> None:
    """Say this, in a file that keeps its size: one that grows and shrinks makes the disk write more when the
    device file is flushed."""
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, told[:_LENGTH].ljust(_LENGTH))


def _holder(path: str) -> str:
    """Who holds the lock, in words; it may have just begun, or ended."""
    try:
        with open(path, "rb") as file:
            told = json.loads(file.read(_LENGTH))
        pid, host, verb, since = told["pid"], told["host"], told["verb"], told["since"]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return f"process {pid} on {host} ({verb}, since {since})"
