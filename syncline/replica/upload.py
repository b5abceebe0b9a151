"""Step 4 for a push that does not fit one request: its chunks go up one by one, then it is committed.

The hub says which chunks it has, so a push that broke off goes on at the chunk where it broke (law L3: one
push, one number, one digest). A hub that has forgotten the upload is given it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Raw

from syncline.errors import BodyRefused, DigestMismatch, ProtocolError, SynclineError, UnknownUpload
from syncline.protocol.body import count_rows, open_push
from syncline.protocol.flows import Flow
from syncline.protocol.messages import (
    BeginPush,
    ChunkKept,
    CommitPush,
    Detail,
    ForgetPush,
    PreparePush,
    Pull,
    PushBegun,
    PushChunk,
    PushForgotten,
    Request,
    Response,
    Verdict,
)
from syncline.replica.answers import check_places
from syncline.replica.details import RowId
from syncline.replica.device import Device
from syncline.replica.identity import Provenance
from syncline.replica.session import ask

logger = logging.getLogger("syncline.replica")
R = TypeVar("R", bound=Response)

ROUNDS = 20
"""How often the hub may ask for further details, or forget the upload, during one push."""

FEW = 2_000
"""More details than this travel with their chunks."""

Chunk = tuple[int, str, bytes]
"""Number, digest and body."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A push in chunks. `chunks` reads them anew at every call, one at a time, but for those whose numbers it
    is given; `lookup` finds details; `put` is told how many chunks the hub has; `draft` is the name under
    which it may have some already."""

    device: Device
    number: int
    fingerprint: str
    digest: str
    bases: list[str]
    count: int
    rows: int
    chunks: Callable[[Container[int]], Iterator[Chunk]]
    lookup: Callable[[Sequence[RowId]], list[Detail]]
    put: Callable[[int], None]
    draft: str = ""
    told: Provenance | None = None
    """Of the push in flight; None for one that is only shown."""

    @property
    def replica(self) -> str:
        return self.device.store.state().replica

    def committed(self, pull: Pull | None) -> Flow[Verdict]:
        """Upload what is missing and have it done."""

        def request(known: list[Detail]) -> Request:
            told = self.told
            assert told is not None, "what is done is in flight"
            return CommitPush(
                self.replica,
                self.number,
                self.fingerprint,
                self.digest,
                known,
                pull,
                before=told.before,
                stamps=told.stamps,
                carried=told.carried,
                horizon=told.horizon,
                offered=told.offered,
            )

        return (yield from self._decided(request))

    def prepared(self) -> Flow[Verdict]:
        """Upload what is missing and learn the verdict, without its being done."""

        def request(known: list[Detail]) -> Request:
            return PreparePush(self.replica, self.number, self.fingerprint, self.digest, known)

        return (yield from self._decided(request))

    def forget(self) -> Flow[None]:
        """Tell the hub that it may forget the upload. It does so by itself in time, so a failure is none."""
        try:
            yield from ask(ForgetPush(self.replica, self.number), PushForgotten)
        except SynclineError as error:
            logger.info(
                "could not say that an upload is done with: %s",
                error.detail,
                extra={"action": "forget_push", "number": self.number},
            )

    def _decided(self, request: Callable[[list[Detail]], Request]) -> Flow[Verdict]:
        known: dict[tuple[int, str], Detail] = {}
        yield from self._upload()
        for _ in range(ROUNDS):
            few = list(known.values()) if len(known) <= FEW else []
            try:
                verdict = yield from ask(request(few), Verdict)
            except DigestMismatch:
                yield from self.forget()
                yield from self._upload()
            except UnknownUpload:
                yield from self._upload()
            else:
                check_places(verdict, self.device.known)
                if not verdict.wanted:
                    return verdict
                wanted = [(n, tuple(key)) for n, key in verdict.wanted]
                known |= {(found.table, repr(found.key)): found for found in self.lookup(wanted)}
                if len(known) > FEW:
                    yield from self._put_details(known)
        raise ProtocolError("the hub asks for the same details, or for the upload, again and again")

    def _upload(self) -> Flow[None]:
        """Begin, or go on where it broke."""
        for _ in range(ROUNDS):
            begun = yield from ask(
                BeginPush(
                    self.replica,
                    self.number,
                    self.fingerprint,
                    self.bases,
                    self.digest,
                    self.count,
                    self.rows,
                    draft=self.draft,
                ),
                PushBegun,
            )
            have = set(begun.have)
            try:
                yield from self._put_missing(have)
                return
            except UnknownUpload:  # forgotten while it went up: begin again
                continue
        raise ProtocolError("the hub forgets the upload again and again")

    def _put_missing(self, have: set[int]) -> Flow[None]:
        """Send the chunks that the hub has not got. BodyRefused if some are not let through: at once of one
        with several rows, which can be made smaller; else at the end, of all that are of a single row."""
        alone: list[int] = []
        refused: BodyRefused | None = None
        if have:
            self.put(len(have))
        for number, digest, body in self.chunks(frozenset(have)):
            try:
                yield from self._put(number, digest, body, [])
            except BodyRefused as error:
                refused = error
                alone.append(number)
                if count_rows(body) > 1:
                    alone = [number]
                    break
                continue
            have.add(number)
            self.put(len(have))
        if refused is not None:
            refused.chunks = tuple(alone)
            raise refused

    def _put(self, number: int, digest: str, body: bytes, known: list[Detail]) -> Flow[ChunkKept]:
        request = PushChunk(self.replica, self.number, number, self.digest, digest, Raw(body), known)
        return (yield from ask(request, ChunkKept))

    def _put_details(self, known: dict[tuple[int, str], Detail]) -> Flow[None]:
        """Send the chunks that have these rows again, with the details."""
        for number, digest, body in self.chunks(()):
            places = (
                (group.table, repr(row[: self.device.tables[group.table].arity]))
                for group in open_push(body, digest)
                for row in group.rows
            )
            theirs = [known[place] for place in places if place in known]
            if theirs:
                yield from self._put(number, digest, body, theirs)
