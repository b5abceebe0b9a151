"""A hub over SQLite behind HTTP, spoken to in both forms."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
import pytest
from msgspec import Raw

from syncline import Hub, Table
from syncline.errors import (
    DigestMismatch,
    Malformed,
    ProtocolError,
    SchemaChanged,
    SynclineError,
    TooLarge,
    UnknownReplica,
    WatermarkRefused,
)
from syncline.model.clock import stamp
from syncline.protocol import messages
from syncline.protocol.body import chained, open_groups, seal
from syncline.protocol.messages import Group, Limits, Pull, Push, PushGroup, Register, Snapshot
from syncline.protocol.negotiation import Form
from syncline.server import create_app, serving
from syncline.transports.http import HttpTransport

M = TypeVar("M")

TABLES = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, score, photo BLOB);
CREATE TABLE note (person INTEGER NOT NULL REFERENCES person, n INTEGER, text TEXT, PRIMARY KEY (person, n));
INSERT INTO person VALUES (1, 'Ann', -0.0, x'00ff'), (2, 'Bob', 9e999, NULL);
INSERT INTO note VALUES (1, 1, 'שלום');
"""


@pytest.fixture
def central(tmp_path: Path) -> Path:
    path = tmp_path / "central.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    connection.close()
    return path


@pytest.fixture
def url(central: Path) -> Iterator[str]:
    rules = {"person": Table(merge={"name": "review"}), "note": Table()}
    with Hub(f"sqlite:///{central}", tables=rules, limits=Limits(push_rows=100, bytes=100_000)) as hub:
        hub.init()
        with serving(create_app(hub)) as url:
            yield url


class Device:
    """As much of a device as it takes to speak."""

    def __init__(self, url: str, replica: str, form: Form = Form.MSGPACK) -> None:
        self.transport = HttpTransport(url, form=form, pauses=())
        self.replica, self.number = replica, 0
        registered = self.ask(Register(replica), messages.Registered)
        self.schema, self.watermark, self.tables = registered.schema, registered.watermark, registered.tables

    def ask(self, request: messages.Request, kind: type[M]) -> M:
        answer = self.transport.send(request)
        assert isinstance(answer, kind)
        return answer

    def group(self, table: str, op: Any, columns: list[int], *rows: list[Any]) -> PushGroup:
        hlc = [stamp(int(time.time() * 1000)), *([1] * (len(rows) - 1))]
        return PushGroup(self.tables.index(table), op, columns, list(rows), hlc)

    def push_of(self, *groups: PushGroup, pull: bool = False) -> Push:
        self.number += 1
        body, digest = seal(list(groups))
        query = Pull(self.watermark, 100, self.replica, self.schema) if pull else None
        return Push(self.replica, self.number, self.schema, [self.watermark], digest, Raw(body), [], query)

    def push(self, *groups: PushGroup, pull: bool = False) -> messages.Verdict:
        return self.ask(self.push_of(*groups, pull=pull), messages.Verdict)

    def pull(self) -> list[Group]:
        answer = self.ask(Pull(self.watermark, 100, self.replica, self.schema), messages.Changes)
        return self.learn(answer)

    def learn(self, answer: messages.Changes) -> list[Group]:
        if answer.watermark is None:
            return []
        self.watermark = answer.watermark
        return open_groups(answer.groups, answer.digest)


Meet = Callable[..., Device]


@pytest.fixture
def meet(url: str) -> Iterator[Meet]:
    """Makes registered devices."""
    met: list[Device] = []

    def meet(replica: str, form: Form = Form.MSGPACK) -> Device:
        met.append(Device(url, replica, form))
        return met[-1]

    yield meet
    for device in met:
        device.transport.close()


