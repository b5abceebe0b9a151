"""Where each message goes over HTTP: one table, used by the server, the transport and /openapi.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncline.protocol import messages
from syncline.protocol.messages import Record, Request


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request.

    Without `body` the fields travel in the query string (a missing one is None or its default). A name
    in braces in `path` is a field too. `repeatable`: asking again changes nothing, so a transport may
    send it again when it cannot tell whether it arrived. `patience`: how many times as long as for other
    requests the answer may take.
    """

    method: str
    path: str
    request: type[Record]
    response: type[Record]
    summary: str
    body: bool = False
    repeatable: bool = True
    patience: int = 1

    def locate(self, request: Record) -> tuple[str, dict[str, str]]:
        """The path and the query parameters of a request."""
        fields = {name: getattr(request, name) for name in request.__struct_fields__ if name != "version"}
        path = self.path.format_map(fields)
        if self.body:
            return path, {}
        found = {name: _as_text(value) for name, value in fields.items() if value is not None}
        return path, {name: text for name, text in found.items() if name not in self.in_path}

    @property
    def in_path(self) -> list[str]:
        """The fields that stand in the path: numbers, all of them."""
        return re.findall(r"{(\w+)}", self.path)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


ROUTES = (
    Route(
        "POST",
        "/sync/clients",
        messages.Register,
        messages.Registered,
        "Register a replica: scope, tables, limits, first watermark",
        body=True,
    ),
    Route(
        "GET",
        "/sync/schema",
        messages.SchemaQuery,
        messages.SchemaAnswer,
        "The tables as a device should have them",
    ),
    Route("GET", "/sync/changes", messages.Pull, messages.Changes, "Pull: everything new after a watermark"),
    Route(
        "POST",
        "/sync/changes",
        messages.Push,
        messages.Verdict,
        "Push; with a pull inside, the pull too. This is the everyday sync",
        body=True,
        repeatable=False,
    ),
    Route(
        "POST",
        "/sync/pushes",
        messages.BeginPush,
        messages.PushBegun,
        "Begin a large push; says which chunks the hub has already",
        body=True,
    ),
    Route(
        "PUT",
        "/sync/pushes/{number}/chunks/{chunk}",
        messages.PushChunk,
        messages.ChunkKept,
        "Upload one chunk of a large push",
        body=True,
    ),
    Route(
        "POST",
        "/sync/pushes/{number}/prepare",
        messages.PreparePush,
        messages.Verdict,
        "The verdict on a large push, without doing it",
        body=True,
        patience=20,
    ),
    Route(
        "POST",
        "/sync/pushes/{number}/commit",
        messages.CommitPush,
        messages.Verdict,
        "Do a large push, in one transaction",
        body=True,
        repeatable=False,
        patience=20,
    ),
    Route(
        "DELETE",
        "/sync/pushes/{number}",
        messages.ForgetPush,
        messages.PushForgotten,
        "Forget what was uploaded of a large push",
    ),
    Route("GET", "/sync/snapshot", messages.Snapshot, messages.SnapshotPage, "Hydrate, one chunk of rows"),
    Route(
        "GET",
        "/sync/verify",
        messages.Verify,
        messages.Verified,
        "Compare digests, then rows, with the centre",
    ),
    Route("GET", "/sync/state", messages.StateQuery, messages.StateAnswer, "A replica as the hub sees it"),
    Route(
        "GET",
        "/sync/conflicts",
        messages.ConflictsQuery,
        messages.ConflictsAnswer,
        "Conflicts that the hub has settled or keeps open",
    ),
    Route(
        "POST",
        "/sync/conflicts/{id}",
        messages.Resolve,
        messages.ConflictNote,
        "Decide an open conflict",
        body=True,
        repeatable=False,
    ),
)

BY_REQUEST: Mapping[type[Record], Route] = {route.request: route for route in ROUTES}


def route_of(request: Request) -> Route:
    """The route of a request."""
    return BY_REQUEST[type(request)]
