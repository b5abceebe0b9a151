"""The hub over HTTP. Messages travel as MessagePack, compressed when that is worth it."""

from __future__ import annotations

import ipaddress
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, TypeVar, cast
from urllib.request import getproxies

import httpx2
import msgspec

from syncline.errors import BodyRefused, ConfigurationError, HubBusy, SynclineError, TooLarge, TransportError
from syncline.protocol import codec, compression, filebody, limits, versions
from syncline.protocol.messages import PROTOCOL_VERSION, Record, Request, Response
from syncline.protocol.negotiation import PROBLEM, Form
from syncline.protocol.routes import Route, route_of
from syncline.protocol.status import RETRY_AFTER, from_problem
from syncline.replica.answers import from_hub
from syncline.transports.download import Arriving
from syncline.transports.pace import Pace

M = TypeVar("M", bound=Record)


def _fitting(most: int) -> int:
    """So many bytes, or a quarter of what this machine has if that is less."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # a system that does not say
        return most
    return max(64 * 1024 * 1024, min(most, memory // 4))


ANSWER_LIMIT = _fitting(512 * 1024 * 1024)
"""Bytes of an answer after decompression; a page of a pull or a hydrate is far below."""

PROBLEM_LIMIT = 1024 * 1024
KEEP_ALIVE_SECONDS = 60.0
_URL_REMEDY = "Give the place of the hub, like http://127.0.0.1:8080"
PAUSES = (0.1, 0.5)
"""Seconds before the first and the second repetition."""

GATEWAY = (408, 425, 429, 502, 503, 504)
"""Statuses by which a proxy says that it, or the hub behind it, does not answer now. A hub says why."""

GATEWAY_REMEDY = (
    "Nothing is lost: sync again in a moment. Should it stay so, the hub is down, or the proxy does not wait"
    " for it long enough: see docs/proxies.md."
)

BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before further ones, where the hub has said that it has no room at present."""


class _NotThrough(Exception):
    """The cause of an error that a proxy has answered with."""


class HttpTransport:
    """A `Transport` to the hub at `url` (the place where the application is mounted).

    `token` is sent as a bearer token: over https or to this machine, over plain http to another one only if
    `insecure` says that this is known. `timeout` bounds each wait for the hub, in seconds (for a large push
    to be done it is longer, see `Route.patience`); `connect` the wait for a connection. One connection is
    kept and used again. A request is repeated, at most `len(pauses)` times, when the connection could not be
    made, when the hub said that it is busy (then some times more), and when it only asks and its answer was
    lost. Everything else is sent at most once a call. For one thread.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        connect: float = 5.0,
        form: Form = Form.MSGPACK,
        pauses: tuple[float, ...] = PAUSES,
        insecure: bool = False,
    ) -> None:
        self.url = _checked(url)
        if token is not None:
            _check_token(self.url, token, insecure=insecure)
        self._form = form
        self._pauses = pauses
        self._timeout, self._connect = timeout, connect
        headers = {
            versions.HEADER: str(PROTOCOL_VERSION),
            "accept": form.value,
            "accept-encoding": compression.ACCEPT_ENCODING,
            "user-agent": "syncline",
        }
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._client = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=connect),
            limits=httpx2.Limits(max_connections=2, keepalive_expiry=KEEP_ALIVE_SECONDS),
            follow_redirects=False,
            verify=_tls(self.url),
        )

    def send(self, request: Request) -> Response:
        """Carry one request and its answer; see `protocol.flows.Transport`."""
        route = route_of(request)
        path, query = route.locate(request)
        content, headers = self._body(request) if route.body else (None, {})
        try:
            built = self._client.build_request(
                route.method,
                httpx2.URL(self.url + path, params=query) if query else _parsed(self.url + path),
                content=content,
                headers=headers,
                timeout=httpx2.Timeout(self._timeout * route.patience, connect=self._connect),
            )
        except httpx2.InvalidURL as error:
            raise TooLarge(f"the request cannot be put into a URL: {error}") from error
        return cast(Response, self._patiently(built, route))

    @contextmanager
    def snapshot(
        self, replica: str, schema: str, start: int = 0, etag: str | None = None
    ) -> Iterator[Arriving]:
        """The hub's ready file; see `transports.download.FileSource`."""
        headers = {"accept-encoding": filebody.CODING}
        if etag is not None:
            headers |= {"range": f"bytes={start}-", "if-range": etag}
        try:
            params = {"replica": replica, "schema": schema}
            with self._client.stream(
                "GET", self.url + filebody.PATH, params=params, headers=headers
            ) as answer:
                yield self._arriving(answer, start)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, request: Request) -> tuple[bytes, dict[str, str]]:
        content, headers = codec.encode(request, self._form), {"content-type": self._form.value}
        if len(content) >= compression.THRESHOLD:
            coding = compression.CODINGS[0]
            compressed = compression.compress(content, coding)
            if compressed is not None:
                content, headers["content-encoding"] = compressed, coding
        return content, headers

    def _patiently(self, built: httpx2.Request, route: Route) -> Record:
        pauses, is_busy = list(self._pauses), False
        while True:
            try:
                return self._once(built, route)
            except SynclineError as error:
                if not pauses or not _worth_repeating(error, route):
                    raise
                if isinstance(error, HubBusy) and not is_busy:
                    pauses, is_busy = [*pauses, *BUSY_PAUSES], True
            time.sleep(pauses.pop(0))

    def _once(self, built: httpx2.Request, route: Route) -> Record:
        try:
            answer = self._client.send(built, stream=True)
            try:
                body = self._read(answer)
            finally:
                answer.close()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        versions.spoken(answer.headers.get(versions.HEADER))
        return self._opened(answer, body, route.response)

    def _read(self, answer: httpx2.Response) -> bytes:
        """The body as sent, counted while it arrives."""
        limit = ANSWER_LIMIT if answer.status_code == 200 else PROBLEM_LIMIT
        chunks, size, pace = [], 0, Pace(self.url)
        for chunk in answer.iter_raw():
            pace.note(len(chunk))
            size += len(chunk)
            if size > limit:
                with from_hub():
                    raise compression.too_large(limit)
            chunks.append(chunk)
        return b"".join(chunks)

    def _opened(self, answer: httpx2.Response, body: bytes, kind: type[M]) -> M:
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        limit = ANSWER_LIMIT if answer.status_code == 200 else PROBLEM_LIMIT
        if media == PROBLEM:
            with from_hub():
                told = compression.decompress(body, answer.headers.get("content-encoding"), limit)
            raise _problem_in(told, answer.status_code)
        if answer.status_code in GATEWAY:
            raise TransportError(
                f"{self.url} answered {answer.status_code}: a proxy in between does not reach the hub",
                remedy=GATEWAY_REMEDY,
            ) from _NotThrough()
        if answer.status_code == 413:
            raise BodyRefused(f"{self.url} answered 413, which the hub did not say: a proxy in between did")
        if answer.status_code != 200 or media != self._form.value or versions.HEADER not in answer.headers:
            raise self._stranger(answer.status_code, media)
        with from_hub():
            plain = compression.decompress(body, answer.headers.get("content-encoding"), limit)
            message = codec.decode(plain, kind, self._form)
            limits.check_answer(message)
        return message

    def _arriving(self, answer: httpx2.Response, start: int) -> Arriving:
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status_code not in (200, 206) or media != filebody.MEDIA_TYPE:
            self._opened(answer, self._read(answer), Record)
            raise self._stranger(answer.status_code, media)
        first, length = (start if answer.status_code == 206 else 0), answer.headers.get("content-length", "")
        if not length.isdigit() or answer.headers.get("content-encoding") != filebody.CODING:
            raise self._stranger(answer.status_code, media)
        if answer.status_code == 206 and not answer.headers.get("content-range", "").startswith(
            f"bytes {start}-"
        ):
            raise self._stranger(answer.status_code, media)
        digest = filebody.digest_in(answer.headers.get(filebody.DIGEST_HEADER))
        etag = answer.headers.get("etag", "")
        return Arriving(first, first + int(length), etag, digest, answer.iter_raw(filebody.PIECE))

    def _stranger(self, status: int, media: str) -> TransportError:
        """What answered is not a hub: a proxy, a login page of a network, another program."""
        return TransportError(
            f"{self.url} answered {status} ({media or 'nothing'}), which no hub says",
            code="not_a_hub",
            remedy="Check the URL; a network's login page or a proxy may stand in between. Then sync again.",
        )

    def _unreachable(self, error: httpx2.HTTPError) -> TransportError:
        kind = type(error).__name__
        return TransportError(f"{self.url} cannot be reached: {str(error) or kind} ({kind})")