def rows_of(central: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(central) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("form", Form)
def test_a_hydrate_brings_every_row_to_the_bit(meet: Meet, form: Form) -> None:
    """L8."""
    device = meet("r1", form)
    rows: dict[str, list[Any]] = {}
    cursor: str | None = None
    while True:
        page = device.ask(Snapshot("r1", device.schema, cursor, 2), messages.SnapshotPage)
        for group in open_groups(page.groups, page.digest):
            rows.setdefault(device.tables[group.table], []).extend(group.rows)
        if (cursor := page.cursor) is None:
            break
    assert repr(rows["person"]) == repr([[1, "Ann", -0.0, b"\0\xff"], [2, "Bob", float("inf"), None]])
    assert rows["note"] == [[1, 1, "שלום"]]


@pytest.mark.parametrize("form", Form)
def test_an_edit_goes_from_device_to_device(meet: Meet, central: Path, form: Form) -> None:
    one, two = meet("r1", form), meet("r2")
    verdict = one.push(one.group("person", "I", [0, 1, 2], [7, "Eve", 0.1, b"\0"]), pull=True)
    assert (verdict.rejected, verdict.wanted, open_groups(verdict.overrides, verdict.digest)) == ([], [], [])
    assert verdict.changes is not None
    assert one.learn(verdict.changes) == []
    (group,) = two.pull()
    assert (two.tables[group.table], group.op, group.rows) == ("person", "U", [[7, "Eve", 0.1, b"\0"]])
    assert rows_of(central, "SELECT * FROM person WHERE id = 7") == [(7, "Eve", 0.1, b"\0")]
    assert two.pull() == []


def test_a_push_that_arrives_twice_counts_once(meet: Meet, central: Path) -> None:
    """L3."""
    device = meet("r1")
    push = device.push_of(device.group("note", "I", [0], [1, 2, "once"]))
    first, second = device.ask(push, messages.Verdict), device.ask(push, messages.Verdict)
    assert (first.repeat, second.repeat) == (False, True)
    assert rows_of(central, "SELECT count(*) FROM note WHERE n = 2") == [(1,)]


def test_a_refused_row_comes_back_with_its_reason_and_the_rest_goes_in(meet: Meet, central: Path) -> None:
    """L12."""
    device = meet("r1")
    verdict = device.push(device.group("note", "I", [0], [1, 5, "good"], [99, 1, "no such person"]))
    (rejection,) = verdict.rejected
    assert (device.tables[rejection.table], rejection.key) == ("note", [99, 1])
    assert rejection.code
    assert rejection.remedy
    assert rows_of(central, "SELECT text FROM note WHERE n = 5") == [("good",)]


def test_an_open_conflict_is_listed_and_decided_over_json(url: str, meet: Meet, central: Path) -> None:
    one, two = meet("r1"), meet("r2")
    one.push(one.group("person", "U", [0], [1, "Anna"]))
    late = two.push_of(two.group("person", "U", [0], [1, "Anne"]))
    verdict = two.ask(late, messages.Verdict)
    if verdict.wanted:
        person = two.tables.index("person")
        detail = messages.Detail(person, [1], [0], ["Ann"], ["Anne", -0.0, b"\0\xff"])
        verdict = two.ask(msgspec.structs.replace(late, details=[detail]), messages.Verdict)
    asked = {"replica": "r2", "open_only": "true"}
    (note,) = httpx2.get(url + "/sync/conflicts", params=asked).json()["conflicts"]
    assert (note["table"], note["column"], note["outcome"]) == ("person", "name", "open")
    assert (note["base"], note["sent"], note["hub"]) == ("Ann", "Anne", "Anna")
    place = f"{url}/sync/conflicts/{note['id']}"
    others = httpx2.post(place, json={"take": "sent", "replica": "r1"})
    assert (others.status_code, others.json()["code"]) == (404, "unknown_conflict")
    decided = httpx2.post(place, json={"take": "sent", "replica": "r2"})
    assert (decided.status_code, decided.json()["outcome"]) == (200, "resolved")
    assert rows_of(central, "SELECT name FROM person WHERE id = 1") == [("Anne",)]


def test_a_person_can_push_with_json_alone(url: str, central: Path) -> None:
    with httpx2.Client(base_url=url) as web:
        known = web.post("/sync/clients", json={"replica": "by hand"}).json()
        group = {
            "table": known["tables"].index("person"),
            "op": "I",
            "columns": [0, 1, 2],
            "rows": [[8, "Kim", -0.0, {"$blob": "AP8="}]],
            "hlc": [1],
        }
        push = {
            "replica": "by hand",
            "number": 1,
            "schema": known["schema"],
            "bases": [known["watermark"]],
            "groups": [group],
        }
        answer = web.post("/sync/changes", json=push)
        assert (answer.status_code, answer.json()["rejected"]) == (200, [])
        state = web.get("/sync/state", params={"replica": "by hand"}).json()
        assert (state["known"], state["push"]) == (True, 1)
    assert rows_of(central, "SELECT name, photo FROM person WHERE id = 8") == [("Kim", b"\0\xff")]


def test_bad_pushes_change_nothing(meet: Meet, central: Path) -> None:
    before = rows_of(central, "SELECT * FROM person"), rows_of(central, "SELECT * FROM note")
    device = meet("r1")
    good = device.push_of(device.group("person", "I", [0, 1, 2], [9, "x", 1.0, None]))

    def changed(**fields: Any) -> Push:
        return msgspec.structs.replace(good, **fields)

    def with_groups(*groups: PushGroup) -> Push:
        body, digest = seal(list(groups))
        return changed(groups=Raw(body), digest=digest)

    refused: list[tuple[Push, type[SynclineError]]] = [
        (changed(digest="0" * 64), DigestMismatch),
        (changed(schema="other"), SchemaChanged),
        (changed(replica="never seen"), UnknownReplica),
        (changed(bases=["w"] * 20_000), TooLarge),
        (changed(number=0), Malformed),
        (changed(number=9), ProtocolError),
        (changed(groups=Raw(b"\x01")), ProtocolError),
        (with_groups(PushGroup(99, "D", [], [[1]], [1])), ProtocolError),
        (with_groups(PushGroup(0, "U", [99], [[1, 1]], [1])), ProtocolError),
        (with_groups(PushGroup(0, "U", [0], [[1]], [1])), ProtocolError),
        (with_groups(PushGroup(0, "U", [0], [[1, "x"]], [1, 2])), ProtocolError),
        (with_groups(PushGroup(0, "U", [0], [[1, "x"]], [1], [7])), ProtocolError),
        (with_groups(PushGroup(0, "D", [], [[True]], [1])), Malformed),  # type: ignore[list-item]
        (with_groups(PushGroup(0, "D", [], [[n] for n in range(101)], [1] * 101)), TooLarge),
        (with_groups(PushGroup(0, "I", [0, 1, 2], [[9, "x" * 200_000, 1.0, None]], [1])), TooLarge),
    ]
    for number, (push, error) in enumerate(refused):
        with pytest.raises(error) as caught:
            device.ask(push, messages.Verdict)
        assert caught.value.code != "internal", f"number {number} of the list"
    assert before == (rows_of(central, "SELECT * FROM person"), rows_of(central, "SELECT * FROM note"))
    assert device.ask(good, messages.Verdict).rejected == []


@pytest.mark.parametrize("after", ["", "garbled", "x|y|z", "1' OR '1'='1", "\N{PILE OF POO}"])
def test_a_garbled_watermark_is_refused(meet: Meet, after: str) -> None:
    device = meet("r1")
    with pytest.raises(WatermarkRefused):
        device.ask(Pull(after, 10, "r1", device.schema), messages.Changes)


def test_half_a_stamp_is_refused_and_one_kept_earlier_harms_no_reconcile(meet: Meet, central: Path) -> None:
    """Refused where it arrives, in whichever message; not by the next request that reads what was kept."""
    device = meet("r1")
    push = device.push_of(device.group("person", "U", [0], [1, "Eve"]))
    half = msgspec.structs.replace(push, stamps=b"abc", before="")
    asked = messages.Reconcile("r2", "r1", [], 0, "", stamps=b"12345678")
    for request in (half, msgspec.structs.replace(asked, stamps=b"abc")):
        with pytest.raises(Malformed) as caught:
            device.transport.send(request)
        assert "stamps" in caught.value.detail
    assert rows_of(central, "SELECT * FROM _sync_hub_stamps") == []
    whole = msgspec.structs.replace(push, stamps=b"12345678", before="")
    device.ask(whole, messages.Verdict)
    with sqlite3.connect(central) as connection:
        connection.execute("UPDATE _sync_hub_stamps SET tails = CAST(tails || x'616263' AS BLOB)")
    connection.close()
    assert device.ask(asked, messages.Reconciled).done == b"12345678"


def test_a_push_number_beyond_all_is_refused_and_not_added_to(meet: Meet) -> None:
    """The number of a push that was taken meanwhile is one more than that which the file tells."""
    device = meet("r1")
    push = device.push_of(device.group("person", "U", [0], [1, "Eve"]))
    device.ask(msgspec.structs.replace(push, before=""), messages.Verdict)
    chain = chained("", push.digest)
    device.ask(messages.Reconcile("r2", "r1", [], 7, "another"), messages.Reconciled)
    with pytest.raises(Malformed) as caught:
        device.transport.send(messages.Reconcile("r3", "r1", [], 2**63 - 1, "another", outbox=chain))
    assert caught.value.code == "malformed"
    highest = messages.Reconcile("r3", "r1", [], messages.COUNTED, "another", outbox=chain)
    assert device.ask(highest, messages.Reconciled).taken


def test_somebody_elses_watermark_is_refused(meet: Meet) -> None:
    one, two = meet("r1"), meet("r2")
    with pytest.raises(WatermarkRefused):
        one.ask(Pull(two.watermark, 10, "r1", one.schema), messages.Changes)


def test_ready_notices_that_the_database_is_not_prepared(tmp_path: Path) -> None:
    with Hub(f"sqlite:///{tmp_path / 'empty.db'}") as hub, serving(create_app(hub)) as url:
        answer = httpx2.get(url + "/ready")
    assert answer.status_code == 503
    assert answer.json()["code"] in ("not_prepared", "database_unavailable")


def test_ready_is_answered_when_the_database_is_prepared(url: str) -> None:
    assert httpx2.get(url + "/ready").json() == {"status": "ready"}
