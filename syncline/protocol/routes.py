"""Where each message goes over HTTP: one table, used by the server, the transport and /openapi.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from syncline.protocol import filebody, messages
from syncline.protocol.messages import Record, Request

Who = Literal["anyone", "replica", "operator"]
"""Who may use a route: whoever reaches the hub, without being asked for a name; an actor in the name of a
replica of its own that is known and not revoked, or an operator; operators alone. None is nobody."""


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request.

    Without `body` the fields travel in the query string (a missing one is None or its default). A name
    in braces in `path` is a field too. `repeatable`: asking again changes nothing, so a transport may
    send it again when it cannot tell whether it arrived. `patience`: how many times as long as for other
    requests the answer may take. `who` may use it, nobody if it is not said; `registers`: the replica that is
    named need not be known yet; asked for the state of one, the hub says whether it is.
    """

    method: str
    path: str
    request: type[Record]
    response: type[Record]
    summary: str
    body: bool = False
    repeatable: bool = True
    patience: int = 1
    who: Who | None = None
    registers: bool = False

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
        who="replica",
        registers=True,
    ),
    Route(
        "POST",
        "/sync/clients/reconcile",
        messages.Reconcile,
        messages.Reconciled,
        "What became of the edits of a file that was copied or put back, or of a centre that was",
        body=True,
        who="replica",
        registers=True,
    ),
    Route(
        "GET",
        "/sync/schema",
        messages.SchemaQuery,
        messages.SchemaAnswer,
        "The tables as a device should have them",
        who="replica",
    ),
    Route(
        "GET",
        "/sync/changes",
        messages.Pull,
        messages.Changes,
        "Pull: everything new after a watermark",
        who="replica",
    ),
    Route(
        "POST",
        "/sync/changes",
        messages.Push,
        messages.Verdict,
        "Push; with a pull inside, the pull too. This is the everyday sync",
        body=True,
        repeatable=False,
        who="replica",
    ),
    Route(
        "POST",
        "/sync/pushes",
        messages.BeginPush,
        messages.PushBegun,
        "Begin a large push; says which chunks the hub has already",
        body=True,
        who="replica",
    ),
    Route(
        "PUT",
        "/sync/pushes/{number}/chunks/{chunk}",
        messages.PushChunk,
        messages.ChunkKept,
        "Upload one chunk of a large push",
        body=True,
        who="replica",
    ),
    Route(
        "POST",
        "/sync/pushes/{number}/prepare",
        messages.PreparePush,
        messages.Verdict,
        "The verdict on a large push, without doing it",
        body=True,
        patience=20,
        who="replica",
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
        who="replica",
    ),
    Route(
        "DELETE",
        "/sync/pushes/{number}",
        messages.ForgetPush,
        messages.PushForgotten,
        "Forget what was uploaded of a large push",
        who="replica",
    ),
    Route(
        "GET",
        "/sync/snapshot",
        messages.Snapshot,
        messages.SnapshotPage,
        "Hydrate, one chunk of rows",
        who="replica",
    ),
    Route(
        "GET",
        "/sync/verify",
        messages.Verify,
        messages.Verified,
        "Compare digests, then rows, with the centre",
        who="replica",
    ),
    Route(
        "POST",
        "/sync/spellings",
        messages.Spell,
        messages.Spelled,
        "How the central database spells keys whose type only it can read",
        body=True,
        who="replica",
    ),
    Route(
        "GET",
        "/sync/state",
        messages.StateQuery,
        messages.StateAnswer,
        "A replica as the hub sees it",
        who="replica",
        registers=True,
    ),
    Route(
        "GET",
        "/sync/conflicts",
        messages.ConflictsQuery,
        messages.ConflictsAnswer,
        "Conflicts that the hub has settled or keeps open",
        who="replica",
    ),
    Route(
        "POST",
        "/sync/conflicts/{id}",
        messages.Resolve,
        messages.ConflictNote,
        "Decide an open conflict",
        body=True,
        repeatable=False,
        who="replica",
    ),
)


@dataclass(frozen=True, slots=True)
class Plain:
    """A path that carries no message, and who may use it: nobody if it is not said."""

    method: str
    path: str
    summary: str
    who: Who | None = None


PLAIN = (
    Plain("GET", "/health", "The process answers", who="anyone"),
    Plain("GET", "/ready", "The central database is reachable and prepared", who="anyone"),
    Plain("GET", "/openapi.json", "This document", who="anyone"),
    Plain("GET", filebody.PATH, "Hydrate by file: a complete replica, built by the hub", who="replica"),
)

BY_REQUEST: Mapping[type[Record], Route] = {route.request: route for route in ROUTES}


def route_of(request: Request) -> Route:
    """The route of a request."""
    return BY_REQUEST[type(request)]
