"""A hub that is hostile, made of a real one: the device makes nothing of what it should not (laws L2, L12).

Whatever is wrong with an answer, there is an error with a code, nothing outside the file was touched, and an
honest hub can be cloned and synced with afterwards.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

import syncline
from syncline.errors import (
    DigestMismatch,
    Malformed,
    ProtocolError,
    StoreError,
    SynclineError,
    TransportError,
)
from syncline.model.actor import OPERATOR
from syncline.model.schema import MOST_COLUMNS, from_plain, to_plain
from syncline.protocol import messages as m
from syncline.protocol.body import seal
from syncline.protocol.flows import run
from syncline.replica import recovery, sync
from syncline.replica.answers import REMEDY
from syncline.replica.copying import check_copy, id_for_copying, strip
from syncline.replica.defining import make_table
from syncline.replica.definitions import WIDEST, read_schema
from syncline.replica.device import Device
from syncline.replica.hydrate import blank, fill
from syncline.replica.progress import silent
from syncline.replica.store import Store, warden
from syncline.transports.local import LocalTransport
from syncline.transports.open import clone_over

DDL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT UNIQUE);
CREATE INDEX t_v ON t (v);
INSERT INTO t VALUES (1, 'a'), (2, 'b');
"""
Change = Callable[[m.Request, Any], Any]
HIGHEST = (WIDEST - 2) * 62 - 1
"""The highest number of a column of a table that has two."""


class Evil(LocalTransport):
    """Changes the answers of the hub on their way. The hub never hears of another schema than its own."""

    def __init__(self, hub: syncline.Hub, change: Change) -> None:
        super().__init__(hub)
        self.real, self.change = hub, change

    def send(self, request: m.Request) -> m.Response:
        own, present = request, self.real.schema.fingerprint
        if getattr(request, "schema", None):
            own = structs.replace(own, schema=present)  # type: ignore[type-var, assignment]
        if isinstance(own, m.Push) and own.pull is not None:
            own = structs.replace(own, pull=structs.replace(own.pull, schema=present))
        if isinstance(own, m.Snapshot):
            own = structs.replace(own, cursor=None)
        told = m.Changes() if isinstance(own, m.Pull) else super().send(own)
        answer: Any = self.change(request, told)
        try:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=type(answer))  # type: ignore[no-any-return]
        except msgspec.MsgspecError as error:  # as a transport says it
            raise Malformed(str(error), remedy=REMEDY) from error


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[syncline.Hub]:
    with closing(sqlite3.connect(tmp_path / "centre.db")) as centre:
        centre.executescript(DDL)
    with syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}") as hub:
        hub.init()
        yield hub


def schema_with(hub: syncline.Hub, edit: Callable[[Any], object]) -> Change:
    """Answers that tell of an edited schema. `edit` gets the plain table `t`."""
    plain = copy.deepcopy(msgspec.json.decode(msgspec.json.encode(to_plain(hub.schema))))
    edit(next(table for table in plain["tables"] if table["name"] == "t"))
    try:
        fingerprint = from_plain(plain).fingerprint
    except Exception:  # it cannot even be read: any will do
        fingerprint = "0" * 32

    def change(request: m.Request, answer: Any) -> Any:
        if isinstance(answer, m.SchemaAnswer):
            return m.SchemaAnswer(fingerprint, plain["tables"], plain["used"])
        if isinstance(answer, (m.Registered, m.StateAnswer)):
            return structs.replace(answer, schema=fingerprint)
        if isinstance(answer, m.Changes):
            return structs.replace(answer, schema=fingerprint)
        return answer

    return change


def secret_of(folder: Path) -> Path:
    """Another application's database, that nobody is to touch."""
    with closing(sqlite3.connect(folder / "other.db")) as other, other:
        other.execute("CREATE TABLE cookies (s)")
        other.execute("INSERT INTO cookies VALUES ('session=SECRET')")
    return folder / "other.db"


