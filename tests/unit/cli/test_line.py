"""The demo's bad line: carries everything but the answer to a push."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from syncline.cli.demo.line import LosesTheAnswer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    posted: threading.Event

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.set()
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def hub() -> Iterator[tuple[str, threading.Event]]:
    posted = threading.Event()
    handler = type("Handler", (Echo,), {"posted": posted})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()
        thread.join()


def test_the_push_arrives_and_its_answer_does_not(hub: tuple[str, threading.Event]) -> None:
    url, posted = hub
    with LosesTheAnswer(url) as line:
        connection = HTTPConnection(line.url.removeprefix("http://"), timeout=0.3)
        connection.request("GET", "/sync/schema")
        assert connection.getresponse().read() == b"ok"
        assert not line.answer_withheld.is_set()
        connection.request("POST", "/sync/changes", b"edits")
        assert line.answer_withheld.wait(5)
        assert posted.is_set()
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
