"""Large pushes on their way, chunk by chunk."""

from __future__ import annotations

import json
import sqlite3

from syncline.databases.sqlite.sql import WALL
from syncline.hub.database import Upload, UploadedChunk


class UploadKeeping:
    """The part of `hub.database.WriteTransaction` that keeps uploads."""

    connection: sqlite3.Connection

    def lock_upload(self, replica: str) -> Upload | None:
        row = self.connection.execute(
            'SELECT replica, number, digest, schema, chunks, "rows", bases FROM _sync_hub_upload'
            " WHERE replica = ?",
            (replica,),
        ).fetchone()
        if row is None:
            return None
        replica, number, digest, schema, chunks, count, bases = row
        return Upload(replica, number, digest, schema, chunks, count, json.loads(bases))

    def save_upload(self, upload: Upload, *, keep: bool = False) -> None:
        self._forget_chunks(upload.replica, upload.chunks if keep else 0)
        self.connection.execute(
            f"REPLACE INTO _sync_hub_upload VALUES (?, ?, ?, ?, ?, ?, ?, {WALL})",
            (
                upload.replica,
                upload.number,
                upload.digest,
                upload.schema,
                upload.chunks,
                upload.rows,
                json.dumps(upload.bases),
            ),
        )

    def forget_upload(self, replica: str) -> None:
        self._forget_chunks(replica, 0)
        self.connection.execute("DELETE FROM _sync_hub_upload WHERE replica = ?", (replica,))

    def _forget_chunks(self, replica: str, after: int) -> None:
        self.connection.execute(
            "DELETE FROM _sync_hub_chunk WHERE replica = ? AND chunk > ?", (replica, after)
        )

    def sweep_uploads(self, seconds: float) -> None:
        old = self.connection.execute(
            f"SELECT replica FROM _sync_hub_upload WHERE begun < {WALL} - ?", (seconds * 1000,)
        ).fetchall()
        for (replica,) in old:
            self.forget_upload(replica)

    def save_chunk(self, replica: str, chunk: int, content: UploadedChunk) -> None:
        self.connection.execute(
            "INSERT INTO _sync_hub_chunk (replica, chunk, digest, details, body) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (replica, chunk) DO UPDATE SET digest = excluded.digest,"
            " details = excluded.details, body = excluded.body",
            (replica, chunk, content.digest, content.details, content.body),
        )

    def chunks_kept(self, replica: str) -> list[tuple[int, str, int]]:
        return self.connection.execute(
            "SELECT chunk, digest, length(body) + length(details) FROM _sync_hub_chunk"
            " WHERE replica = ? ORDER BY chunk",
            (replica,),
        ).fetchall()

    def uploaded_chunk(self, replica: str, chunk: int) -> UploadedChunk | None:
        row = self.connection.execute(
            "SELECT digest, body, details FROM _sync_hub_chunk WHERE replica = ? AND chunk = ?",
            (replica, chunk),
        ).fetchone()
        return None if row is None else UploadedChunk(*row)
