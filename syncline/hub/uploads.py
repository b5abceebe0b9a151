"""Large pushes: begin, chunks, prepare, commit, forget. Uploads lie in the central database, so that any
server process goes on with what another one began.

A replica has one upload at a time. It stays until the replica forgets it, begins another one, or a day has
passed: a repeated commit answers with the rows as they are now, and asks the chunks which they are.
"""

from __future__ import annotations

import logging

from syncline.errors import Malformed, TooLarge, UnknownUpload
from syncline.hub.contract import Client, Upload, UploadedChunk, WriteTransaction
from syncline.hub.gate import Caller, Handlers
from syncline.hub.knowledge import Knowledge
from syncline.hub.large import Chunks, LargeReceiver
from syncline.hub.quotas import BASES_BYTES, Quotas, check_upload
from syncline.hub.receive import check_step
from syncline.hub.requests import Requests
from syncline.hub.retention import UPLOAD_SECONDS
from syncline.protocol import messages as m
from syncline.protocol.body import check_digest, pack_details
from syncline.protocol.limits import check_begun

logger = logging.getLogger("syncline.hub")


class Uploads:
    """The handlers of the requests about large pushes. What a push amounts to is decided by `requests`."""

    def __init__(self, central: Knowledge, requests: Requests, quotas: Quotas) -> None:
        self._central, self._requests, self._quotas = central, requests, quotas

    def handlers(self) -> Handlers:
        return {
            m.BeginPush: self.begin,
            m.PushChunk: self.keep,
            m.PreparePush: self.prepare,
            m.CommitPush: self.commit,
            m.ForgetPush: self.forget,
        }

    def begin(self, caller: Caller, request: m.BeginPush) -> m.PushBegun:
        """Announce an upload, or ask how far it is."""
        self._central.sender(request.schema)
        check_begun(request, self._central.limits)
        if sum(map(len, request.bases)) > BASES_BYTES:
            raise TooLarge(f"the watermarks that the push names are longer than {BASES_BYTES} characters")
        upload = Upload(
            request.replica,
            request.number,
            request.digest,
            request.schema,
            request.chunks,
            request.rows,
            request.bases,
        )

        def work(transaction: WriteTransaction, client: Client | None) -> list[int]:
            check_step(client, request)
            transaction.ledger.sweep_uploads(UPLOAD_SECONDS)
            before = transaction.ledger.lock_upload(request.replica)
            if before != upload:
                transaction.ledger.save_upload(upload, keep=before is not None and _is_draft(before, request))
            return [number for number, _, _ in transaction.ledger.chunks_kept(request.replica)]

        have = caller.write(work)
        logger.info(
            "began large push",
            extra={"action": "begin_push", "replica": request.replica, "number": request.number,
                   "rows": request.rows, "chunks": request.chunks, "have": len(have)},
        )  # fmt: skip
        return m.PushBegun(request.number, have)

    def keep(self, caller: Caller, request: m.PushChunk) -> m.ChunkKept:
        """Keep one chunk. The last one sent of a number counts."""
        check_digest(request.groups, request.digest)
        content = UploadedChunk(request.digest, bytes(request.groups), pack_details(request.details))

        def work(transaction: WriteTransaction, _: Client | None) -> None:
            upload = self._known(transaction, request.replica, request.number, request.push)
            if request.chunk > upload.chunks:
                raise Malformed(f"chunk {request.chunk} of {upload.chunks}")
            sizes = [size for number, _, size in transaction.ledger.chunks_kept(request.replica)
                     if number != request.chunk]  # fmt: skip
            total = sum(sizes) + len(content.body) + len(content.details)
            if total > self._central.limits.push_total_bytes:
                raise TooLarge(
                    f"push {request.number} holds more than {self._central.limits.push_total_bytes} bytes"
                )
            check_upload(transaction.ledger, len(content.body) + len(content.details), self._quotas)
            transaction.ledger.save_chunk(request.replica, request.chunk, content)

        caller.write(work)
        return m.ChunkKept(request.number, request.chunk)

    def prepare(self, caller: Caller, request: m.PreparePush) -> m.Verdict:
        """The verdict, without doing it."""
        return self._requests.foreseen(caller, self._receiver(caller, request))

    def commit(self, caller: Caller, request: m.CommitPush) -> m.Verdict:
        """Do it."""
        return self._requests.decided(caller, request, self._receiver(caller, request))

    def forget(self, caller: Caller, request: m.ForgetPush) -> m.PushForgotten:
        """Forget the upload, if it is the one the replica has."""

        def work(transaction: WriteTransaction, _: Client | None) -> None:
            upload = transaction.ledger.lock_upload(request.replica)
            if upload is not None and upload.number == request.number:
                transaction.ledger.forget_upload(request.replica)

        caller.write(work)
        return m.PushForgotten(request.number)

    def _receiver(self, caller: Caller, request: m.PreparePush | m.CommitPush) -> LargeReceiver:
        central = self._central
        sender = central.sender(request.schema)
        upload = caller.write(
            lambda transaction, _: self._known(transaction, request.replica, request.number, request.digest)
        )
        chunks = Chunks(upload, sender, central.limits, central.tolerance)
        bases = self._requests.bases(upload.bases)
        told = self._requests.told(caller, request)
        rows = central.limits.push_rows
        return LargeReceiver(sender, request, (), bases, central.tolerance, told, chunks, rows)

    @staticmethod
    def _known(transaction: WriteTransaction, replica: str, number: int, digest: str) -> Upload:
        upload = transaction.ledger.lock_upload(replica)
        if upload is None or (upload.number, upload.digest) != (number, digest):
            raise UnknownUpload(f"the hub has no chunks of push {number} of replica {replica}")
        return upload


def _is_draft(upload: Upload, request: m.BeginPush) -> bool:
    """Whether the chunks that are there were sent ahead of what is announced now."""
    announced = upload.number, upload.schema, upload.digest
    return bool(request.draft) and announced == (request.number, request.schema, request.draft)
