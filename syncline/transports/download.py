"""Hydrate by file, the device's side: fetch the hub's ready file, go on at the byte where it broke, check it.

Beside the file that is being built lie `.part`, the bytes as they travel, and `.part.json`, which file they
are of; both outlive a kill. Nothing is opened before its digest has been checked (law L8).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import msgspec

from syncline.errors import (
    DigestMismatch,
    Malformed,
    NoSnapshot,
    ProtocolError,
    SnapshotBuilding,
    StoreError,
    StoreFull,
    TransportError,
)
from syncline.protocol.filebody import PIECE, unpacked
from syncline.protocol.status import RETRY_AFTER
from syncline.replica.progress import Progress
from syncline.sqlitekit.files import private, write_private
from syncline.transports.pace import Pace

logger = logging.getLogger("syncline.transports")

PATIENCE = 900
"""Seconds to wait for a file that is being built, before rows are asked for instead."""

PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds before a broken download goes on, as long as nothing arrives."""

UNFOLDS = 200
"""How many bytes of the file a byte of it on its way may stand for."""

ATTEMPTS = 2
"""How often a file whose digest is wrong is fetched."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """The answer: bytes from `start` on of a file of `size` bytes."""

    start: int
    size: int
    etag: str
    digest: str
    pieces: Iterator[bytes]


@runtime_checkable
class FileSource(Protocol):
    """A transport that can carry the hub's ready file.

    `replica` is to be filled from it, and is known to the hub. With `etag` the file from byte `start` on, if
    it is still that one; otherwise from its beginning. Raises NoSnapshot (SnapshotBuilding while it is being
    built), TransportError when it breaks, also while pieces arrive.
    """

    def snapshot(
        self, replica: str, schema: str, start: int = 0, etag: str | None = None
    ) -> AbstractContextManager[Arriving]: ...


class _Note(msgspec.Struct, frozen=True):
    """Which file the part is of."""

    schema: str
    etag: str
    digest: str
    size: int


class Download:
    """The parts of one download, beside `building`: the path of the unpacked file."""

    def __init__(
        self, building: str, progress: Progress, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._building = building
        self._part, self._json = Path(building + ".part"), Path(building + ".part.json")
        self._unpacking = Path(building + ".unpacking")
        self._progress, self._pause = progress, pause

    def fetch(
        self, source: FileSource, replica: str, schema: str, check: Callable[[str], None] = lambda path: None
    ) -> bool:
        """Put the unpacked file in its place. False if the hub has none that is any good.

        `check` is given the path of the unpacked file, before it has its place and anybody opens it; it
        raises Malformed if the file is not what it should be.

        TransportError if the network is gone; the same call goes on from there. StoreError for the disk.
        """
        with _disk(self._building):
            for _ in range(ATTEMPTS):
                try:
                    note = self._fetched(source, replica, schema)
                    self._unpack(note.digest, check)
                except (DigestMismatch, Malformed) as error:
                    self.forget()
                    logger.warning(
                        "A file from the hub was damaged: %s",
                        error.detail,
                        extra={"action": "snapshot_damaged"},
                    )
                except ProtocolError as error:
                    self.forget()
                    logger.info("Hydrating by rows: %s", error.detail, extra={"action": "snapshot_missing"})
                    return False
                else:
                    self.forget()
                    return True
            return False

    def forget(self) -> None:
        """Remove the parts."""
        for path in (self._json, self._part, self._unpacking):
            path.unlink(missing_ok=True)

    def _fetched(self, source: FileSource, replica: str, schema: str) -> _Note:
        """Fetch all of the file into the part."""
        waited, failures = 0, 0
        while True:
            before = self._size()
            try:
                return self._once(source, replica, schema)
            except SnapshotBuilding as error:
                seconds = RETRY_AFTER[error.code]
                if waited >= PATIENCE:
                    raise NoSnapshot("the file is being built for too long") from error
                self._progress("wait", waited, None)
                self._pause(seconds)
                waited += seconds
            except TransportError as error:
                failures = failures + 1 if self._size() <= before else 1
                if error.code == "not_a_hub" or failures > len(PAUSES):
                    raise
                self._pause(PAUSES[failures - 1])

    def _once(self, source: FileSource, replica: str, schema: str) -> _Note:
        note, have = self._noted(schema), self._size()
        if note is not None and have == note.size:
            return note
        if note is None or have > note.size:
            note, have = None, 0
        with source.snapshot(replica, schema, have, note.etag if note else None) as arriving:
            if note is None or arriving.etag != note.etag or arriving.start != have:
                if arriving.start != 0:
                    raise Malformed("the hub sent a part of another file")
                note = self._begin(schema, arriving)
            with self._part.open("r+b") as sink:
                self._keep(arriving, sink)
        return note

    def _begin(self, schema: str, arriving: Arriving) -> _Note:
        """An empty part, and the note of what it will be, which is there before the first byte."""
        self._json.unlink(missing_ok=True)
        write_private(self._part, b"")
        note = _Note(schema, arriving.etag, arriving.digest, arriving.size)
        beside = self._json.with_suffix(".new")
        write_private(beside, msgspec.json.encode(note))
        os.replace(beside, self._json)
        return note

    def _keep(self, arriving: Arriving, sink: BinaryIO) -> None:
        self._check_room(arriving.size - arriving.start)
        have, pace = sink.seek(arriving.start), Pace("the hub", None)
        for piece in arriving.pieces:
            pace.note(len(piece))
            sink.write(piece)
            have += len(piece)
            if have > arriving.size:
                raise Malformed("the file is longer than the hub said")
            self._progress("download", have, arriving.size)
        if have < arriving.size:
            raise TransportError(f"the file broke off at byte {have} of {arriving.size}")

    def _check_room(self, size: int) -> None:
        """StoreFull unless so many bytes more fit on the disk."""
        free = shutil.disk_usage(self._part.parent).free
        if size > free:
            raise StoreFull(f"the hub's file takes {size} bytes more, and {free} are free")

    def _unpack(self, digest: str, check: Callable[[str], None]) -> None:
        """The file as it should be, in its place and on the disk, its digest checked."""
        seen = hashlib.sha256()

        def pieces(source: BinaryIO) -> Iterator[bytes]:
            while piece := source.read(PIECE):
                seen.update(piece)
                yield piece

        with self._part.open("rb") as source, open(self._unpacking, "wb", opener=private) as sink:
            most = UNFOLDS * max(os.fstat(source.fileno()).st_size, PIECE)
            for piece in unpacked(pieces(source)):
                self._check_room(len(piece))
                sink.write(piece)
                if sink.tell() > most:
                    raise Malformed("the file unfolds further than a database does")
            if seen.hexdigest() != digest:
                raise DigestMismatch("the file is not what its digest says")
            sink.flush()
            os.fsync(sink.fileno())
        check(str(self._unpacking))
        os.replace(self._unpacking, self._building)

    def _noted(self, schema: str) -> _Note | None:
        try:
            note = msgspec.json.decode(self._json.read_bytes(), type=_Note)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return note if note.schema == schema and self._part.exists() else None

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0


@contextmanager
def _disk(path: str) -> Iterator[None]:
    """Raise an error of the file system as the StoreError that it means."""
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"{path}: {error.strerror or error}") from error
