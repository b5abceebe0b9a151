"""What a hub keeps and does for whoever reaches it is bounded (L11), and each bound answers with a code."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec import Raw

from syncline import Hub
from syncline.databases.sqlite import open_database
from syncline.errors import HubBusy, QuotaReached, SynclineError, TooLarge, UnknownReplica
from syncline.hub import quotas
from syncline.hub.quotas import Quotas
from syncline.model.actor import Actor
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m
from syncline.protocol.body import seal
from syncline.testing.outside import outside

ANN, BOB = Actor("ann"), Actor("bob")


class Wall:
    """The database's clock, in milliseconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


def hub_with(wall: Wall, limits: m.Limits | None = None, **some: Any) -> Hub:
    database = open_database("sqlite:///:memory:", clock=wall)
    with outside(database) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name BLOB)")
    hub = Hub(database, quotas=Quotas(**some), limits=limits)
    hub.init()
    return hub


def registered(hub: Hub, replica: str, actor: Actor = ANN) -> m.Registered:
    answer = hub.handle(actor, m.Register(replica))
    assert isinstance(answer, m.Registered)
    return answer


def code_of(hub: Hub, request: m.Request, actor: Actor = ANN) -> str:
    with pytest.raises(SynclineError) as caught:
        hub.handle(actor, request)
    return caught.value.code


def test_new_replicas_of_one_actor_within_a_minute_are_bounded() -> None:
    wall = Wall()
    hub = hub_with(wall, registrations=2)
    for replica in ("a", "b"):
        registered(hub, replica)
    assert code_of(hub, m.Register("c")) == "too_many_registrations"
    registered(hub, "a")  # one that is known is none of them
    registered(hub, "c", BOB)
    wall.now += 61_000
    registered(hub, "d")


def test_replicas_that_never_pulled_are_bounded_and_swept() -> None:
    wall = Wall()
    hub = hub_with(wall, unused=2, unused_seconds=3600)
    first = registered(hub, "a")
    hub.handle(ANN, m.Pull(first.watermark, 10, "a", first.schema))
    registered(hub, "b")
    registered(hub, "c")
    assert code_of(hub, m.Register("d")) == "too_many_unused"
    hub.revoke("c")
    assert hub.prune().replicas == 0
    wall.now += 3_700_000
    assert hub.prune().replicas == 1
    assert {one.client.replica for one in hub.replicas()} == {"a", "c"}
    with pytest.raises(UnknownReplica):
        hub.handle(ANN, m.Pull(first.watermark, 10, "b", first.schema))
    registered(hub, "d")


def test_new_ids_of_files_that_were_copied_are_registrations_too() -> None:
    hub = hub_with(Wall(), registrations=2)
    known = registered(hub, "a")
    hub.handle(ANN, m.Pull(known.watermark, 10, "a", known.schema))
    made = hub.handle(ANN, m.Reconcile("b", "a", [], 5, "another chain"))
    assert isinstance(made, m.Reconciled) and made.replica == "b"
    assert code_of(hub, m.Reconcile("c", "a", [], 5, "another chain")) == "too_many_registrations"
    with hub.database.read(UNBOUNDED) as transaction:
        assert transaction.ledger.client("c") is None
    again = hub.handle(ANN, m.Reconcile("b", "a", [], 5, "another chain"))
    assert isinstance(again, m.Reconciled) and again.replica == "b"


def test_l11_what_a_file_says_of_its_pushes_makes_no_replica_one_that_was_used() -> None:
    wall = Wall()
    hub = hub_with(wall, unused=3, unused_seconds=3600)
    for number, replica in enumerate("abc"):
        hub.handle(ANN, m.Reconcile(replica, f"former {replica}", [], number * 5, "a chain"))
    assert code_of(hub, m.Reconcile("d", "former d", [], 5, "a chain")) == "too_many_unused"
    assert code_of(hub, m.Register("d")) == "too_many_unused"
    wall.now += 3_700_000
    assert hub.prune().replicas == 3
    registered(hub, "d")


def test_a_file_with_many_schemas_is_answered_with_as_many_questions_as_one_with_one() -> None:
    """Its transaction holds what other writers wait for."""
    hub = hub_with(Wall())
    known = registered(hub, "a")
    with hub.database.write(UNBOUNDED) as transaction:
        connection = transaction.rows.connection
    counts = []
    for schemas in ([known.schema], [f"never {number}" for number in range(9_998)] + [known.schema] * 2):
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        answer: Any = hub.handle(ANN, m.Reconcile("b", "a", [], 0, "", schemas=schemas))
        connection.set_trace_callback(None)
        assert answer.unknown == [name for name in schemas if name != known.schema]
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0


def test_a_file_that_had_many_ids_is_answered_with_as_many_questions_as_one_that_had_one() -> None:
    hub = hub_with(Wall())
    for replica in ("a", "former"):
        registered(hub, replica)
    with hub.database.write(UNBOUNDED) as transaction:
        connection = transaction.rows.connection
    counts = []
    for number, former in enumerate((["former"], [*(f"never {n}" for n in range(9_999)), "former"])):
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        answer: Any = hub.handle(ANN, m.Reconcile(f"b{number}", "a", former, 5, "another", stamps=bytes(8)))
        connection.set_trace_callback(None)
        assert answer.replica == f"b{number}"
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0


