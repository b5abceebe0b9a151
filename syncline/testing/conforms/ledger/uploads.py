"""Large pushes on their way."""

from __future__ import annotations

from dataclasses import replace

from syncline.hub.database import Upload, UploadedChunk
from syncline.testing.centre import World


class UploadConformance:
    """`lock_upload`, `save_upload`, `forget_upload`, `sweep_uploads`, and the chunks."""

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
