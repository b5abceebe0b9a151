"""`/openapi.json`: OpenAPI 3.1, made from the routes and the records themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from syncline.model.actor import Actor
from syncline.protocol import filebody, jsonform
from syncline.protocol.messages import OLDEST_VERSION, PROTOCOL_VERSION
from syncline.protocol.negotiation import PROBLEM, Form
from syncline.protocol.routes import ROUTES, Route
from syncline.protocol.versions import HEADER
from syncline.server.problems import BASE_HEADERS

_REF = "#/components/schemas/"
_ABOUT = (
    f"Every message is JSON with names ({Form.JSON.value}) or the same record as a positional MessagePack "
    f"array, fields in the order shown here ({Form.MSGPACK.value}; there `groups` and `overrides` are "
    "embedded MessagePack). Bodies may be compressed with zstd or gzip."
)


async def document(_: Request, __: Actor) -> Response:
    """The description of this interface."""
    return Response(_encoded(), headers=BASE_HEADERS, media_type=Form.JSON.value)


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(describe())


def describe() -> dict[str, Any]:
    """The document as plain data."""
    twins = [jsonform.twin(kind) for route in ROUTES for kind in (route.request, route.response)]
    _, schemas = msgspec.json.schema_components(twins, ref_template=_REF + "{name}")
    schemas["Special"] = _special()
    schemas["Problem"] = _problem()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Syncline",
            "version": str(PROTOCOL_VERSION),
            "summary": "Keeps SQLite files on devices and the tables of a central database in step",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "Where this document is"}],
        "security": [],
        "tags": [
            {"name": "sync", "description": "For devices"},
            {"name": "probes", "description": "For operators"},
        ],
        "paths": paths | _file() | _probes(),
        "components": {
            "schemas": schemas,
            "parameters": {"Protocol": _protocol_parameter()},
            "headers": {"Protocol": {"description": "The version spoken", "schema": {"type": "integer"}}},
            "responses": {"Problem": _problem_response()},
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.request.__name__[0].lower() + route.request.__name__[1:],
        "tags": ["sync"],
        "summary": route.summary,
        "description": (route.request.__doc__ or route.summary).strip(),
        "parameters": [{"$ref": "#/components/parameters/Protocol"}, *_parameters(route, schemas)],
        "responses": _responses(_content(route.response), f"{route.response.__name__}"),
    }
    if route.body:
        operation["requestBody"] = {"required": True, "content": _content(route.request)}
    return operation


def _content(kind: type[Any]) -> dict[str, Any]:
    return {
        Form.JSON.value: {"schema": {"$ref": _REF + kind.__name__}},
        Form.MSGPACK.value: {"schema": {}},
    }


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    fields = schemas[route.request.__name__]
    names = [name for name in fields["properties"] if name != "version"]
    if route.body:
        names = [name for name in names if name in route.in_path]
    return [
        {
            "name": name,
            "in": place,
            "required": place == "path" or name in fields.get("required", ()),
            "schema": fields["properties"][name],
        }
        for name in names
        for place in ("path" if name in route.in_path else "query",)
    ]


def _responses(content: dict[str, Any], description: str) -> dict[str, Any]:
    problem = {"$ref": "#/components/responses/Problem"}
    headers = {HEADER: {"$ref": "#/components/headers/Protocol"}}
    answer = {"description": description, "headers": headers, "content": content}
    return {"200": answer, "4XX": problem, "5XX": problem}


def _file() -> dict[str, Any]:
    """The path that answers with a file."""

    text = {"type": "string"}

    def parameter(name: str, place: str, description: str) -> dict[str, Any]:
        required = place == "query"
        return {"name": name, "in": place, "required": required, "description": description, "schema": text}

    content = {filebody.MEDIA_TYPE: {"schema": text | {"format": "binary"}}}
    responses = _responses(content, "The file")
    whole = responses["200"]
    whole["headers"] |= {
        "ETag": {"description": "Which file it is", "schema": text},
        filebody.DIGEST_HEADER: {"description": "SHA-256 of the whole as it travels", "schema": text},
    }
    which = {"Content-Range": {"description": "Which bytes, of how many", "schema": text}}
    part = whole | {"description": "The file from a byte on", "headers": whole["headers"] | which}
    operation = {
        "operationId": "snapshotFile",
        "tags": ["sync"],
        "summary": "Hydrate by file: a complete replica, built by the hub",
        "description": (
            f"One {filebody.CODING} frame of an SQLite file (Content-Encoding). 503 `snapshot_building` "
            "while it is being built: ask again after Retry-After. 404 `no_snapshot`: hydrate by rows. The "
            "file has an id that nobody pushes with: register with `previous` (that id) and `watermark`, "
            "both in its `_sync_state`, and go on with the answer's."
        ),
        "parameters": [
            {"$ref": "#/components/parameters/Protocol"},
            parameter("schema", "query", "The fingerprint of the schema"),
            parameter("Range", "header", "`bytes=N-`: from this byte on"),
            parameter("If-Range", "header", "The ETag of the file that the range is meant for"),
        ],
        "responses": {**responses, "206": part},
    }
    return {filebody.PATH: {"get": operation}}


def _probes() -> dict[str, Any]:
    """The paths that carry no message."""
    told = {
        "/health": ("health", "The process answers", {"status", "protocol", "oldest_protocol"}),
        "/ready": ("ready", "The central database is reachable and prepared", {"status"}),
        "/openapi.json": ("openapi", "This document", {"openapi", "info", "paths"}),
    }
    paths = {}
    for path, (name, summary, fields) in told.items():
        content = {Form.JSON.value: {"schema": {"type": "object", "required": sorted(fields)}}}
        operation = {"operationId": name, "tags": ["probes"], "summary": summary}
        paths[path] = {"get": operation | {"responses": _responses(content, summary)}}
    return paths


def _protocol_parameter() -> dict[str, Any]:
    return {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "The protocol version that the sender speaks; if left out, the current one",
        "schema": {"type": "integer", "minimum": OLDEST_VERSION, "maximum": PROTOCOL_VERSION},
    }


def _problem_response() -> dict[str, Any]:
    return {
        "description": "What failed, under which code, and what to do (RFC 9457)",
        "headers": {HEADER: {"$ref": "#/components/headers/Protocol"}},
        "content": {PROBLEM: {"schema": {"$ref": _REF + "Problem"}}},
    }


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "title": "Problem",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "remedy"],
        "properties": {
            "type": text | {"format": "uri", "description": "The class of the error"},
            "title": text,
            "status": {"type": "integer"},
            "detail": text | {"description": "What happened"},
            "code": text | {"description": "Stable; never changes its meaning"},
            "remedy": text | {"description": "What to do"},
            "retry_after": {"type": "integer", "description": "Seconds"},
        },
    }


def _special() -> dict[str, Any]:
    def single(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": [name],
            "properties": {name: schema},
            "additionalProperties": False,
        }

    return {
        "title": "Special",
        "description": "A value that JSON has no form for",
        "oneOf": [
            single("$blob", {"type": "string", "contentEncoding": "base64"}),
            single("$float", {"enum": ["inf", "-inf", "nan"]}),
        ],
    }