def test_all_replicas_together_are_bounded() -> None:
    hub = hub_with(Wall(), replicas=2)
    registered(hub, "a")
    registered(hub, "b", BOB)
    assert code_of(hub, m.Register("c")) == "too_many_replicas"
    with hub.database.read(UNBOUNDED) as transaction:
        assert transaction.ledger.client("c") is None


def chunk(replica: str, number: int, size: int) -> m.PushChunk:
    body, digest = seal([m.PushGroup(0, "I", [1], [[number, b"\0" * size]], [1], [])])
    return m.PushChunk(replica, 1, number, "whole", digest, Raw(body))


def begun(hub: Hub, replica: str) -> None:
    known = registered(hub, replica)
    hub.handle(ANN, m.BeginPush(replica, 1, known.schema, [known.watermark], "whole", 9, 9))


def test_uploads_are_bounded_all_together_and_for_each_replica() -> None:
    wall = Wall()
    hub = hub_with(wall, m.Limits(push_total_bytes=2500), uploads_bytes=4000)
    for replica in ("a", "b"):
        begun(hub, replica)
        hub.handle(ANN, chunk(replica, 1, 1000))
    hub.handle(ANN, chunk("a", 2, 1000))
    with pytest.raises(TooLarge):
        hub.handle(ANN, chunk("a", 3, 1000))
    assert code_of(hub, chunk("b", 2, 1000)) == "too_much_uploaded"
    wall.now += 90_000_000
    hub.prune()  # nobody went on with them for a day
    begun(hub, "b")
    hub.handle(ANN, chunk("b", 2, 1000))


def telling(fresh: str, previous: str, number: int, octets: int = 900) -> m.Reconcile:
    """A file that says of an edit that it is rejected, with that many bytes."""
    stamp = number.to_bytes(8, "big")
    refused = [m.Refusal(stamp, 0, [number], "check", "x" * octets, "")]
    return m.Reconcile(fresh, previous, [], 5, "another chain", stamps=stamp, refused=refused)


def remembered(hub: Hub, lineage: str) -> int:
    with hub.database.read(UNBOUNDED) as transaction:
        return sum(1 for one in transaction.ledger.stamps_of([lineage]) if one.push < 0)


def test_l11_what_a_file_and_its_copies_tell_of_rejected_edits_is_bounded() -> None:
    wall = Wall()
    hub = hub_with(wall, told_bytes=2500)
    registered(hub, "a")
    for number in (1, 2):
        hub.handle(ANN, telling(f"n{number}", "a", number))
    assert code_of(hub, telling("n3", "a", 3)) == "too_much_told"
    assert remembered(hub, "a") == 2
    with hub.database.read(UNBOUNDED) as transaction:
        assert transaction.ledger.client("n3") is None, "nothing is done by half"
    again: Any = hub.handle(ANN, telling("n3", "a", 2))  # what is known is not remembered again
    assert again.replica == "n3" and remembered(hub, "a") == 2
    registered(hub, "b", BOB)
    hub.handle(BOB, telling("n4", "b", 4))  # somebody else's file has room of its own
    wall.now += (hub.limits.keep_sent + 1) * 1000
    hub.prune()
    hub.handle(ANN, telling("n5", "a", 3))


def test_l11_what_all_files_tell_of_rejected_edits_is_bounded() -> None:
    wall = Wall()
    hub = hub_with(wall, told_total_bytes=2500)
    for number, name in enumerate(("a", "b", "c"), 1):
        registered(hub, name)
        request = telling(f"n{number}", name, number)
        if number < 3:
            hub.handle(ANN, request)
        else:
            assert code_of(hub, request) == "too_much_told"
    wall.now += (hub.limits.keep_sent + 1) * 1000
    hub.prune()
    hub.handle(ANN, telling("n3", "c", 3))


def test_the_watermarks_that_are_kept_with_an_upload_are_bounded() -> None:
    hub = hub_with(Wall())
    known = registered(hub, "a")
    bases = ["w" * 30_000] * 200
    with pytest.raises(TooLarge):
        hub.handle(ANN, m.BeginPush("a", 1, known.schema, bases, "whole", 9, 9))


def test_only_so_many_verify_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "VERIFY_WAIT", 0.05)
    hub = hub_with(Wall(), verifies=1)
    known = registered(hub, "a")
    verify = m.Verify("a", known.schema, known.watermark)
    inside, go = threading.Event(), threading.Event()
    read = hub.database.read

    def slow(scope: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            assert go.wait(20)
        return read(scope)

    monkeypatch.setattr(hub.database, "read", slow)
    asking = threading.Thread(target=hub.handle, args=(ANN, verify))
    asking.start()
    assert inside.wait(20)
    assert code_of(hub, verify) == "hub_busy"
    go.set()
    asking.join()
    assert isinstance(hub.handle(ANN, verify), m.Verified)


def test_both_kinds_may_be_tried_again_by_a_machine() -> None:
    assert HubBusy.retry
    assert QuotaReached.retry
