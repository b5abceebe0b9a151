"""The files to hydrate from: built in the background, kept on disk, one per schema, scope and tenant.

A file is built the way a device fills one, by the replica's own code, with the hub behind it. The folder is
the only memory: several server processes may share it, and a build happens once among them. The name of a
file tells its key, when it was built and its SHA-256; it appears in one step, complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from syncline.errors import ConfigurationError, NoSnapshot, SchemaChanged, SnapshotBuilding, UnknownReplica
from syncline.model.actor import Actor
from syncline.protocol import messages as m
from syncline.protocol.filebody import PIECE, packed
from syncline.protocol.flows import run
from syncline.replica.copying import id_for_copying, strip
from syncline.replica.hydrate import building_path, discard_building, fill, finish
from syncline.replica.progress import silent
from syncline.replica.store import Store
from syncline.server.centre import Centre
from syncline.sqlitekit.files import private, write_private

logger = logging.getLogger("syncline.server")

SIZE = 10 * 1024**3
AGE = 86_400.0
LEAST_ROWS = 20_000
"""A page or two: by rows that is there before a file could be built."""

RETRY_SECONDS = 60.0
"""How long after a failed build nobody is made to wait for another."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file on disk. `digest` is the SHA-256 in hex of its bytes; "" marks one too large to be kept."""

    path: Path
    built: float
    digest: str

    @property
    def etag(self) -> str:
        return f'"{self.digest[:32]}"'


class Snapshots:
    """The folder of files. `size` bounds the bytes of all files kept, `age` the seconds that one is
    served; at half of it the next request has a new one built in the background. Safe to use from several
    threads, by several processes of one machine.
    """

    def __init__(
        self,
        hub: Centre,
        folder: str | os.PathLike[str],
        *,
        size: int = SIZE,
        age: float = AGE,
        least_rows: int = LEAST_ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub, self._folder = hub, Path(folder)
        self._size, self._age, self._least_rows, self._clock = size, age, least_rows, clock
        self._lock = threading.Lock()
        self._building: dict[str, threading.Thread] = {}
        self._failed: dict[str, float] = {}
        self._turn = threading.Lock()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {folder} of files to hydrate from cannot be made: {error.strerror or error}",
                remedy="Correct [hub] snapshots in syncline.toml.",
            ) from error

    def open(
        self, actor: Actor, state: m.StateAnswer, schema: str, etag: str | None = None
    ) -> tuple[Kept, BinaryIO]:
        """The file for what this actor may have, open; the newest, or the one of `etag` while it is good.

        `state` is what `admitted` gave of the replica that is to be filled from it. SnapshotBuilding while
        there is none yet (a build has been begun), NoSnapshot if there will be none, SchemaChanged if the
        schema is not the present one.
        """
        actor = builder_for(actor)
        if state.schema != schema:
            self._rows(actor, schema)  # looks again, and refuses
        key = self._key(state.hub, schema, actor)
        for kept in sorted(self._kept(key), key=lambda one: (one.etag == etag, one.built), reverse=True):
            if not kept.digest:
                raise NoSnapshot("the file would be larger than this hub keeps")
            try:
                opened = kept.path.open("rb")
            except FileNotFoundError:  # made room for another just now
                continue
            os.utime(kept.path)
            if self._clock() - max(one.built for one in self._kept(key)) > self._age / 2:
                self._begin(key, actor)
            return kept, opened
        self._want(key, actor, schema)
        raise SnapshotBuilding("the file is being built; it will be here soon")

    def wait(self) -> None:
        """Return when no build is going on here."""
        for thread in list(self._building.values()):
            thread.join()

    def _want(self, key: str, actor: Actor, schema: str) -> None:
        """See that a build is going on, or raise NoSnapshot."""
        if key in self._building:
            return
        if self._clock() - self._failed.get(key, float("-inf")) < RETRY_SECONDS:
            raise NoSnapshot("the file could not be built; the hub's log says why")
        if self._rows(actor, schema) < self._least_rows:
            raise NoSnapshot(f"there are fewer than {self._least_rows:,} rows")
        self._begin(key, actor)

    def _rows(self, actor: Actor, schema: str) -> int:
        answer = self._hub.handle(actor, m.Snapshot("snapshot", schema, None, 1))
        return cast(m.SnapshotPage, answer).rows

    def _key(self, hub: str, schema: str, actor: Actor) -> str:
        """What a file is for, with the scope as it is now: one of before is for nobody."""
        scope = self._hub.scope_of(actor)
        told = "\0".join((hub, schema, actor.tenant, scope, str(m.PROTOCOL_VERSION)))
        return hashlib.sha256(told.encode()).hexdigest()[:24]

    # The folder

    def _kept(self, key: str) -> list[Kept]:
        """The files of a key that are young enough."""
        found = (_parsed(path) for path in self._folder.glob(f"{key}-*.zst"))
        return [kept for kept in found if self._clock() - kept.built <= self._age]

    def _make_room(self, newest: Path) -> None:
        """Remove what is too old, then what was asked for least lately, until the rest fits."""
        left = []
        for path in self._folder.glob("*-*.zst"):
            try:
                left.append((path == newest, path.stat().st_mtime, path.stat().st_size, path))
            except FileNotFoundError:  # another process made room
                continue
        total = sum(size for _, _, size, _ in left)
        for is_newest, _, size, path in sorted(left):
            if self._clock() - _parsed(path).built > self._age or (total > self._size and not is_newest):
                path.unlink(missing_ok=True)
                total -= size

    # Building

    def _begin(self, key: str, actor: Actor) -> None:
        with self._lock:
            if key not in self._building:
                thread = threading.Thread(
                    target=self._run, args=(key, actor), name="syncline snapshot", daemon=True
                )
                self._building[key] = thread
                thread.start()

    def _run(self, key: str, actor: Actor) -> None:
        try:
            with self._turn, _alone(self._folder / f"{key}.lock") as alone:
                if alone and all(self._clock() - one.built > self._age / 2 for one in self._kept(key)):
                    self._build(key, actor)
        except Exception as error:
            self._failed[key] = self._clock()
            logger.error(
                "A file to hydrate from could not be built: %s",
                error,
                exc_info=error,
                extra={"action": "snapshot_failed"},
            )
        finally:
            with self._lock:
                del self._building[key]

    def _build(self, key: str, actor: Actor) -> None:
        plain = self._folder / f"{key}.sqlite"
        begun, start = self._clock(), time.perf_counter()
        plain.unlink(missing_ok=True)
        discard_building(str(plain))
        store = Store.open_private(building_path(str(plain)))
        try:
            asking = _Asking(self._hub, actor)
            run(fill(store, None, silent, id_for_copying()), asking)
            if self._key(asking.hub, asking.schema, actor) != key:
                raise SchemaChanged("the schema, or what may be in the file, changed while it was built")
            strip(store)
            finish(store, str(plain))
        finally:
            store.close()
        packing = self._folder / f"{key}.packing"
        digest, size = _pack(plain, packing)
        plain.unlink()
        made = self._folder / f"{key}-{begun:.3f}-{digest}.zst"
        if size > self._size:
            write_private(packing, b"")
            made = self._folder / f"{key}-{begun:.3f}-.zst"
        os.replace(packing, made)
        self._make_room(made)
        logger.info(
            "Built a file to hydrate from in %.1f s",
            time.perf_counter() - start,
            extra={"action": "snapshot_built", "bytes": size, "kept": size <= self._size},
        )


