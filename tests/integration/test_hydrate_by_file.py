"""Hydrate by file: built once, kept, fetched from the byte where it broke, and equal to hydrate by rows."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
import pytest

import syncline
from syncline.errors import NoSnapshot, SnapshotBuilding, TransportError
from syncline.model.actor import ANYONE, Actor
from syncline.protocol import filebody
from syncline.protocol.filebody import packed, unpacked
from syncline.protocol.messages import Register, Request, Response, Snapshot
from syncline.replica.hydrate import building_path
from syncline.server import Snapshots, create_app, serving
from syncline.server.snapshots import Kept, admitted
from syncline.transports.download import Arriving
from syncline.transports.http import HttpTransport
from syncline.transports.open import clone_over

DDL = """
CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id), name TEXT UNIQUE NOT NULL);
CREATE TABLE leaf (a TEXT, b BLOB, node INTEGER REFERENCES node (id) ON DELETE CASCADE, PRIMARY KEY (a, b));
CREATE INDEX leaf_node ON leaf (node);
"""
ROWS = 3_000
FILLED = "filled"
"""A replica that is known and asks for the file."""


class Counting:
    """A hub that counts what it is asked and can be made to wait before it answers for a chunk."""

    def __init__(self, hub: syncline.Hub) -> None:
        self.hub, self.limits, self.ready = hub, hub.limits, hub.ready
        self.scope_of = hub.scope_of
        self.asked: list[Request] = []
        self.go = threading.Event()
        self.go.set()

    def handle(self, actor: Actor, request: Request) -> Response:
        self.asked.append(request)
        if isinstance(request, Snapshot) and request.limit > 1:
            assert self.go.wait(30)
        return self.hub.handle(actor, request)

    def chunks(self) -> list[Snapshot]:
        """The chunks that were read from the beginning of the tables, one a build or a hydrate by rows."""
        return [
            request
            for request in self.asked
            if isinstance(request, Snapshot) and request.cursor is None and request.limit > 1
        ]


class Centre:
    """A centre with a server that keeps files, under a clock of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sql = sqlite3.connect(folder / "centre.db", isolation_level=None, check_same_thread=False)
        self.sql.executescript(DDL)
        with self.sql:
            self.sql.execute("BEGIN")
            self.sql.executemany(
                "INSERT INTO node VALUES (?, ?, ?)",
                (
                    (i, i // 2 or None, f"n{hashlib.sha256(str(i).encode()).hexdigest()}")
                    for i in range(1, ROWS)
                ),
            )
            self.sql.executemany(
                "INSERT INTO leaf VALUES (?, ?, ?)", ((f"x{i}", bytes([i % 256]), i) for i in range(1, ROWS))
            )
            self.sql.execute("COMMIT")
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db")
        self.hub.init()
        self.hub.handle(ANYONE, Register(FILLED))
        self.asking = Counting(self.hub)
        self.now = 1_000.0
        self.snapshots = self.keeping()

    def keeping(self, **options: Any) -> Snapshots:
        given = {"least_rows": 0, "age": 100.0, "clock": lambda: self.now, **options}
        return Snapshots(self.asking, self.folder / "files", **given)

    def kept(self) -> list[Path]:
        return sorted((self.folder / "files").glob("*.zst"))

    def opened(self, snapshots: Snapshots | None = None, etag: str | None = None) -> tuple[Kept, BinaryIO]:
        """The file, for a replica that was let in."""
        state = admitted(self.asking, ANYONE, FILLED)
        return (snapshots or self.snapshots).open(ANYONE, state, self.hub.schema.fingerprint, etag)

    def built(self) -> Kept:
        """The file, once it is there."""
        try:
            kept, opened = self.opened()
        except SnapshotBuilding:
            self.snapshots.wait()
            kept, opened = self.opened()
        opened.close()
        return kept

    def agrees(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as device:
            for table in ("node", "leaf"):
                rows = f"SELECT * FROM {table} ORDER BY 1, 2"
                assert device.execute(rows).fetchall() == self.sql.execute(rows).fetchall()
            assert device.execute("PRAGMA foreign_key_check").fetchall() == []
            assert device.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        left = [path.name for path in file.parent.glob(f"{file.name}.hydrating*")]
        assert left == []


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    yield made
    made.asking.go.set()
    made.snapshots.wait()
    made.hub.close()
    made.sql.close()


@pytest.fixture
def url(centre: Centre) -> Iterator[str]:
    with serving(create_app(centre.asking, snapshots=centre.snapshots)) as url:
        yield url


class Breaking(HttpTransport):
    """Loses the connection after so many bytes of the file, each time anew; notes what was asked."""

    def __init__(self, url: str, after: int | None = None, spoil: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__(url, pauses=())
        self.after, self.spoil = after, spoil
        self.starts: list[int] = []
        self.begun: list[int] = []

    @contextmanager
    def snapshot(
        self, replica: str, schema: str, start: int = 0, etag: str | None = None
    ) -> Iterator[Arriving]:
        self.starts.append(start)
        with super().snapshot(replica, schema, start, etag) as arriving:
            self.begun.append(arriving.start)
            yield Arriving(
                arriving.start, arriving.size, arriving.etag, arriving.digest, self.cut(arriving.pieces)
            )

    def cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        if self.after is None:
            yield from map(self.spoil, pieces)
            return
        yield next(pieces)[: self.after]
        raise TransportError("the network is gone")


def objects(file: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as device:
        return device.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()


def test_by_file_and_by_rows_are_the_same_l5_l8(centre: Centre, url: str) -> None:
    centre.built()
    chunks = len(centre.asking.chunks())
    by_file = centre.folder / "file.db"
    by_rows = centre.folder / "rows.db"
    with syncline.clone(url, by_file) as replica:
        assert replica.id is not None
        assert not replica.id.startswith("snapshot")
    assert len(centre.asking.chunks()) == chunks, "it was hydrated by rows"
    syncline.clone(centre.hub, by_rows).close()
    centre.agrees(by_file)
    assert objects(by_file) == objects(by_rows)
    with closing(sqlite3.connect(by_file)) as device:
        state = "SELECT hub_url, push, hydrate, suppressed, last_sync FROM _sync_state"
        assert device.execute(state).fetchall()[0][:4] == (url, 0, None, 0)
        for (number,) in device.execute("SELECT n FROM _sync_table").fetchall():
            assert device.execute(f"SELECT count(*) FROM _sync_log_{number}").fetchone() == (0,)


def test_devices_from_one_file_sync_with_each_other_l2_l4(centre: Centre, url: str) -> None:
    centre.built()
    one = syncline.clone(url, centre.folder / "one.db")
    two = syncline.clone(url, centre.folder / "two.db")
    with one, two:
        assert one.id != two.id
        with closing(sqlite3.connect(centre.folder / "one.db", isolation_level=None)) as app:
            app.execute("UPDATE node SET name = 'mine' WHERE id = 7")
        one.sync()
        two.sync()
        assert one.status().pending == {}
        centre.agrees(centre.folder / "two.db")
    assert centre.sql.execute("SELECT name FROM node WHERE id = 7").fetchone() == ("mine",)


def test_what_changed_since_the_file_was_built_arrives_too_l4(centre: Centre, url: str) -> None:
    centre.built()
    centre.sql.execute("PRAGMA foreign_keys = ON")
    centre.sql.execute("UPDATE node SET name = 'new' WHERE id = 5")
    centre.sql.execute("DELETE FROM leaf WHERE node = 9")
    centre.sql.execute("INSERT INTO leaf VALUES ('late', x'00', 5)")
    syncline.clone(url, centre.folder / "a.db").close()
    centre.agrees(centre.folder / "a.db")
    assert len(centre.kept()) == 1


def test_a_postgresql_centre_gives_the_same_by_file_as_by_rows_l8(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as sql:
        sql.execute(
            "CREATE TABLE item (id uuid PRIMARY KEY, n numeric(12, 4), w double precision, at timestamptz,"
            " body bytea, tags text[], done boolean, up uuid REFERENCES item (id))"
        )
        sql.execute(
            "INSERT INTO item SELECT md5(i::text)::uuid, i / 7.0,"
            " CASE i % 3 WHEN 0 THEN '-0' ELSE i / 3.0 END,"
            " now() + i * interval '1 second', decode(md5(i::text), 'hex'), ARRAY[i::text, NULL], i % 2 = 0,"
            " md5((i / 2)::text)::uuid FROM generate_series(0, 2999) i"
        )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        snapshots = Snapshots(hub, tmp_path / "files", least_rows=0)
        with serving(create_app(hub, snapshots=snapshots)) as url:
            syncline.clone(url, tmp_path / "file.db").close()
        syncline.clone(hub, tmp_path / "rows.db").close()
    assert len(list((tmp_path / "files").glob("*.zst"))) == 1
    found = []
    for name in ("file.db", "rows.db"):
        with closing(sqlite3.connect(tmp_path / name)) as device:
            found.append(device.execute("SELECT *, hex(w) FROM item ORDER BY id").fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 3_000
    assert objects(tmp_path / "file.db") == objects(tmp_path / "rows.db")


def test_a_device_waits_for_the_first_build_and_many_wait_for_one(centre: Centre, url: str) -> None:
    centre.asking.go.clear()
    waiting = threading.Semaphore(0)
    files = [centre.folder / f"{number}.db" for number in range(4)]
    failures: list[BaseException] = []

    def device(file: Path) -> None:
        def progress(stage: str, done: int, total: int | None) -> None:
            if stage == "wait":
                waiting.release()

        try:
            syncline.clone(url, file, progress=progress).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=device, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=30)
    centre.asking.go.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(centre.asking.chunks()) == 1
    assert len(centre.kept()) == 1
    for file in files:
        centre.agrees(file)


def test_two_server_processes_with_one_folder_build_once(centre: Centre) -> None:
    """Two objects stand for two processes: the lock is the file's, held by whoever opened it."""
    other = centre.keeping()
    centre.asking.go.clear()
    for snapshots in (centre.snapshots, other):
        with pytest.raises(SnapshotBuilding):
            centre.opened(snapshots)
    centre.asking.go.set()
    centre.snapshots.wait()
    other.wait()
    assert len(centre.asking.chunks()) == 1
    assert len(centre.kept()) == 1
    centre.opened(other)[1].close()


@pytest.mark.parametrize("after", [1, 1_000, 20_000])
def test_a_download_goes_on_at_the_byte_where_it_broke(centre: Centre, url: str, after: int) -> None:
    kept = centre.built()
    file = centre.folder / "a.db"
    breaking = Breaking(url, after)
    with closing(breaking), pytest.raises(TransportError):
        clone_over(Once(breaking), file)
    part = Path(building_path(str(file)) + ".part")
    assert part.read_bytes() == kept.path.read_bytes()[:after]
    assert not file.exists()
    again = Breaking(url)
    with closing(again):
        clone_over(again, file)
    assert again.starts == again.begun == [after]
    centre.agrees(file)


class Once:
    """A transport that fails for good after its first loss, as a device that is switched off."""

    def __init__(self, inner: Breaking) -> None:
        self.inner, self.lost = inner, False

    def send(self, request: Request) -> Response:
        return self.inner.send(request)

    def close(self) -> None:
        self.inner.close()

    @contextmanager
    def snapshot(
        self, replica: str, schema: str, start: int = 0, etag: str | None = None
    ) -> Iterator[Arriving]:
        if self.lost:
            raise TransportError("switched off", code="not_a_hub")
        self.lost = True
        with self.inner.snapshot(replica, schema, start, etag) as arriving:
            yield arriving


def test_a_connection_that_breaks_now_and_then_is_taken_up_within_one_call(centre: Centre, url: str) -> None:
    size = centre.built().path.stat().st_size
    breaking = Breaking(url, size // 3 + 1)
    with closing(breaking):
        clone_over(breaking, centre.folder / "a.db")
    assert breaking.starts == breaking.begun == [0, size // 3 + 1, 2 * (size // 3 + 1)]
    centre.agrees(centre.folder / "a.db")


def test_a_part_of_a_file_that_is_gone_is_begun_anew(centre: Centre, url: str) -> None:
    centre.built()
    file = centre.folder / "a.db"
    breaking = Breaking(url, 5_000)
    with closing(breaking), pytest.raises(TransportError):
        clone_over(Once(breaking), file)
    centre.sql.execute("UPDATE node SET name = 'other' WHERE id = 3")
    centre.now += 101
    centre.built()
    again = Breaking(url)
    with closing(again):
        clone_over(again, file)
    assert (again.starts, again.begun) == ([5_000], [0])
    centre.agrees(file)


def test_a_damaged_file_is_fetched_again_and_never_opened_l8(centre: Centre, url: str) -> None:
    centre.built()
    spoilt = iter([True])

    def spoil(piece: bytes) -> bytes:
        return piece[:100] + b"?" + piece[101:] if next(spoilt, False) else piece

    transport = Breaking(url, spoil=spoil)
    with closing(transport):
        clone_over(transport, centre.folder / "a.db")
    assert transport.starts == [0, 0]
    centre.agrees(centre.folder / "a.db")


def test_a_file_that_is_always_damaged_makes_room_for_rows(centre: Centre, url: str) -> None:
    centre.built()
    chunks = len(centre.asking.chunks())
    transport = Breaking(url, spoil=lambda piece: piece[:-1] + b"?")
    with closing(transport):
        clone_over(transport, centre.folder / "a.db")
    assert transport.starts == [0, 0]
    assert len(centre.asking.chunks()) == chunks + 1
    centre.agrees(centre.folder / "a.db")


def test_a_file_whose_watermark_the_hub_refuses_makes_room_for_rows(centre: Centre, url: str) -> None:
    centre.built()
    refused = []

    class Forgetful(HttpTransport):
        def send(self, request: Request) -> Response:
            if isinstance(request, Register) and request.previous is not None:
                refused.append(request)
                raise syncline.errors.WatermarkRefused("too long ago", code="watermark_garbled")
            return super().send(request)

    with closing(Forgetful(url)) as transport:
        clone_over(transport, centre.folder / "a.db")
    assert len(refused) == 1
    centre.agrees(centre.folder / "a.db")


def test_a_kill_between_the_file_and_its_new_identity_loses_nothing(centre: Centre, url: str) -> None:
    centre.built()
    file = centre.folder / "a.db"

    class Cut(HttpTransport):
        def send(self, request: Request) -> Response:
            if isinstance(request, Register) and request.previous is not None:
                raise TransportError("the network is gone")
            return super().send(request)

    with closing(Cut(url)) as transport, pytest.raises(TransportError):
        clone_over(transport, file)
    assert Path(building_path(str(file))).exists()
    again = Breaking(url)
    with closing(again):
        clone_over(again, file)
    assert again.starts == []
    centre.agrees(file)
    with syncline.connect(file, url) as replica:
        assert replica.id is not None
        assert not replica.id.startswith("snapshot")


def test_the_building_is_no_replica_of_the_hub(centre: Centre) -> None:
    centre.built()
    assert centre.sql.execute("SELECT replica FROM _sync_hub_clients").fetchall() == [(FILLED,)]


def test_a_hub_that_keeps_no_files_is_hydrated_from_by_rows(centre: Centre) -> None:
    with serving(create_app(centre.asking)) as url:
        syncline.clone(url, centre.folder / "a.db").close()
    assert len(centre.asking.chunks()) == 1
    centre.agrees(centre.folder / "a.db")


def test_few_rows_are_not_worth_a_file(centre: Centre) -> None:
    centre.snapshots = centre.keeping(least_rows=2 * ROWS)
    with pytest.raises(NoSnapshot, match="fewer than"):
        centre.opened()
    assert centre.kept() == []


def test_an_old_file_is_renewed_in_the_background_and_an_expired_one_is_not_served(centre: Centre) -> None:
    first = centre.built()
    centre.now += 40
    assert centre.built() == first
    centre.now += 20  # more than half its age: served, and a new one is built
    assert centre.built() == first
    centre.snapshots.wait()
    second = centre.built()
    assert second.built == centre.now
    with centre.opened(etag=first.etag)[1]:
        pass  # a download of the first goes on
    centre.now += 101
    with pytest.raises(SnapshotBuilding):
        centre.opened()
    centre.snapshots.wait()
    assert [path.name.split("-")[1] for path in centre.kept()] == [f"{centre.now:.3f}"]


def test_the_folder_is_kept_within_its_size_l11(centre: Centre) -> None:
    size = centre.built().path.stat().st_size
    for old in centre.kept():
        other = "1" if old.name.startswith("0") else "0"
        shutil.copy(old, old.with_name(f"{other}{old.name[1:]}"))
    centre.snapshots = centre.keeping(size=int(1.5 * size))  # the newest may be smaller than its elder
    centre.sql.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    centre.hub.init()
    newest = centre.built()
    assert centre.kept() == [newest.path]


def test_a_file_larger_than_the_folder_may_be_is_not_kept_and_not_built_again_l11(centre: Centre) -> None:
    centre.snapshots = centre.keeping(size=1_000)
    for _ in range(2):
        with pytest.raises(NoSnapshot, match="larger"):
            centre.built()
    assert len(centre.asking.chunks()) == 1
    assert sum(path.stat().st_size for path in centre.kept()) == 0


def test_what_a_killed_server_left_half_built_is_built_anew(centre: Centre) -> None:
    first = centre.built()
    key = first.path.name.split("-")[0]
    first.path.unlink()
    for name in (f"{key}.sqlite", f"{key}.sqlite.hydrating", f"{key}.packing"):
        (centre.folder / "files" / name).write_bytes(b"half of something")
    assert centre.built().digest
    assert {path.suffix for path in (centre.folder / "files").iterdir()} == {".zst", ".lock"}


def test_a_build_that_fails_is_said_and_devices_take_rows_meanwhile_l12(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    fine, broken = centre.asking.handle, threading.Event()

    def handle(actor: Actor, request: Request) -> Response:
        if isinstance(request, Snapshot) and request.limit > 1 and not broken.is_set():
            raise syncline.errors.DatabaseUnavailable("gone")
        return fine(actor, request)

    centre.asking.handle = handle  # type: ignore[method-assign]
    with pytest.raises(NoSnapshot, match="log says why"):
        centre.built()
    assert "could not be built" in caplog.text
    broken.set()
    centre.now += 61
    assert centre.built().digest


# HTTP ----------------------------------------------------------------------------------------------------


def get(url: str, centre: Centre, method: str = "GET", **headers: str) -> tuple[httpx2.Response, bytes]:
    sent = {"accept-encoding": "zstd", **{name.replace("_", "-"): value for name, value in headers.items()}}
    place = f"{url}{filebody.PATH}?replica={FILLED}&schema={centre.hub.schema.fingerprint}"
    with httpx2.stream(method, place, headers=sent) as answer:
        return answer, b"".join(answer.iter_raw())


def test_ranges_are_answered_as_rfc_9110_says(centre: Centre, url: str) -> None:
    kept = centre.built()
    body = kept.path.read_bytes()
    answer, got = get(url, centre)
    assert (answer.status_code, got) == (200, body)
    assert answer.headers["etag"] == kept.etag
    assert answer.headers["accept-ranges"] == "bytes"
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    answer, got = get(url, centre, range="bytes=100-", if_range=kept.etag)
    assert (answer.status_code, got) == (206, body[100:])
    assert answer.headers["content-range"] == f"bytes 100-{len(body) - 1}/{len(body)}"
    answer, got = get(url, centre, range="bytes=0-9")
    assert (answer.status_code, got) == (206, body[:10])
    answer, got = get(url, centre, range="bytes=100-", if_range='"another"')
    assert (answer.status_code, got) == (200, body)
    answer, got = get(url, centre, range=f"bytes={len(body)}-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(body)}"
    assert json.loads(got)["code"] == "range_not_satisfiable"
    answer, got = get(url, centre, if_none_match=kept.etag)
    assert (answer.status_code, got) == (304, b"")
    answer, got = get(url, centre, "HEAD")
    assert (answer.status_code, got) == (200, b"")
    assert answer.headers["content-length"] == str(len(body))


def test_while_it_is_built_the_answer_says_when_to_ask_again_l12(centre: Centre, url: str) -> None:
    centre.asking.go.clear()
    answer, body = get(url, centre)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    problem = json.loads(body)
    assert (problem["code"], problem["retry_after"]) == ("snapshot_building", 1)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "malformed"),
        ("?schema=other", "malformed"),
        (f"?schema=other&replica={FILLED}", "schema_changed"),
        ("?schema=other&replica=unheard", "unknown_replica"),
    ],
)
def test_another_schema_is_refused(centre: Centre, url: str, query: str, code: str) -> None:
    assert httpx2.get(f"{url}{filebody.PATH}{query}").json()["code"] == code


def test_who_cannot_read_zstd_is_told_that_there_is_no_file(centre: Centre, url: str) -> None:
    centre.built()
    answer, body = get(url, centre, accept_encoding="gzip")
    assert (answer.status_code, json.loads(body)["code"]) == (404, "no_snapshot")


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
@pytest.mark.parametrize("kept", [True, False])
def test_who_may_not_have_the_file_is_told_that_whether_there_is_one_or_not(
    centre: Centre, coding: str, kept: bool
) -> None:
    place = f"{filebody.PATH}?schema={centre.hub.schema.fingerprint}&replica="
    centre.hub.revoke(FILLED)
    said = []
    with serving(create_app(centre.asking, snapshots=centre.snapshots if kept else None)) as url:
        for replica in ("unheard", FILLED):
            answer = httpx2.get(f"{url}{place}{replica}", headers={"accept-encoding": coding})
            said.append((answer.status_code, answer.json()["code"]))
    assert said == [(404, "unknown_replica"), (403, "replica_revoked")]


def test_l10_all_files_are_for_their_owner_alone(centre: Centre, url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        centre.built()
        (tmp_path / "device").mkdir()
        with syncline.clone(url, tmp_path / "device" / "d.db"):
            made = [*(tmp_path / "device").iterdir(), *(tmp_path / "files").iterdir()]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
    finally:
        os.umask(before)
    assert "d.db" in modes and len(modes) > 2
    assert {name for name, mode in modes.items() if mode != 0o600} == set()


def test_l10_a_file_that_the_schema_does_not_make_is_never_opened(
    centre: Centre, url: str, tmp_path: Path
) -> None:
    """Its digest is right, for the hub itself has put a trigger in. Rows come instead."""
    kept = centre.built()
    plain = tmp_path / "plain.db"
    plain.write_bytes(b"".join(unpacked(iter([kept.path.read_bytes()]))))
    with closing(sqlite3.connect(plain)) as device:
        device.execute("CREATE TRIGGER evil AFTER UPDATE ON leaf BEGIN DELETE FROM node; END")
        device.execute("PRAGMA journal_mode = DELETE")
    packing = b"".join(packed([plain.read_bytes()]))
    digest = hashlib.sha256(packing).hexdigest()
    kept.path.unlink()
    (kept.path.parent / f"{'-'.join(kept.path.stem.split('-')[:-1])}-{digest}.zst").write_bytes(packing)
    chunks = len(centre.asking.chunks())
    file = tmp_path / "a.db"
    syncline.clone(url, file).close()
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT 1 FROM sqlite_master WHERE name = 'evil'").fetchall() == []
    assert len(centre.asking.chunks()) == chunks + 1
    centre.agrees(file)
