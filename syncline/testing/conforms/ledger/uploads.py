"""Large pushes on their way."""

from __future__ import annotations

from dataclasses import replace

from syncline.hub.contract import Upload, UploadedChunk
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World


class UploadConformance:
    """`lock_upload`, `save_upload`, `forget_upload`, `sweep_uploads`, and the chunks."""

    def test_an_upload_is_kept_chunk_by_chunk_and_replaced(self, world: World) -> None:
        upload = Upload("r1", 4, "d", "f", 3, 10, ["w1", "w2"])
        chunk = UploadedChunk("c2", b"\x00body", b"")
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.lock_upload("r1") is None
            assert transaction.ledger.uploads_size() == 0
            transaction.ledger.save_upload(upload)
            transaction.ledger.save_chunk("r1", 2, chunk)
            transaction.ledger.save_chunk("r1", 1, chunk)
            transaction.ledger.save_chunk("r1", 1, UploadedChunk("c1", b"", b"\x01details"))
        with world.database.write(UNBOUNDED) as transaction:
            assert transaction.ledger.lock_upload("r1") == upload
            assert transaction.ledger.chunks_kept("r1") == [(1, "c1", 8), (2, "c2", 5)]
            assert transaction.ledger.uploads_size() == 13
            assert transaction.ledger.uploaded_chunk("r1", 1) == UploadedChunk("c1", b"", b"\x01details")
            assert transaction.ledger.uploaded_chunk("r1", 3) is None
            transaction.ledger.save_upload(replace(upload, digest="e", chunks=1), keep=True)
            assert transaction.ledger.lock_upload("r1") == replace(upload, digest="e", chunks=1)
            assert transaction.ledger.chunks_kept("r1") == [(1, "c1", 8)]
            transaction.ledger.save_upload(replace(upload, number=5))
            assert transaction.ledger.lock_upload("r1") == replace(upload, number=5)
            assert transaction.ledger.chunks_kept("r1") == []

    def test_an_upload_is_forgotten_or_swept_with_its_chunks(self, world: World) -> None:
        with world.database.write(UNBOUNDED) as transaction:
            for replica in ("r1", "r2"):
                transaction.ledger.save_upload(Upload(replica, 4, "d", "f", 3, 10, ["w"]))
                transaction.ledger.save_chunk(replica, 1, UploadedChunk("c", b"b", b""))
            transaction.ledger.forget_upload("r1")
            transaction.ledger.sweep_uploads(3600)
            assert transaction.ledger.chunks_kept("r1") == []
            assert transaction.ledger.chunks_kept("r2") != []
        with world.database.write(UNBOUNDED) as transaction:
            transaction.ledger.sweep_uploads(-3600)
            assert transaction.ledger.lock_upload("r2") is None
            assert transaction.ledger.chunks_kept("r2") == []