@lru_cache(64)
def _parsed(url: str) -> httpx2.URL:
    """A URL without a query: to take one apart is a tenth of what a small request costs the device."""
    return httpx2.URL(url)


def _tls(url: str) -> ssl.SSLContext:
    """What connections to this hub are made with. Loading the certificates that this machine trusts takes
    25 ms: it is done once a process, and not at all for plain http, over which nothing is trusted."""
    if url.startswith("https:") or getproxies():  # a proxy may be spoken to by https
        return _trusting()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _trusting() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _checked(url: str) -> str:
    """The URL without a slash at its end; ConfigurationError if it is none of HTTP, or holds a password."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        raise ConfigurationError("what is given is not a URL", remedy=_URL_REMEDY) from None
    if parsed.userinfo:
        raise ConfigurationError(
            f"the URL of the hub at {parsed.host} holds a name or a password: it would be kept in the file",
            code="url_with_password",
            remedy="Give the URL without them; say who you are with a token (SYNCLINE_TOKEN).",
        )
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ConfigurationError(f"{url!r} is not the URL of a hub", remedy=_URL_REMEDY)
    return url.rstrip("/")


def _check_token(url: str, token: str, *, insecure: bool) -> None:
    """Raise ConfigurationError if the token cannot travel, or would travel where others can read it."""
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise ConfigurationError(
            "the token is empty, or holds characters that cannot travel in a header (a line break, a space)",
            code="token_unusable",
            remedy="Give it without quotes and line breaks.",
        )
    parsed = httpx2.URL(url)
    if parsed.scheme == "http" and not insecure and not _is_loopback(parsed.host):
        raise ConfigurationError(
            f"the token would travel to {parsed.host} over plain http, where others can read it",
            code="token_in_clear",
            remedy="Use https://; or say that you know: --insecure, connect(..., insecure=True).",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


def _worth_repeating(error: SynclineError, route: Route) -> bool:
    """Whether the same request may be sent once more, and at once.

    A connection that could not be made carried nothing. A hub that answers with a retryable error changed
    nothing. When an answer was lost, only a question may be asked again.
    """
    if not isinstance(error, TransportError):
        return error.retry and RETRY_AFTER.get(error.code, 0) <= 1
    if isinstance(error.__cause__, httpx2.ConnectError):
        return True
    return route.repeatable and isinstance(error.__cause__, (httpx2.HTTPError, _NotThrough))


def _problem_in(body: bytes | bytearray, status: int) -> SynclineError:
    try:
        problem: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        problem = None
    return from_problem(problem if isinstance(problem, dict) else {}, status)
