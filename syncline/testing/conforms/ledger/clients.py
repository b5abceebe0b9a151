"""The registry of replicas."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from syncline.hub.contract import Client, Counted, Remembered, Stamped
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World


class ClientConformance:
    """`client`, `clients`, `lock_client`, `save_client`, `drop_client`."""

    def test_a_replica_is_kept_and_replaced(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.lock_client("r1") is None
            transaction.ledger.save_client(Client("r1", 1, "abc", b"\x00verdict", "now", None))
        first = world.read(lambda transaction: transaction.ledger.client("r1"))
        assert (first.number, first.digest, first.verdict, first.last_pull) == (
            1,
            "abc",
            b"\x00verdict",
            None,
        )
        assert datetime.fromisoformat(first.last_push).tzinfo is not None
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.lock_client("r1") == first
            transaction.ledger.save_client(Client("r1", 2, "def", b"", first.last_push, "now"))
        second = world.read(lambda transaction: transaction.ledger.client("r1"))
        assert (second.number, second.digest, second.verdict) == (2, "def", b"")
        assert second.last_push == first.last_push
        assert second.last_pull is not None
        assert world.read(lambda transaction: transaction.ledger.client("r2")) is None

    def test_l3_a_replicas_record_is_undone_with_its_transaction(self, world: World) -> None:
        try:
            with world.database.write(UNBOUNDED) as transaction:
                transaction.ledger.save_client(Client("r1", 1))
                raise RuntimeError
        except RuntimeError:
            pass
        assert world.read(lambda transaction: transaction.ledger.client("r1")) is None

    def test_the_replicas_are_listed_and_dropped(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.save_client(
                Client("r2", 3, name="van", fingerprint="f", registered="now", last_seen="now", watermark="w")
            )
            transaction.ledger.save_client(Client("r1", 1, "abc", b"x", revoked=True, forgotten=True))
        with world.database.read(UNBOUNDED) as transaction:
            first, second = transaction.ledger.clients("", 10)
            assert transaction.ledger.clients("r1", 10) == [second]
            assert transaction.ledger.client("r2") == second
        assert (first.replica, first.number, first.verdict, first.revoked, first.forgotten) == (
            "r1", 1, b"", True, True,
        )  # fmt: skip
        assert (second.name, second.fingerprint, second.watermark, second.revoked) == ("van", "f", "w", False)
        assert second.registered is not None
        assert second.last_seen == second.registered
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.drop_client("r2")
        with world.database.read(UNBOUNDED) as transaction:
            assert [client.replica for client in transaction.ledger.clients("", 10)] == ["r1"]

    def test_replicas_are_counted_and_those_never_heard_of_again_removed(self, world: World) -> None:
        old = "2026-01-02T03:04:05.000Z"
        with world.database.write(UNBOUNDED) as transaction:
            ledger = transaction.ledger
            assert ledger.count_clients("ann", 60) == Counted(0, 0, 0)
            ledger.save_client(Client("r1", registered="now", actor="ann"))
            ledger.save_client(Client("r2", registered=old, actor="ann"))
            ledger.save_client(Client("r3", registered=old, actor="ann", revoked=True))
            ledger.save_client(Client("r4", registered=old, last_pull=old, actor="ann"))
            ledger.save_client(Client("r5", 1, registered=old, last_push=old, actor="ann"))
            ledger.save_client(Client("r6", registered="now", actor="bob", root="r7"))
            ledger.save_client(Client("r7", registered=old, actor="bob"))
            ledger.save_client(Client("r8", 5, registered=old, actor="ann"))  # as it says of itself
            assert ledger.count_clients("ann", 60) == Counted(8, 4, 1)
            assert ledger.count_clients("bob", 60) == Counted(8, 2, 1)
            assert ledger.drop_unused_clients(3600) == 2
            left = [client.replica for client in ledger.clients("", 10)]
            assert left == ["r1", "r3", "r4", "r5", "r6", "r7"], "another id goes on from r7"

    def test_the_ledger_is_read_alone_as_it_was_committed(self, world: World) -> None:
        with world.database.ledger() as ledger:
            ledger.save_client(Client("r1", registered="now", actor="ann"))
        with world.database.reading_ledger() as reading:
            assert [client.replica for client in reading.clients("", 10)] == ["r1"]
            assert reading.setting("nothing") is None

    def test_every_field_of_a_replica_is_kept_as_it_is(self, world: World) -> None:
        full = Client(
            replica="r1",
            number=1 << 40,
            digest="d",
            verdict=bytes(range(256)),
            last_push="2026-01-02T03:04:05.678Z",
            last_pull="1970-01-01T00:00:00.001Z",
            name="van \u05e9 '\"",
            fingerprint="f",
            registered="2026-01-02T03:04:05.000Z",
            last_seen="2999-12-31T23:59:59.999Z",
            watermark="w" * 20_000,
            revoked=True,
            forgotten=False,
            actor="somebody",
            pending=3,
            chain="c",
            root="r0",
            departed=True,
            own="{}",
            asked="2026-01-02T03:04:05.678Z",
        )
        empty = Client("r2")
        with world.database.write(UNBOUNDED) as transaction:
            for client in (full, empty):
                transaction.ledger.save_client(client)
            assert [transaction.ledger.lock_client(name) for name in ("r1", "r2")] == [full, empty]

    def test_ids_that_differ_only_in_case_or_spaces_are_two_replicas(self, world: World) -> None:
        names = ["R", "r", "r ", "\u00e9", "e\u0301", "x" * 100]
        with world.database.write(UNBOUNDED) as transaction:
            for number, name in enumerate(names):
                transaction.ledger.save_client(Client(name, number))
        with world.database.read(UNBOUNDED) as transaction:
            found = [transaction.ledger.client(name) for name in names]
            assert [client and client.number for client in found] == list(range(len(names)))
            paged: list[Client] = []
            while page := transaction.ledger.clients(paged[-1].replica if paged else "", 2):
                paged += page
        assert sorted(client.replica for client in paged) == sorted(names)

    def test_the_schemas_that_replicas_were_given_are_kept(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            before = transaction.ledger.all_given()
            for name in ("one", "two"):
                transaction.ledger.give(name, f'["{name}"]')
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.all_given() == before | {"one", "two"}
            assert transaction.ledger.forget_given([*before, "two"], -1) == 1
            assert transaction.ledger.all_given() == before | {"two"}
            assert transaction.ledger.given("two") == '["two"]'
            assert transaction.ledger.given("one") is None

    def test_l3_the_hub_knows_up_to_when_it_has_forgotten_stamps(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            before = transaction.ledger.milliseconds()
            assert transaction.ledger.forgotten() == 0
            transaction.ledger.remember(Stamped("r1", "r1", 1, bytes(8), b""))
            assert transaction.ledger.forget_stamps(60, 100) == 0
            assert transaction.ledger.forgotten() == 0
            (kept,) = transaction.ledger.stamps_of(["r1"])
            assert before <= kept.made <= transaction.ledger.milliseconds()
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.forget_stamps(-1, 100) == 1
            assert transaction.ledger.forgotten() == kept.made
            assert not list(transaction.ledger.stamps_of(["r1"]))
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.forget_stamps(-1, 100) == 0
        assert world.read(lambda transaction: transaction.ledger.forgotten()) == kept.made

    def test_l11_what_files_told_of_rejected_edits_is_counted_as_long_as_it_is_kept(
        self, world: World
    ) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            ledger = transaction.ledger
            ledger.remember(Stamped("r1", "r2", 3, bytes(800), bytes(8)))  # of a push: not told
            counted = []
            for lineage, number, octets in (("r1", -1, 20), ("r1", -2, 30), ("r3", -1, 100)):
                ledger.remember(Stamped(lineage, "r2", number, bytes(8), bytes(octets)))
                counted.append(ledger.count_told(lineage, 8 + octets))
            assert counted == [(28, 28), (66, 66), (108, 174)]
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.forget_stamps(-1, 100) == 4
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.remember(Stamped("r3", "r2", -2, bytes(8), b""))
            assert transaction.ledger.count_told("r3", 8) == (8, 8)

    def test_many_replicas_and_what_is_remembered_of_them_are_asked_for_at_once(self, world: World) -> None:
        odd = ["r1", "q\"'\\", "\u05e9 \u00e9", "R1"]
        stamps = [Stamped(name, "r", number, bytes(8), b"") for name in odd for number in range(1, 301)]
        with world.database.write(UNBOUNDED) as transaction:
            for name in odd[:3]:
                transaction.ledger.save_client(Client(name))
            for one in stamps:
                transaction.ledger.remember(one)
        with world.database.read(UNBOUNDED) as transaction:
            ledger = transaction.ledger
            many = [f"nobody {number}" for number in range(10_000)]
            assert ledger.known_clients([*many, *odd]) == set(odd[:3])
            assert ledger.known_clients([]) == set() and not list(ledger.stamps_of([]))
            found = list(ledger.stamps_of([*many, *odd[:2], odd[0]]))
            places = list(ledger.pushes_of([*many, *odd[:2], odd[0]]))
            assert places == [Remembered(one.lineage, one.replica, one.push, one.made) for one in found]
            assert [ledger.stamps(one) for one in places[::97]] == found[::97]
            assert ledger.stamps(replace(places[0], push=301)) is None and not list(ledger.pushes_of([]))
        assert len(found) == 600 and {one.lineage for one in found} == set(odd[:2])
        assert {(one.lineage, one.push) for one in found} == {(one.lineage, one.push) for one in stamps[:600]}
