"""What the hub keeps in the central database: replicas, conflicts, its clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from syncline.hub.database import Client, ConflictRow, Upload, UploadedChunk
from syncline.testing.centre import World


class KeepingConformance:
    """`client`, `lock_client`, `save_client`, the conflicts, the clock."""

    def test_a_replica_is_kept_and_replaced(self, world: World) -> None:
        with world.database.write() as transaction:
            assert transaction.lock_client("r1") is None
            transaction.save_client(Client("r1", 1, "abc", b"\x00verdict", "now", None))
        first = world.read(lambda transaction: transaction.client("r1"))
        assert (first.number, first.digest, first.verdict, first.last_pull) == (
            1,
            "abc",
            b"\x00verdict",
            None,
        )
        assert datetime.fromisoformat(first.last_push).tzinfo is not None
        with world.database.write() as transaction:
            assert transaction.lock_client("r1") == first
            transaction.save_client(Client("r1", 2, "def", b"", first.last_push, "now"))
        second = world.read(lambda transaction: transaction.client("r1"))
        assert (second.number, second.digest, second.verdict) == (2, "def", b"")
        assert second.last_push == first.last_push
        assert second.last_pull is not None
        assert world.read(lambda transaction: transaction.client("r2")) is None

    def test_l3_a_replicas_record_is_undone_with_its_transaction(self, world: World) -> None:
        try:
            with world.database.write() as transaction:
                transaction.save_client(Client("r1", 1))
                raise RuntimeError
        except RuntimeError:
            pass
        assert world.read(lambda transaction: transaction.client("r1")) is None

    def test_an_upload_is_kept_chunk_by_chunk_and_replaced(self, world: World) -> None:
        upload = Upload("r1", 4, "d", "f", 3, 10, ["w1", "w2"])
        chunk = UploadedChunk("c2", b"\x00body", b"")
        with world.database.write() as transaction:
            assert transaction.lock_upload("r1") is None
            transaction.save_upload(upload)
            transaction.save_chunk("r1", 2, chunk)
            transaction.save_chunk("r1", 1, chunk)
            transaction.save_chunk("r1", 1, UploadedChunk("c1", b"", b"\x01details"))
        with world.database.write() as transaction:
            assert transaction.lock_upload("r1") == upload
            assert transaction.chunks_kept("r1") == [(1, "c1", 8), (2, "c2", 5)]
            assert transaction.uploaded_chunk("r1", 1) == UploadedChunk("c1", b"", b"\x01details")
            assert transaction.uploaded_chunk("r1", 3) is None
            transaction.save_upload(replace(upload, digest="e", chunks=1), keep=True)
            assert transaction.lock_upload("r1") == replace(upload, digest="e", chunks=1)
            assert transaction.chunks_kept("r1") == [(1, "c1", 8)]
            transaction.save_upload(replace(upload, number=5))
            assert transaction.lock_upload("r1") == replace(upload, number=5)
            assert transaction.chunks_kept("r1") == []

    def test_an_upload_is_forgotten_or_swept_with_its_chunks(self, world: World) -> None:
        with world.database.write() as transaction:
            for replica in ("r1", "r2"):
                transaction.save_upload(Upload(replica, 4, "d", "f", 3, 10, ["w"]))
                transaction.save_chunk(replica, 1, UploadedChunk("c", b"b", b""))
            transaction.forget_upload("r1")
            transaction.sweep_uploads(3600)
            assert transaction.chunks_kept("r1") == []
            assert transaction.chunks_kept("r2") != []
        with world.database.write() as transaction:
            transaction.sweep_uploads(-3600)
            assert transaction.lock_upload("r2") is None
            assert transaction.chunks_kept("r2") == []

    def test_conflicts_are_kept_listed_and_resolved(self, world: World) -> None:
        data = {"table": "customer", "key": ["a"], "sent": {"$blob": "AA=="}, "outcome": "open", "hub": 0.1}
        with world.database.write() as transaction:
            ids = transaction.add_conflicts(
                [
                    ConflictRow(0, "r1", 1, True, data),
                    ConflictRow(0, "r2", 1, False, {**data, "outcome": "hub"}),
                    ConflictRow(0, "r1", 2, True, {**data, "column": "\u05e9"}),
                ]
            )
            assert transaction.add_conflicts([]) == []
        assert ids == sorted(ids)
        assert len(set(ids)) == 3

        def listed(replica: str | None, open_only: bool, after: int, limit: int) -> list[int]:
            with world.database.read() as reading:
                return [conflict.id for conflict in reading.conflicts(replica, open_only, after, limit)]

        assert listed(None, False, 0, 10) == ids
        assert listed("r1", False, 0, 10) == [ids[0], ids[2]]
        assert listed(None, True, 0, 10) == [ids[0], ids[2]]
        assert listed(None, False, ids[0], 1) == [ids[1]]
        with world.database.write() as transaction:
            held = transaction.resolve_conflict(ids[0])
            assert held == ConflictRow(ids[0], "r1", 1, True, data)
            transaction.save_resolution(ids[0], "resolved", {"take": "sent"})
            assert transaction.resolve_conflict(ids[2] + 1000) is None
        assert listed(None, True, 0, 10) == [ids[2]]
        with world.database.read() as reading:
            resolved = reading.conflicts(None, False, 0, 1)[0]
        assert not resolved.open
        assert resolved.data == {**data, "outcome": "resolved", "resolution": {"take": "sent"}}

    def test_the_clock_never_goes_back(self, world: World) -> None:
        with world.database.write() as transaction:
            transaction.raise_clock(1 << 60)
            transaction.raise_clock(5)
            assert transaction.clock() == 1 << 60
        with world.database.write() as transaction:
            assert transaction.clock() == 1 << 60

    def test_another_opening_of_the_database_sees_it_all(self, world: World) -> None:
        world.push(world.stage("insert", "tree", [[1, None]]))
        other = world.centre.open()
        assert other.load() == world.schema
        with other.read() as transaction:
            assert transaction.chunk(world.number("tree"), None, 10) == [[1, None]]
        other.close()
