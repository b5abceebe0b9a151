"""A bad line between a device and the hub: carries everything, but not the answer to a push.

What a mobile network does when the train enters the tunnel a moment too early.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

PUSH = b"POST /sync/changes"
CHUNK = 64 * 1024


class LosesTheAnswer:
    """Listens at `url`. `answer_withheld` is set once the hub has begun to answer a push."""

    def __init__(self, hub_url: str) -> None:
        address = urlsplit(hub_url)
        self._hub = (address.hostname or "127.0.0.1", address.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = [self._listening]
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.answer_withheld = threading.Event()

    def __enter__(self) -> LosesTheAnswer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side has closed it already
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                device, _ = self._listening.accept()
            except OSError:
                return  # closed: the block has ended
            hub = socket.create_connection(self._hub)
            self._ends += [device, hub]
            pushing = threading.Event()
            for carry in (self._to_hub, self._to_device):
                threading.Thread(target=carry, args=(device, hub, pushing), daemon=True).start()

    def _to_hub(self, device: socket.socket, hub: socket.socket, pushing: threading.Event) -> None:
        try:
            while data := device.recv(CHUNK):
                if data.startswith(PUSH):
                    pushing.set()
                hub.sendall(data)
        except OSError:
            return

    def _to_device(self, device: socket.socket, hub: socket.socket, pushing: threading.Event) -> None:
        try:
            while data := hub.recv(CHUNK):
                if pushing.is_set():
                    self.answer_withheld.set()
                else:
                    device.sendall(data)
        except OSError:
            return
