"""Large pushes on their way, chunk by chunk."""

from __future__ import annotations

import json

from syncline.databases.postgresql.errors import translating
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import queries
from syncline.hub.database import Upload, UploadedChunk


class UploadKeeping:
    """The part of the contract's `WriteTransaction` that keeps uploads."""

    _session: Session

    def lock_upload(self, replica: str) -> Upload | None:
        """The upload, locked until the end."""
        rows = self._asked("lock upload", replica)
        if not rows:
            return None
        replica, number, digest, schema, chunks, count, bases = rows[0]
        return Upload(replica, number, digest, schema, chunks, count, json.loads(bases))

    def save_upload(self, upload: Upload, *, keep: bool = False) -> None:
        """Keep it; another one of the replica's goes."""
        self._told("forget chunks", upload.replica, upload.chunks if keep else 0)
        self._told(
            "save upload",
            upload.replica,
            upload.number,
            upload.digest,
            upload.schema,
            upload.chunks,
            upload.rows,
            json.dumps(upload.bases),
        )

    def forget_upload(self, replica: str) -> None:
        """Remove the upload and its chunks."""
        self._told("forget upload", replica)
        self._told("forget chunks", replica, 0)

    def sweep_uploads(self, seconds: float) -> None:
        """Remove what was begun longer ago."""
        self._told("sweep uploads", seconds)

    def save_chunk(self, replica: str, chunk: int, content: UploadedChunk) -> None:
        """Insert or replace a chunk."""
        self._told("save chunk", replica, chunk, content.digest, content.body, content.details)

    def chunks_kept(self, replica: str) -> list[tuple[int, str, int]]:
        """Number, digest and size of each chunk."""
        return [(chunk, digest, size) for chunk, digest, size in self._asked("chunks kept", replica)]

    def uploaded_chunk(self, replica: str, chunk: int) -> UploadedChunk | None:
        """One chunk."""
        rows = self._asked("uploaded chunk", replica, chunk)
        return UploadedChunk(*rows[0]) if rows else None

    def _asked(self, query: str, *values: object) -> Rows:
        with translating():
            return self._session.run(queries("write.sql")[query], *values)

    def _told(self, query: str, *values: object) -> None:
        with translating():
            self._session.count(queries("write.sql")[query], *values)
