"""Bytes on the wire: what a batch of one-column updates costs each way, after compression."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import syncline
from bench import rows
from bench.centres import Centre
from bench.figures import Figure, most
from bench.world import World
from syncline.model.actor import Actor
from syncline.protocol import codec, compression
from syncline.protocol.messages import Changes, Push, Request, Response
from syncline.protocol.negotiation import Form

SECTION = "wire"


@dataclass
class Scales:
    """Stands before a hub and weighs what passes, encoded and compressed as over HTTP."""

    hub: syncline.Hub
    requests: list[tuple[Request, int]] = field(default_factory=list)
    answers: list[tuple[Response, int]] = field(default_factory=list)

    def handle(self, actor: Actor, request: Request) -> Response:
        self.requests.append((request, weight(request)))
        answer = self.hub.handle(actor, request)
        self.answers.append((answer, weight(answer)))
        return answer

    def clear(self) -> None:
        self.requests.clear()
        self.answers.clear()


def weight(message: Any) -> int:
    """Body bytes, as the transport would send them."""
    content = codec.encode(message, Form.MSGPACK)
    if len(content) < compression.THRESHOLD:
        return len(content)
    return len(compression.compress(content, compression.CODINGS[0]))


def measure(world: World) -> list[Figure]:
    """Batches of one-column updates of 1,000 rows, up and down."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _weigh(world, centre)]


def _weigh(world: World, centre: Centre) -> list[Figure]:
    batch = 1_000
    centre.fill(world.size(20_000, 2_000))
    up: list[float] = []
    down: list[float] = []
    plain: list[float] = []
    with syncline.Hub(centre.url, tables={"item": syncline.Table(merge={"quantity": "sum"})}) as hub:
        hub.init()
        scales: Any = Scales(hub)
        file, other = world.path("sender.db"), world.path("receiver.db")
        with syncline.clone(scales, str(file)) as sender, syncline.clone(scales, str(other)) as receiver:
            for run in range(world.runs):
                plain.append(_update(file, batch, run))
                scales.clear()
                sender.push()
                up.append(_total(scales.requests, Push) / batch)
                scales.clear()
                receiver.pull()
                down.append(_total(scales.answers, Changes) / batch)
    name = f"one-column updates, batch of {batch:,}"
    targets, note = [most(26), most(0.06, "ratio")], "bare: full-row JSON"
    return [
        Figure(SECTION, centre.kind, f"{way} {name}", "B each", sizes, plain, targets, note)
        for way, sizes in (("push", up), ("pull", down))
    ]


def _total(messages: list[tuple[Any, int]], kind: type) -> int:
    """Bytes of the messages of one kind; a pull that says nothing new is left out."""
    return sum(size for message, size in messages if isinstance(message, kind))


def _update(file: Path, batch: int, run: int) -> float:
    """Set one column of `batch` rows spread over the table; bytes of one such change as full-row JSON."""
    with closing(sqlite3.connect(file)) as connection:
        keys = [key for (key,) in connection.execute("SELECT id FROM item ORDER BY id")][run::2][:batch]
        for number, key in enumerate(keys):
            with connection:
                query = "UPDATE item SET title = ? WHERE id = ?"
                connection.execute(query, (f"Delivered {number * 37 % 997}", key))
        found = connection.execute(
            f"SELECT * FROM item WHERE id IN ({', '.join('?' * len(keys))})", keys
        ).fetchall()
    plain = [
        {"table": "item", "op": "update", "row": dict(zip(rows.COLUMNS, row, strict=True))} for row in found
    ]
    return len(json.dumps(plain)) / len(keys)