SCHEMAS: dict[str, Callable[[Any, Path], object]] = {
    "a table that is ATTACH": lambda t, p: t.update(ddl=f"ATTACH DATABASE '{p}/made.db' AS x"),
    "indexes that read and wipe": lambda t, p: t.update(
        indexes=[f"ATTACH '{p}/other.db' AS y", "INSERT INTO u SELECT 7, s FROM y.cookies", "DELETE FROM y.c"]
    ),
    "indexes that make a file": lambda t, p: t.update(
        indexes=[f"ATTACH '{p}/made.db' AS x", "CREATE TABLE x.p(q)", "INSERT INTO x.p VALUES('touch RAN')"]
    ),
    "an index that is a trigger": lambda t, p: t.update(
        indexes=["CREATE TRIGGER evil AFTER UPDATE ON t BEGIN UPDATE u SET v = 'x'; END"]
    ),
    "an index of another table": lambda t, p: t.update(indexes=["CREATE INDEX e ON _sync_state (replica)"]),
    "an index with no such function": lambda t, p: t.update(indexes=["CREATE INDEX e ON t (nosuch(v))"]),
    "an index that loads code": lambda t, p: t.update(indexes=["CREATE INDEX e ON t (load_extension('x'))"]),
    "a check that loads code": lambda t, p: t.update(
        ddl="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (load_extension('x') IS NULL))"
    ),
    "two statements": lambda t, p: t.update(ddl="CREATE TABLE t (id PRIMARY KEY, v TEXT); DROP TABLE u"),
    "a table out of another": lambda t, p: t.update(ddl="CREATE TABLE t AS SELECT 1 AS id, 'x' AS v"),
    "a virtual table": lambda t, p: t.update(ddl="CREATE VIRTUAL TABLE t USING fts5(id, v)"),
    "a view": lambda t, p: t.update(ddl="CREATE VIEW t AS SELECT 1 AS id, 'x' AS v"),
    "a query": lambda t, p: t.update(ddl="SELECT 1"),
    "a pragma": lambda t, p: t.update(ddl="PRAGMA writable_schema = ON"),
    "a long computation": lambda t, p: t.update(
        ddl="WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x"
    ),
    "a type with a statement": lambda t, p: (
        t.update(ddl=None),
        t["columns"][1].update(declared="text); CREATE TABLE evil(x"),
    ),
    "a default with a statement": lambda t, p: (
        t.update(ddl=None),
        t["columns"][1].update(default="1)) ; DROP TABLE u; --"),
    ),
    "a name of Syncline's": lambda t, p: t.update(name="_sync_state", ddl=None, indexes=[]),
    "a name of SQLite's": lambda t, p: t.update(name="SQLite_master", ddl=None, indexes=[]),
    "the name of another table": lambda t, p: t.update(name="U", ddl=None, indexes=[]),
    "an empty name": lambda t, p: t.update(name="", ddl=None, indexes=[]),
    "a name with a zero byte": lambda t, p: t.update(name="t\0x", ddl=None, indexes=[]),
    "an unknown field": lambda t, p: t["columns"][1].update(nope=1),
    "no columns": lambda t, p: t.pop("columns"),
    "a name that is a number": lambda t, p: t["columns"][0].update(name=7),
    "a key of no column": lambda t, p: t.update(key=["nope"]),
    "no key": lambda t, p: t.update(key=[]),
    "a key that is a text": lambda t, p: t.update(key="id"),
    "a number that is negative": lambda t, p: t.update(number=-7),
    "a number that is none": lambda t, p: t.update(number=True),
    "a column's number that is huge": lambda t, p: t["columns"][1].update(number=2**62),
    "a column's number that is as high as a log has no columns": lambda t, p: t["columns"][1].update(
        number=2_000_000
    ),
    "a column's number that would take all memory": lambda t, p: t["columns"][1].update(number=2**31 - 1),
    "1,999 columns": lambda t, p: t.update(
        ddl=None, columns=[dict(t["columns"][1], name=f"c{n}", number=n) for n in range(1999)], key=["c1"]
    ),
    "a check that takes all memory": lambda t, p: t.update(
        ddl="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (length(hex(zeroblob(999999999))) > 1))"
    ),
    "a default that takes all memory": lambda t, p: (
        t.update(ddl=None),
        t["columns"][1].update(default="printf('%1000000000d', 1)"),
    ),
    "an index that takes all memory": lambda t, p: t.update(
        indexes=["CREATE INDEX e ON t (v) WHERE replace(v, '', '') < zeroblob(999999999)"]
    ),
    "an index over a column that is made, which takes all memory together": lambda t, p: t.update(
        ddl="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, 'w' AS (hex(hex(hex(hex(v))))))",
        indexes=["CREATE INDEX e ON t (hex(hex(hex(hex(w)))))"],
    ),
    "a table without its key": lambda t, p: t.update(ddl="CREATE TABLE t (id INTEGER, v TEXT)"),
    "a table with another key": lambda t, p: t.update(ddl="CREATE TABLE t (id INTEGER, v TEXT PRIMARY KEY)"),
    "a table with other columns": lambda t, p: t.update(ddl="CREATE TABLE t (id INTEGER PRIMARY KEY, w)"),
    "a table that makes its values itself": lambda t, p: t.update(
        ddl="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT AS (id))", indexes=[]
    ),
    "a form that the column cannot hold": lambda t, p: t["columns"][1].update(form="unix"),
    "two columns of one number": lambda t, p: t["columns"][1].update(number=t["columns"][0]["number"]),
    "3,000 columns": lambda t, p: t.update(
        ddl=None, columns=[dict(t["columns"][1], name=f"c{n}", number=n + 5) for n in range(3000)], key=["c1"]
    ),
    "10,000 unique constraints": lambda t, p: t.update(ddl=None, indexes=[], uniques=[["v"]] * 10_000),
    "3,000 indexes": lambda t, p: t.update(indexes=[f"CREATE INDEX q{n} ON t (v)" for n in range(3_000)]),
    "3,000 foreign keys": lambda t, p: t.update(
        foreign_keys=[{"columns": ["id"], "parent": "u", "parent_columns": ["id"]}] * 3_000
    ),
    "an action that is none": lambda t, p: t.update(
        foreign_keys=[
            {"columns": ["id"], "parent": "u", "parent_columns": ["id"], "on_delete": "CASCADE; DROP",
             "on_update": "NO ACTION", "deferrable": False}
        ]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMAS)
def test_sql_from_the_network_is_never_run(hub: syncline.Hub, tmp_path: Path, case: str) -> None:
    secret, file = secret_of(tmp_path), tmp_path / "device.db"
    evil = Evil(hub, schema_with(hub, lambda table: SCHEMAS[case](table, tmp_path)))
    with pytest.raises(Malformed, match=r"^the hub's (schema|answer)") as caught:
        clone_over(evil, file)
    assert "hub" in caught.value.remedy
    with closing(sqlite3.connect(secret)) as other:
        assert other.execute("SELECT * FROM cookies").fetchall() == [("session=SECRET",)]
    assert not (tmp_path / "made.db").exists()
    clone_over(LocalTransport(hub), file)
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT * FROM t").fetchall() == [(1, "a"), (2, "b")]


def test_a_table_whose_numbers_just_fit_works(hub: syncline.Hub, tmp_path: Path) -> None:
    """As many columns as there may be, and the highest number that a change log has a mask for."""
    hub_columns = [{"name": f"c{n}"} for n in range(MOST_COLUMNS)]
    plain = msgspec.json.decode(msgspec.json.encode(to_plain(hub.schema)))
    (one,) = [table for table in plain["tables"] if table["name"] == "t"]
    one.update(ddl=None, indexes=[])
    one["columns"] = [dict(one["columns"][1], number=n, **column) for n, column in enumerate(hub_columns)]
    one["key"] = ["c0"]
    for edit in (
        lambda: None,
        lambda: one.update(columns=[one["columns"][0], dict(one["columns"][1], number=HIGHEST)]),
    ):
        edit()
        schema = from_plain(plain)
        assert read_schema(m.SchemaAnswer(schema.fingerprint, plain["tables"], plain["used"])) == schema
        with closing(blank(schema)) as store:
            store.execute("INSERT INTO t (c0, c1) VALUES ('a', 'b')")
            store.execute("UPDATE t SET c1 = 'c'")
            assert store.value("SELECT count(*) FROM " + store.logs()[0]) == 2


@pytest.mark.parametrize(
    "case",
    ["indexes that read and wipe", "an index that is a trigger", "a type with a statement", "3,000 columns"],
)
def test_a_file_that_is_there_follows_no_schema_that_cannot_be(
    hub: syncline.Hub, tmp_path: Path, case: str
) -> None:
    secret, file = secret_of(tmp_path), tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(sqlite3.connect(file)) as device, device:
        before = device.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        device.execute("UPDATE t SET v = 'mine' WHERE id = 1")
    evil = Evil(hub, schema_with(hub, lambda table: SCHEMAS[case](table, tmp_path)))
    with closing(Store.open(file)) as store, pytest.raises(Malformed):
        run(sync.pull(Device.load(store), silent), evil)
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT type, name, sql FROM sqlite_master").fetchall() == before
    with closing(sqlite3.connect(secret)) as other:
        assert other.execute("SELECT * FROM cookies").fetchall() == [("session=SECRET",)]
    with closing(Store.open(file)) as store:
        assert run(sync.sync(Device.load(store), silent), LocalTransport(hub)).push.sent == 1


class Filling(Evil):
    """Has values for columns of which the real hub knows nothing."""

    def send(self, request: m.Request) -> m.Response:
        if not isinstance(request, m.Snapshot):
            return super().send(request)
        columns = [int(number) for number in (request.columns or "").split(",") if number]
        rows: list[Any] = [[key, *("x" for _ in columns)] for key in (1, 2)]
        body, digest = seal([m.Group(request.table or 0, "U", columns, rows)])
        return m.SnapshotPage("w1", None, 2, digest, Raw(body))


@pytest.mark.parametrize(
    "default", ["1 UNIQUE", "1 --", "x", "1, evil text", "1 /*", "v", "1 CHECK (0)", "random() x"]
)
def test_a_default_that_is_none_is_not_written_into_a_file_that_is_there(
    hub: syncline.Hub, tmp_path: Path, default: str
) -> None:
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(sqlite3.connect(file)) as device, device:
        before = device.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        device.execute("UPDATE t SET v = 'mine' WHERE id = 1")

    def with_column(table: Any) -> None:
        new = dict(table["columns"][1], name="w", number=table["used"], default=default, defaulted=True)
        table.update(ddl=None, indexes=[], columns=[*table["columns"], new], used=table["used"] + 1)

    evil = Filling(hub, schema_with(hub, with_column))
    with closing(Store.open(file)) as store, pytest.raises(Malformed):
        run(sync.pull(Device.load(store), silent), evil)
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT type, name, sql FROM sqlite_master").fetchall() == before
    assert synced(file, LocalTransport(hub)).push.sent == 1


@pytest.mark.parametrize("marks", [("w0", "w1"), ("w0", "w1", "w2", "w0", "w3")])
def test_l11_pages_that_go_in_a_circle_are_not_followed(
    hub: syncline.Hub, tmp_path: Path, marks: tuple[str, ...]
) -> None:
    file, asked = tmp_path / "device.db", list[str]()
    clone_over(LocalTransport(hub), file)
    body, digest = seal([m.Group(0, "U", [hub.schema.tables[0].pushed[0]], [[1, "again"]])])

    def circling(request: m.Request, answer: Any) -> Any:
        if not isinstance(answer, m.Changes):
            return answer
        asked.append(marks[len(asked) % len(marks)])
        return m.Changes(asked[-1], True, 0, digest, Raw(body))

    with closing(Store.open(file)) as store, pytest.raises(ProtocolError, match="lead back"):
        run(sync.pull(Device.load(store), silent), Evil(hub, circling))
    assert len(asked) <= len(marks) + 1
    assert synced(file, LocalTransport(hub)).pull is not None


def page_of(*groups: Any) -> Change:
    """Chunks of rows that hold these groups."""
    body, digest = seal([m.Group(*group) for group in groups])

    def change(request: m.Request, answer: Any) -> Any:
        if isinstance(answer, m.SnapshotPage):
            return structs.replace(answer, groups=Raw(body), digest=digest)
        return answer

    return change


def with_fields(kind: type, **fields: Any) -> Change:
    return lambda request, answer: structs.replace(answer, **fields) if isinstance(answer, kind) else answer


def endless_chunks(request: m.Request, answer: Any) -> Any:
    return structs.replace(answer, cursor="again") if isinstance(answer, m.SnapshotPage) else answer


def empty_chunks(request: m.Request, answer: Any) -> Any:
    if not isinstance(answer, m.SnapshotPage):
        return answer
    cursor = str(getattr(request, "cursor", None)) + "x"
    return structs.replace(answer, cursor=cursor, groups=Raw(b"\x90"), digest=seal([])[1])


def endless_pull(request: m.Request, answer: Any) -> Any:
    if not isinstance(answer, m.Changes) or not isinstance(request, m.Pull):
        return answer
    body, digest = seal([m.Group(0, "U", [1], [[1, "x"]])])
    return m.Changes(request.after, True, 0, digest, Raw(body))


class EmptyPages:
    """Pages that say there is more, each with a new watermark, and hold nothing."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self, request: m.Request, answer: Any) -> Any:
        if not isinstance(answer, m.Changes):
            return answer
        self.given += 1
        return m.Changes(f"w{self.given}", True, 0, seal([])[1], Raw(b"\x90"))


ANSWERS: dict[str, Change] = {
    "limits below one": with_fields(m.Registered, limits=m.Limits(bytes=-1, push_rows=-1, pull_rows=-5)),
    "a clock beyond all": with_fields(m.Registered, hlc=2**63 - 1),
    "a push number beyond all": with_fields(m.Registered, push=2**64 - 1),
    "a push number below 0": with_fields(m.Registered, push=-5),
    "an id with controls": with_fields(m.Registered, hub="\x1b[2J"),
    "an id without end": with_fields(m.Registered, hub="h" * 1000),
    "a table there is not": page_of((99, "U", [1], [[1, "x"]])),
    "a table below 0": page_of((-1, "U", [1], [[1, "x"]])),
    "a column there is not": page_of((0, "U", [9], [[1, "x"]])),
    "a column twice": page_of((0, "U", [0, 0], [[1, "x", "y"]])),
    "a short row": page_of((0, "U", [0], [[1]])),
    "a long row": page_of((0, "U", [0], [[1, "x", "y"]])),
    "a list in a cell": page_of((0, "U", [0], [[1, ["x"]]])),
    "a map in a cell": page_of((0, "U", [0], [[1, {"a": 1}]])),
    "a truth value": page_of((0, "U", [0], [[1, True]])),
    "an integer beyond all": page_of((0, "U", [0], [[2**63, "x"]])),
    "a deleted row in a chunk": page_of((0, "D", [], [[1]])),
    "a key with NULL": page_of((0, "U", [0], [[None, "x"]])),
    "groups that are a text": with_fields(m.SnapshotPage, groups=Raw(b"\xa1x")),
    "chunks that lead nowhere": endless_chunks,
    "chunks without rows": empty_chunks,
    "pages that lead nowhere": endless_pull,
    "pages without rows": EmptyPages(),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_cannot_be_has_a_code_and_harms_nothing(
    hub: syncline.Hub, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.replica.pull.EMPTY", 20)
    file = tmp_path / "device.db"
    with pytest.raises(SynclineError) as caught:
        clone_over(Evil(hub, ANSWERS[case]), file)
    assert "openapi" not in caught.value.remedy  # that is for who writes a request
    assert isinstance(caught.value, (Malformed, DigestMismatch)) or caught.value.code == "protocol"
    assert not file.exists()
    clone_over(LocalTransport(hub), file)
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT * FROM t").fetchall() == [(1, "a"), (2, "b")]


def verdict_with(**fields: Any) -> Change:
    return with_fields(m.Verdict, **fields)


def refused(**fields: Any) -> m.Rejection:
    plain = {"table": 0, "key": [1], "code": "c", "detail": "d", "remedy": "r"}
    return m.Rejection(**(plain | fields))


VERDICTS: dict[str, Change] = {
    "on another push": verdict_with(number=7),
    "of a table there is not": verdict_with(rejected=[refused(table=99)]),
    "of a key that is too long": verdict_with(rejected=[refused(key=[1, 2])]),
    "of a key that is a list": verdict_with(rejected=[refused(key=[[1]])]),
    "of a column below 0": verdict_with(rejected=[refused(columns=[-1])]),
    "with a parent that is none": verdict_with(rejected=[refused(parent=[1])]),
    "that wants a table there is not": verdict_with(wanted=[[99, [1]]]),
    "that wants something else": verdict_with(wanted=[["t"]]),
    "with overrides that are none": verdict_with(overrides=Raw(b"\xa1x"), digest="0" * 64),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_that_cannot_be_leaves_the_edit_pending(
    hub: syncline.Hub, tmp_path: Path, case: str
) -> None:
    """L2: and an honest answer is taken afterwards."""
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(sqlite3.connect(file)) as device, device:
        device.execute("UPDATE t SET v = 'mine' WHERE id = 1")
    with closing(Store.open(file)) as store:
        with pytest.raises((Malformed, DigestMismatch)) as caught:
            run(sync.sync(Device.load(store), silent), Evil(hub, VERDICTS[case]))
        assert "whoever runs the hub" in caught.value.remedy
        report = run(sync.sync(Device.load(store), silent), LocalTransport(hub))
    assert (report.push.sent, report.push.rejected) == (1, ())
    assert hub.conflicts() == []


# Watermarks and cursors


def edit(file: Path, value: str) -> None:
    with closing(sqlite3.connect(file)) as device, device:
        device.execute("UPDATE t SET v = ? WHERE id = 1", (value,))


def central(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "centre.db")) as centre:
        return centre.execute("SELECT v FROM t WHERE id = 1").fetchall()


def synced(file: Path, transport: LocalTransport) -> syncline.SyncReport:
    with closing(Store.open(file)) as store:
        return run(sync.sync(Device.load(store), silent), transport)


@pytest.mark.parametrize("mark", ["", " ", "a\x1b[2J", "\0", "ä.b.c", "0" * 40_000])
@pytest.mark.parametrize("kind", [m.Changes, m.Registered, m.SnapshotPage])
def test_a_watermark_that_no_hub_gives_is_not_taken(
    hub: syncline.Hub, tmp_path: Path, kind: type, mark: str
) -> None:
    file = tmp_path / "device.db"
    evil = Evil(hub, with_fields(kind, watermark=mark))
    with pytest.raises(Malformed):
        clone_over(evil, file)
    clone_over(LocalTransport(hub), file)


@pytest.mark.parametrize("mark", ["zz", "0" * 30_000, "a.b.c"])
@pytest.mark.parametrize("pending", [False, True])
def test_after_a_watermark_that_the_hub_never_gave_edits_still_leave(
    hub: syncline.Hub, tmp_path: Path, mark: str, pending: bool
) -> None:
    """L2: neither the pull that goes on from it nor the edits that stand on it are stuck."""
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(Store.open(file)) as store:
        run(sync.pull(Device.load(store), silent), Evil(hub, with_fields(m.Changes, watermark=mark)))
    if pending:
        edit(file, "mine")
    report = synced(file, LocalTransport(hub))
    assert (report.push.sent, report.pending) == (int(pending), 0)
    assert report.recovered is not None
    assert report.recovered.reason == "garbled"
    assert central(tmp_path) == [("mine" if pending else "a",)]
    edit(file, "later")
    report = synced(file, LocalTransport(hub))
    assert (report.push.sent, report.pending, report.recovered) == (1, 0, None)


@pytest.mark.parametrize("mark", [" ", "a\x1b[2J", "\0", "ä.b.c"])
def test_a_place_to_go_on_from_that_no_hub_gives_is_not_taken(
    hub: syncline.Hub, tmp_path: Path, mark: str
) -> None:
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(Store.open(file)) as store:
        recovery.begin(store, "garbled")
    edit(file, "mine")
    with pytest.raises(Malformed, match="its seen is none that a hub gives"):
        synced(file, Evil(hub, with_fields(m.Reconciled, seen=mark)))
    assert synced(file, LocalTransport(hub)).pending == 0
    assert central(tmp_path) == [("mine",)]


def test_a_frozen_push_that_stands_on_a_lying_watermark_arrives(hub: syncline.Hub, tmp_path: Path) -> None:
    """L3: its bases are frozen with it."""
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    with closing(Store.open(file)) as store:
        run(sync.pull(Device.load(store), silent), Evil(hub, with_fields(m.Changes, watermark="zz")))
    edit(file, "mine")

    def lost(request: m.Request, answer: Any) -> Any:
        if isinstance(answer, m.Verdict):
            raise TransportError("cut")
        return answer

    with pytest.raises(TransportError):
        synced(file, Evil(hub, lost))
    report = synced(file, LocalTransport(hub))
    assert report.pending == 0
    assert central(tmp_path) == [("mine",)]


def test_a_lying_horizon_and_a_lying_cursor_are_got_over(hub: syncline.Hub, tmp_path: Path) -> None:
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    edit(file, "first")

    def lie(request: m.Request, answer: Any) -> Any:
        if isinstance(request, m.Snapshot) and request.cursor:
            raise TransportError("cut")
        if isinstance(answer, m.Verdict):
            return structs.replace(answer, changes=None, horizon="zz")
        if isinstance(answer, m.SnapshotPage):
            return structs.replace(answer, cursor="zz")
        if isinstance(answer, m.Changes):
            return structs.replace(answer, watermark="zz")
        return answer

    with closing(Store.open(file)) as store:
        run(sync.push(Device.load(store), silent), Evil(hub, lie))
        run(sync.pull(Device.load(store), silent), Evil(hub, lie))
        store.set_state(recovery='{"reason": "pruned"}')
    with pytest.raises(TransportError):
        synced(file, Evil(hub, lie))
    edit(file, "second")
    report = synced(file, LocalTransport(hub))
    assert (report.push.sent, report.pending) == (1, 0)
    assert central(tmp_path) == [("second",)]


def test_another_hub_leaves_no_recovery_in_the_file(hub: syncline.Hub, tmp_path: Path) -> None:
    """A mistyped URL: the next sync with the right hub has nothing to fill again."""
    file = tmp_path / "device.db"
    clone_over(LocalTransport(hub), file)
    edit(file, "mine")
    with closing(sqlite3.connect(tmp_path / "other_centre.db")) as centre:
        centre.executescript(DDL)
    with syncline.Hub(f"sqlite:///{tmp_path / 'other_centre.db'}") as other:
        other.init()
        for verb in (sync.sync, sync.pull, sync.push):
            with closing(Store.open(file)) as store, pytest.raises(ProtocolError) as caught:
                run(verb(Device.load(store), silent), LocalTransport(other))  # type: ignore[operator]
            assert caught.value.code == "other_hub"
        assert other.replicas() == []
    with closing(Store.open(file)) as store:
        assert store.state().recovery is None
    report = synced(file, LocalTransport(hub))
    assert (report.push.sent, report.recovered) == (1, None)


# The file


@pytest.fixture
def fetched(hub: syncline.Hub, tmp_path: Path) -> Path:
    """A file for copying, as an honest hub builds one."""
    store = Store.open_private(tmp_path / "fetched.db")
    with closing(store):
        run(fill(store, None, silent, id_for_copying()), LocalTransport(hub, OPERATOR))
        strip(store)
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return tmp_path / "fetched.db"


def checked(hub: syncline.Hub, file: Path) -> None:
    answer: Any = LocalTransport(hub).send(m.Register("r"))
    check_copy(str(file), hub.schema, answer.hub)


def test_the_file_of_an_honest_hub_is_what_its_schema_makes(hub: syncline.Hub, fetched: Path) -> None:
    checked(hub, fetched)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER evil AFTER UPDATE ON t BEGIN UPDATE u SET v = 'x'; END",
        "CREATE VIEW evil AS SELECT 1",
        "CREATE TABLE evil (a)",
        "CREATE VIRTUAL TABLE evil USING fts5(a)",
        "CREATE INDEX evil ON u (v)",
        "DROP INDEX t_v",
        "DROP TRIGGER _sync_0_insert",
        "ALTER TABLE t ADD COLUMN more CHECK (more IS NULL)",
        "UPDATE _sync_state SET hub = 'another'",
        "UPDATE _sync_state SET replica = 'somebody'",
        "UPDATE _sync_state SET hub_url = 'http://evil.example'",
        "UPDATE _sync_state SET suppressed = 1",
        "UPDATE _sync_state SET names = '{}'",
        "UPDATE _sync_state SET schema = replace(schema, 'TEXT', 'BLOB')",
        "UPDATE _sync_index SET name = 'u'",
        "UPDATE _sync_table SET name = 'other' WHERE n = 0",
        "INSERT INTO _sync_body (body) VALUES ('x')",
        "INSERT INTO _sync_fill (body) VALUES ('x')",
        "INSERT INTO _sync_conflict VALUES (1, 'x')",
    ],
)
def test_a_file_that_differs_in_any_object_is_not_opened(hub: syncline.Hub, fetched: Path, sql: str) -> None:
    with closing(sqlite3.connect(fetched)) as device, device:
        if sql.startswith("DROP TRIGGER"):
            (name,) = device.execute("SELECT min(name) FROM sqlite_master WHERE type = 'trigger'").fetchone()
            sql = f'DROP TRIGGER "{name}"'
        device.execute(sql)
    with closing(sqlite3.connect(fetched)) as device:
        device.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(Malformed):
        checked(hub, fetched)


def test_a_file_that_is_no_database_is_not_opened(hub: syncline.Hub, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(Malformed):
        checked(hub, tmp_path / "x.db")


# The authorizer


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE other (a)",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine (a)",
        "CREATE TRIGGER mine AFTER INSERT ON there BEGIN SELECT 1; END",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE VIRTUAL TABLE mine USING fts5(a)",
        "CREATE TABLE mine (a CHECK (load_extension('x')))",
        "CREATE TABLE mine (a CHECK (own(a)))",
        "ATTACH ':memory:' AS x",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM there",
        "INSERT INTO there VALUES (1)",
        "DELETE FROM there",
        "DROP TABLE there",
        "ALTER TABLE there ADD COLUMN b",
        "VACUUM",
        "BEGIN",
    ],
)
def test_the_authorizer_allows_the_one_table_and_nothing_else(sql: str) -> None:
    with closing(Store.open_private(":memory:")) as store:
        store.define("own", 1, lambda value: 1)
        store.execute("CREATE TABLE there (a)")
        with pytest.raises(StoreError), store.held_to(warden.only_table("mine")):
            store.execute(sql)
        with store.held_to(warden.only_table("mine")):
            store.execute("CREATE TABLE mine (a TEXT PRIMARY KEY CHECK (length(a) > 1) DEFAULT (lower('A')))")
        assert {name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")} == {
            "there", "mine"
        }  # fmt: skip
        store.execute("DROP TABLE there")


def test_a_statement_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.replica.store.store.SECONDS", 0.0)
    with closing(Store.open_private(":memory:")) as store:
        store.execute("CREATE TABLE t (a)")
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000)"
        store.execute(f"INSERT INTO t {numbers} SELECT i FROM n")
        with pytest.raises(StoreError), store.held_to(warden.only_index("i", "t")):
            store.execute("CREATE INDEX i ON t (abs(a), length(a), hex(a))")


def test_a_schema_from_an_older_file_is_held_to_the_same(hub: syncline.Hub, tmp_path: Path) -> None:
    """What stands in the file came from a hub, too: making a table of it passes the same authorizer."""
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (load_extension(v)))"
    table = replace(hub.schema.table("t"), ddl=ddl)
    with closing(Store.open_private(tmp_path / "x.db")) as store, pytest.raises(Malformed):
        make_table(store, table, replace(hub.schema, tables=(table,)), hub.schema)
