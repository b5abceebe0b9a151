"""Several `serve` processes behind one listening socket: `syncline serve --workers`.

    SIGTERM, SIGINT   end them all; what was begun is finished
    SIGHUP            renew them one after the other; the next ends when its successor answers
    a worker ends     another one takes its place

The workers share nothing but the socket and the central database. Should this process be killed, each of them
reads the end of its input and ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.cli import output
from syncline.errors import TransportError

END_SECONDS = 20.0
"""How long a worker may take to finish what it has begun before it is killed."""

LOOK_SECONDS = 0.1
"""How often, while a worker starts, it is looked whether all are to end."""

PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds before another start of a worker that did not come up, the last one again and again."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class Place:
    """Where one worker stands; without a process it is started again when `due`."""

    process: subprocess.Popen[str] | None = None
    failures: int = 0
    due: float = 0.0


class Workers:
    """`count` processes of `command`, which take the descriptor of a bound socket as `--fd`."""

    def __init__(self, command: Sequence[str], listening: socket.socket, count: int) -> None:
        self._command = [*command, "--fd", str(listening.fileno())]
        self._listening = listening
        self._places = [Place() for _ in range(count)]
        self._caught: set[int] = set()

    def run(self, announce: Callable[[dict[str, Any]], None]) -> None:
        """Keep the workers running until SIGTERM or SIGINT. For the main thread.

        `announce` is called once all of them answer. Raises TransportError if one does not come up, unless
        it was told to end meanwhile."""
        waking, wake = socket.socketpair()
        waking.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda caught, _: self._caught.add(caught))
        try:
            said = self._start_all()
            if said is not None:
                announce(said)
            while not self._ended():
                self._look_after()
                select.select([waking], [], [], self._until_due())
                _drain(waking)
        finally:
            self._end_all()
            signal.set_wakeup_fd(-1)

    def _start_all(self) -> dict[str, Any] | None:
        """What the first one says; None if a signal to end came first."""
        for place in self._places:
            place.process = self._start()
        lines = [self._first_line(place.process) for place in self._places if place.process is not None]
        if self._is_ending():
            return None
        if not all(lines):
            raise TransportError(
                "a worker did not come up", code="server_not_started", remedy="See what it said above."
            )
        said: dict[str, Any] = json.loads(lines[0])
        return said

    def _ended(self) -> bool:
        if signal.SIGHUP in self._caught and not self._is_ending():
            self._caught.discard(signal.SIGHUP)
            self._renew()
        return self._is_ending()

    def _is_ending(self) -> bool:
        return signal.SIGTERM in self._caught or signal.SIGINT in self._caught

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        """What a worker says when it answers requests; empty if it ended before, or if all are to end."""
        assert process.stdout is not None
        while not self._is_ending():
            if select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
                return process.stdout.readline()
        return ""

    def _look_after(self) -> None:
        """Start another worker for each that has ended."""
        now = time.monotonic()
        for place in self._places:
            if place.process is not None and place.process.poll() is not None:
                output.message(f"worker {place.process.pid} ended ({place.process.returncode})")
                _close(place.process)
                place.process = None
            if place.process is None and place.due <= now:
                self._fill(place)

    def _fill(self, place: Place) -> bool:
        process = self._start()
        if self._first_line(process):
            place.process, place.failures, place.due = process, 0, 0.0
            return True
        _end(process)
        place.due = time.monotonic() + PAUSES[min(place.failures, len(PAUSES) - 1)]
        place.failures += 1
        return False

    def _renew(self) -> None:
        for place in self._places:
            before = place.process
            if not self._fill(place):
                if self._is_ending():
                    return
                output.message("a new worker did not come up; the old ones stay")
                return
            if before is not None:
                _end(before)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[self._listening.fileno()],
        )

    def _until_due(self) -> float | None:
        waiting = [place.due for place in self._places if place.process is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _end_all(self) -> None:
        running = [place.process for place in self._places if place.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            _end(process)


def end_with_parent() -> None:
    """In a worker: end like after SIGTERM when the standard input ends, because the parent is gone."""

    def wait() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="syncline parent", daemon=True).start()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _drain(waking: socket.socket) -> None:
    try:
        while waking.recv(1024):
            pass
    except BlockingIOError:
        pass
