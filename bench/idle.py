"""A sync with nothing to do: one request, few bytes, little of the server's time."""

from __future__ import annotations

import http.client
import re
import socket
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import syncline
from bench.centres import Centre
from bench.figures import Figure, least, most
from bench.world import World
from syncline.protocol import compression
from syncline.protocol.messages import PROTOCOL_VERSION, Pull
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import route_of
from syncline.protocol.versions import HEADER

SECTION = "idle"
DEVICES = 32
"""That ask at once."""

HEADERS = {
    "accept": Form.MSGPACK.value,
    "accept-encoding": compression.ACCEPT_ENCODING,
    HEADER: str(PROTOCOL_VERSION),
}


def measure(world: World) -> list[Figure]:
    """Body bytes, the round trip of the bare request, and the whole call on the device."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _idle(world, centre)]


def _idle(world: World, centre: Centre) -> list[Figure]:
    times = world.size(300, 30)
    centre.fill(world.size(10_000, 1_000))
    pulls, health, syncs, size = [], [], [], 0
    rates, bare, costs = [], [], []
    with centre.served() as server:
        file = world.path("idle.db")
        with syncline.clone(server.url, str(file)) as replica:
            replica.sync()
            host = urlsplit(server.url).netloc
            pull = _pull_of(file)
            for _ in range(world.runs):
                with closing(http.client.HTTPConnection(host)) as connection:
                    size = _get(connection, pull)
                    pulls.append(_milliseconds(lambda c=connection: _get(c, pull), times))
                    health.append(_milliseconds(lambda c=connection: _get(c, "/health"), times))
                syncs.append(_milliseconds(replica.sync, times))
                before = server.processor_seconds
                rates.append(_rate(host, pull, times))
                costs.append((server.processor_seconds - before) / (times * DEVICES) * 1e6)
                bare.append(_rate(host, "/health", times))
    return [
        Figure(SECTION, centre.kind, "pull with nothing new, body", "B", [float(size)], (), [most(100)]),
        Figure(
            SECTION, centre.kind, "pull with nothing new, p50", "ms", pulls, health, [most(2)],
            "with the round trip; bare: /health",
        ),
        Figure(SECTION, centre.kind, "sync() with nothing to do, p50", "ms", syncs, health, (),
               "on the device; bare: /health"),
        Figure(SECTION, centre.kind, f"nothing new, {DEVICES} devices at once", "answers/s", rates, bare,
               [least(8_000)], "bare: /health"),
        Figure(SECTION, centre.kind, "processor time of the server for it", "us", costs, (), (),
               "without that of the database"),
    ]  # fmt: skip


def _pull_of(file: Path) -> str:
    """Path and query of the pull that the replica would send now."""
    query = "SELECT watermark, replica, fingerprint FROM _sync_state"
    with closing(sqlite3.connect(file)) as connection:
        watermark, replica, fingerprint = connection.execute(query).fetchone()
    request = Pull(watermark, 1000, replica, fingerprint)
    path, fields = route_of(request).locate(request)
    return f"{path}?{urlencode(fields)}"


def _get(connection: http.client.HTTPConnection, target: str) -> int:
    """One GET on a kept connection; the bytes of the answer's body."""
    connection.request("GET", target, headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{target} answered {answer.status}: {body[:300]!r}")
    return len(body)


def _rate(host: str, target: str, times: int) -> float:
    """Answers a second to DEVICES connections that ask at once, and again when all were answered. The asking
    costs as little as can be, since it takes of the same processors."""
    name, port = host.rsplit(":", 1)
    lines = [
        f"GET {target} HTTP/1.1",
        f"host: {host}",
        *(f"{key}: {value}" for key, value in HEADERS.items()),
    ]
    question = ("\r\n".join(lines) + "\r\n\r\n").encode()
    with ExitStack() as stack:
        devices = [stack.enter_context(socket.create_connection((name, int(port)))) for _ in range(DEVICES)]
        length = 0
        start = time.perf_counter()
        for _ in range(times):
            for device in devices:
                device.sendall(question)
            for device in devices:
                length = _received(device, length)
        return times * DEVICES / (time.perf_counter() - start)


def _received(device: socket.socket, length: int) -> int:
    """Read an answer that is `length` bytes long (0: look); how long it was."""
    answer = b""
    while not length or len(answer) < length:
        more = device.recv(65536)
        if not more:
            raise RuntimeError("the server has hung up")
        answer += more
        head, end, _ = answer.partition(b"\r\n\r\n")
        if not length and end:
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"the server answered {head[:200]!r}")
            body = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
            length = len(head) + len(end) + body
    return length


def _milliseconds(work: Callable[[], object], times: int) -> float:
    """The median of many calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)
