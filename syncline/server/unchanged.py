"""The everyday answer, "nothing new", given again without the hub while nothing was committed.

A device that has all there is asks the same question again and again, to the letter. As long as the central
database stands at the instant at which "nothing new" was found true, it is true (law L4): whoever asks then
gets the bytes of the first answer. Where the database stands is asked after each question came in, once for
all that wait for it, so that an answer is never older than its question. A commit of anybody ends all that.

    asked once: the hub answers -> asked again: the instant, then the hub -> asked again: the instant alone
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import RunVar
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.errors import SynclineError
from syncline.model.actor import Actor
from syncline.protocol import codec
from syncline.protocol.messages import Changes, Pull
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import BY_REQUEST
from syncline.protocol.versions import HEADER
from syncline.server.centre import Instants
from syncline.server.door import Door
from syncline.server.lanes import Lanes

logger = logging.getLogger("syncline.server")

ROUTE = BY_REQUEST[Pull]

HEADERS = frozenset((b"accept", b"accept-encoding", HEADER.lower().encode()))
"""What an answer depends on besides the question and who asks it."""

KEEP_SECONDS = 30.0
"""For so long an answer is given again: a hub notes once a minute that a replica was there."""

LOOK_SECONDS = 2.5
"""So long after a commit answers are kept no longer than that: a hub looks every two seconds whether it has
altered tables, and is asked once more when it certainly has looked since."""

MOST = 100_000
"""Questions that are remembered at once."""

NOTHING_NEW = frozenset(codec.encode(Changes(), form) for form in Form)

Question = tuple[bytes, tuple[tuple[bytes, bytes], ...]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """Messages of its own: who sends one on may add to it."""

    start: Message
    body: Message
    end: float

    def messages(self) -> tuple[Message, Message]:
        return _copied(self.start), dict(self.body)


def _copied(start: Message) -> Message:
    return {**start, "headers": list(start.get("headers", ()))}


class _Look:
    """Where the database stands, asked once for all who came before it was asked. None: it cannot be."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.instant: object = None


@dataclass(slots=True)
class _Memory:
    """What is known within one event loop: what was asked lately, and the answers that hold at `instant`."""

    asked: set[Question] = field(default_factory=set)
    instant: object = None
    since: float = 0.0
    answers: dict[tuple[Question, Actor], _Answer] = field(default_factory=dict)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    next: _Look | None = None

    def move(self, instant: object) -> None:
        """The database stands there now."""
        if instant != self.instant:
            self.instant, self.since = instant, time.monotonic()
            self.answers.clear()

    def bound(self) -> None:
        """Forget everything if it has become too much."""
        if len(self.asked) > MOST:
            self.asked.clear()
            self.answers.clear()


class Unchanged:
    """An ASGI application before that of the hub, which is asked what cannot be answered here."""

    def __init__(self, app: ASGIApp, hub: Instants, door: Door, lanes: Lanes) -> None:
        self._app, self._hub, self._door, self._lanes = app, hub, door, lanes
        self._memory: RunVar[_Memory] = RunVar(f"syncline unchanged {id(self)}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].endswith(ROUTE.path):
            await self._app(scope, receive, send)
            return
        memory, question = self._here(), _question(scope)
        if question not in memory.asked:
            await self._app(scope, receive, _Listener(send, lambda *_: memory.asked.add(question)))
            return
        actor = await self._door.actor(ROUTE, Request(scope))
        instant = None if actor is None else await self._look(memory)
        if actor is None or instant is None:
            await self._app(scope, receive, send)
            return
        now, settled = time.monotonic(), memory.since + LOOK_SECONDS
        answer = memory.answers.get((question, actor)) if instant == memory.instant else None
        if answer is not None and now < answer.end:
            for message in answer.messages():
                await send(message)
            return
        end = now + KEEP_SECONDS if now >= settled else settled

        def keep(start: Message, body: Message) -> None:
            if instant == memory.instant:
                memory.answers[question, actor] = _Answer(start, body, end)

        await self._app(scope, receive, _Listener(send, keep))

    def _here(self) -> _Memory:
        try:
            memory = self._memory.get()
        except LookupError:
            memory = _Memory()
            self._memory.set(memory)
        memory.bound()
        return memory

    async def _look(self, memory: _Memory) -> object:
        """Where the database stands, asked after this was called."""
        look = memory.next
        if look is not None:
            await look.done.wait()
            return look.instant
        look = memory.next = _Look()
        try:
            async with memory.turn:
                memory.next = None  # whoever comes from now on waits for the next one
                look.instant = await self._lanes.probe(self._hub.instant)
                memory.move(look.instant)
        except SynclineError as error:  # what that means to a request the hub says
            logger.debug("the instant is not known: %s", error.detail, extra={"action": "instant"})
        finally:
            if memory.next is look:
                memory.next = None
            look.done.set()
        return look.instant


class _Listener:
    """Passes an answer on; `keep` is told of one that says that nothing is new."""

    def __init__(self, send: Send, keep: Callable[[Message, Message], None]) -> None:
        self._send, self._keep = send, keep
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = _copied(message) if message["status"] == 200 else None
        elif self._start is not None and message.get("body") in NOTHING_NEW and not message.get("more_body"):
            self._keep(self._start, dict(message))
        await self._send(message)


def _question(scope: Scope) -> Question:
    """What is asked, to the letter."""
    return scope["query_string"], tuple(pair for pair in scope["headers"] if pair[0] in HEADERS)
