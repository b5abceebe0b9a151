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
from syncline.protocol.routes import PLAIN, ROUTES, Plain, Route
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
        "security": [{"actor": []}],
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
            "securitySchemes": {"actor": _security_scheme()},
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
    } | _who(route)
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


def _who(route: Route | Plain) -> dict[str, Any]:
    """Who may use it; what is open to anyone asks for no name."""
    return {"x-who": route.who} | ({"security": []} if route.who == "anyone" else {})


def _responses(content: dict[str, Any], description: str) -> dict[str, Any]:
    problem = {"$ref": "#/components/responses/Problem"}
    headers = {HEADER: {"$ref": "#/components/headers/Protocol"}}
    answer = {"description": description, "headers": headers, "content": content}
    refused = {"401": problem, "403": problem}
    return {"200": answer, **refused, "4XX": problem, "5XX": problem}


def _file() -> dict[str, Any]:
    """The path that answers with a file."""
    (entry,) = [entry for entry in PLAIN if entry.path == filebody.PATH]
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
        "summary": entry.summary,
        "description": (
            f"One {filebody.CODING} frame of an SQLite file (Content-Encoding). 503 `snapshot_building` "
            "while it is being built: ask again after Retry-After. 404 `no_snapshot`: hydrate by rows. The "
            "file has an id that nobody pushes with: register again, with `previous` (that id) and "
            "`watermark`, both in its `_sync_state`, and go on with the answer's."
        ),
        "parameters": [
            {"$ref": "#/components/parameters/Protocol"},
            parameter("replica", "query", "The replica that is to be filled; it has registered"),
            parameter("schema", "query", "The fingerprint of the schema"),
            parameter("Range", "header", "`bytes=N-`: from this byte on"),
            parameter("If-Range", "header", "The ETag of the file that the range is meant for"),
        ],
        "responses": {**responses, "206": part},
    } | _who(entry)
    return {filebody.PATH: {"get": operation}}


def _probes() -> dict[str, Any]:
    """The paths that carry no message."""
    told = {
        "/health": ("health", {"status", "protocol", "oldest_protocol"}),
        "/ready": ("ready", {"status"}),
        "/openapi.json": ("openapi", {"openapi", "info", "paths"}),
    }
    paths = {}
    for entry in PLAIN:
        if entry.path in told:
            name, fields = told[entry.path]
            content = {Form.JSON.value: {"schema": {"type": "object", "required": sorted(fields)}}}
            operation = {"operationId": name, "tags": ["probes"], "summary": entry.summary} | _who(entry)
            paths[entry.path] = {"get": operation | {"responses": _responses(content, entry.summary)}}
    return paths


def _security_scheme() -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "What a device sends (`--token`). The application that the hub is part of says who that is; it "
            "may go by something else, as a session of its own. 401: it knows nobody. An open hub asks for "
            "no name. `x-who` of an operation: anyone; a replica, which must have been registered by whoever "
            "asks and not be locked out; or operators alone (403)."
        ),
    }


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