def admitted(hub: Centre, actor: Actor, replica: str) -> m.StateAnswer:
    """The replica as the hub sees it; whatever the hub's gate refuses it with."""
    state = cast(m.StateAnswer, hub.handle(actor, m.StateQuery(replica)))
    if not (state.known or actor.operator):
        raise UnknownReplica(f"replica {replica} was never registered here")
    return state


def builder_for(actor: Actor) -> Actor:
    """Who builds the files for what this actor may have: an operator, for what is built is no replica."""
    return replace(actor, name="snapshots", operator=True)


class _Asking:
    """The hub as the building asks it. What is built is no replica: it is not registered."""

    def __init__(self, hub: Centre, actor: Actor) -> None:
        self._hub, self._actor = hub, actor
        self.hub = self.schema = ""
        """The hub's id, and the schema that the file is filled by."""

    def send(self, request: m.Request) -> m.Response:
        if not isinstance(request, m.Register):
            return self._hub.handle(self._actor, request)
        state = cast(m.StateAnswer, self._hub.handle(self._actor, m.StateQuery(request.replica)))
        self.hub, self.schema = state.hub, state.schema
        scope = self._hub.scope_of(self._actor)
        return m.Registered(state.hub, state.schema, scope, [], self._hub.limits, state.watermark, 0, 0)

    def close(self) -> None:
        """The hub stays open."""


def _parsed(path: Path) -> Kept:
    _, built, digest = path.stem.split("-")
    return Kept(path, float(built), digest)


def _pack(plain: Path, target: Path) -> tuple[str, int]:
    """Compress a file beside itself, on the disk when it returns; SHA-256 in hex and size."""
    seen, size = hashlib.sha256(), 0
    with plain.open("rb") as source, open(target, "wb", opener=private) as sink:
        for piece in packed(iter(lambda: source.read(PIECE), b"")):
            seen.update(piece)
            size += len(piece)
            sink.write(piece)
        sink.flush()
        os.fsync(sink.fileno())
    return seen.hexdigest(), size


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process holds this lock. It ends with the process, however that ends."""
    if sys.platform == "win32":  # one server process on the folder there
        yield True
        return
    import fcntl

    with open(path, "wb", opener=private) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
