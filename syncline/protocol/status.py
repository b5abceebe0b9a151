"""Errors as HTTP carries them: one table from code to status, and problem+json (RFC 9457) both ways.

`type` names the error's class and `code` the error; both sides use this module, so what the hub raised
is what the replica raises: same class, code, detail and remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from syncline import errors
from syncline.errors import ProtocolError, SynclineError, TransportError

TYPE_PREFIX = "urn:syncline:problem:"

STATUS: Mapping[str, int] = {
    "usage": 422,
    "configuration": 500,
    "rules_differ": 503,
    "schema_refused": 422,
    "value_refused": 422,
    "protocol": 400,
    "malformed": 400,
    "digest_mismatch": 400,
    "version_unsupported": 400,
    "not_found": 404,
    "unknown_replica": 404,
    "unknown_upload": 404,
    "unknown_conflict": 404,
    "unauthenticated": 401,
    "authenticator_failed": 503,
    "forbidden": 403,
    "replica_of_another": 403,
    "replica_revoked": 403,
    "no_snapshot": 404,
    "range_not_satisfiable": 416,
    "snapshot_building": 503,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "watermark_refused": 409,
    "schema_changed": 409,
    "schema_unknown": 409,
    "table_changed": 422,
    "breaking_change": 409,
    "conflict_gone": 409,
    "resolution_refused": 422,
    "push_out_of_step": 409,
    "too_large": 413,
    "hub_busy": 503,
    "quota_reached": 429,
    "media_type_unsupported": 415,
    "coding_unsupported": 415,
    "internal": 500,
    "store": 500,
    "store_busy": 503,
    "store_read_only": 500,
    "store_full": 507,
    "database": 500,
    "database_unavailable": 503,
    "database_read_only": 503,
    "database_busy": 503,
    "not_prepared": 503,
    "capture_lost": 503,
    "hub_unreachable": 502,
    "body_refused": 413,
    "busy": 503,
    "centre_held": 503,
}
"""An error's own code is looked up first, then the code of its class and of the classes above it."""

RETRY_AFTER: Mapping[str, int] = {
    "busy": 1,
    "centre_held": 5,
    "store_busy": 1,
    "snapshot_building": 1,
    "database_unavailable": 5,
    "database_read_only": 5,
    "database_busy": 1,
    "hub_busy": 1,
    "authenticator_failed": 5,
    "quota_reached": 60,
    "too_many_registrations": 60,
    "too_much_uploaded": 60,
    "too_much_told": 600,
}
"""Seconds after which trying again makes sense."""


def status_of(error: SynclineError) -> int:
    """The HTTP status of an error."""
    for code in (error.code, *(kind.code for kind in _lineage(type(error)))):
        if code in STATUS:
            return STATUS[code]
    return 500


def to_problem(error: SynclineError) -> dict[str, Any]:
    """The problem+json object of an error."""
    problem: dict[str, Any] = {
        "type": TYPE_PREFIX + next(kind.code for kind in _lineage(type(error)) if kind.code in CLASSES),
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail,
        "code": error.code,
        "remedy": error.remedy,
    }
    if error.code in RETRY_AFTER:
        problem["retry_after"] = RETRY_AFTER[error.code]
    return problem


def from_problem(problem: Mapping[str, Any], status: int) -> SynclineError:
    """The error that a problem+json object stands for.

    A type unknown here (a newer hub's) becomes a ProtocolError below status 500 and a TransportError
    from there on, with the code, detail and remedy that were sent.
    """
    name = str(problem.get("type", "")).removeprefix(TYPE_PREFIX)
    kind = CLASSES.get(name, ProtocolError if status < 500 else TransportError)
    code, remedy = problem.get("code"), problem.get("remedy")
    return kind(
        str(problem.get("detail") or problem.get("title") or f"the hub answered {status}"),
        code=code if isinstance(code, str) else None,
        remedy=remedy if isinstance(remedy, str) else None,
    )


def _lineage(kind: type[SynclineError]) -> Iterator[type[SynclineError]]:
    return (above for above in kind.__mro__ if issubclass(above, SynclineError))


def _classes(kind: type[SynclineError]) -> dict[str, type[SynclineError]]:
    found = {kind.code: kind}
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__ and below.__init__ is SynclineError.__init__:
            found |= _classes(below)
    return found


CLASSES: Mapping[str, type[SynclineError]] = _classes(SynclineError)
"""Every class of `syncline.errors` that can travel, by its code."""
