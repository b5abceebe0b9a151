"""`/openapi.json` is OpenAPI 3.1, complete, and true of what is sent and answered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Raw
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from syncline import errors
from syncline.protocol import codec, messages
from syncline.protocol.body import seal
from syncline.protocol.messages import Record
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import PLAIN, ROUTES, Route
from syncline.protocol.status import to_problem
from syncline.server.openapi import describe

DOCUMENT = describe()
ROW = [1, -0.0, 1.5, "x", None, b"\0", math.inf, 2**63 - 1]
PUSHED, PUSH_DIGEST = seal([messages.PushGroup(0, "U", [0], [ROW], [5], [0], [[5]], [[0]])])
SENT, SENT_DIGEST = seal([messages.Group(0, "U", [0], [ROW]), messages.Group(0, "D", [], [[1]])])
NOTE = messages.ConflictNote(7, "t", [b"k"], None, "open", "r", 5, "hub", 6, None, ROW, 1.0, "now")
CHANGES = messages.Changes("w", True, 9, SENT_DIGEST, Raw(SENT))
REJECTION = messages.Rejection(0, [b"k"], "unique", "taken", "change it", [1, [b"p"]])

EXAMPLES: list[Record] = [
    messages.Register("r", "f", "n", "p", "w"),
    messages.Registered("h", "f", "all", ["t"], messages.Limits(), "w", 0, 0),
    messages.SchemaAnswer("f", [{"name": "t"}], 1),
    CHANGES,
    messages.Changes(),
    messages.Push(
        "r", 1, "f", ["w"], PUSH_DIGEST, Raw(PUSHED),
        [messages.Detail(0, [1], [0], ROW, ROW)], messages.Pull("w", 5, "r", "f"),
    ),
    messages.Verdict(1, [[0, [b"k"]]], SENT_DIGEST, Raw(SENT), [REJECTION], [NOTE], 5, True, CHANGES),
    messages.SnapshotPage("w", None, 0, SENT_DIGEST, Raw(SENT)),
    messages.Spell("r", 0, [ROW]),
    messages.Spelled([ROW]),
    messages.StateAnswer("h", "r", True, 1, "now", None, "w", "f"),
    messages.ConflictsAnswer([NOTE]),
    messages.Resolve(7, "value", ROW),
    NOTE,
]  # fmt: skip


def schema_of(name: str) -> Draft202012Validator:
    resource = Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", resource)
    return Draft202012Validator({"$ref": f"urn:document#/components/schemas/{name}"}, registry=registry)


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_described_with_both_forms_and_its_errors() -> None:
    for route in ROUTES:
        described = operation(route)
        assert set(described["responses"]) == {"200", "401", "403", "4XX", "5XX"}
        assert described["x-who"] == route.who
        assert "security" not in described  # that of the whole document holds
        assert set(described["responses"]["200"]["content"]) == {form.value for form in Form}
        assert ("requestBody" in described) == route.body
        assert described["summary"]
        assert described["description"]


def test_every_other_path_is_described_and_says_who_may_use_it() -> None:
    (everywhere,) = DOCUMENT["security"]
    assert set(everywhere) <= set(DOCUMENT["components"]["securitySchemes"])
    for entry in PLAIN:
        described = DOCUMENT["paths"][entry.path][entry.method.lower()]
        assert described["x-who"] == entry.who
        assert (described.get("security") == []) == (entry.who == "anyone")
    assert set(DOCUMENT["paths"]) == {entry.path for entry in (*PLAIN, *ROUTES)}


def test_every_field_of_a_question_is_a_parameter() -> None:
    for route in ROUTES:
        named = {each["name"]: each for each in operation(route)["parameters"] if "name" in each}
        fields = {field.name: field for field in msgspec.structs.fields(route.request)}
        if route.body:
            assert set(named) == {name for name in fields if f"{{{name}}}" in route.path}
        else:
            assert set(named) == set(fields) - {"version"}
            assert {name for name, each in named.items() if each["required"]} == {
                name for name, field in fields.items() if field.required
            }


def test_nothing_is_described_that_is_not_used() -> None:
    used = set(references(DOCUMENT))
    for kind, parts in DOCUMENT["components"].items():
        if kind == "securitySchemes":  # named without a reference
            continue
        questions = {route.request.__name__ for route in ROUTES if not route.body}
        unused = {name for name in parts if f"#/components/{kind}/{name}" not in used}
        assert unused <= questions


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_is_sent_and_answered_is_what_is_described(message: Record) -> None:
    body = msgspec.json.decode(codec.encode(message, Form.JSON))
    schema_of(type(message).__name__).validate(body)


@pytest.mark.parametrize("cell", [True, [], {"$blob": 1}, {"$float": "1.5"}, {"$blob": "", "$float": "inf"}])
def test_what_is_refused_is_not_described(cell: Any) -> None:
    group = {"table": 0, "op": "U", "columns": [0], "rows": [[cell]], "hlc": [1]}
    assert not schema_of("PushGroup").is_valid(group)


def test_problems_are_what_is_described() -> None:
    schema_of("Problem").validate(to_problem(errors.Conflict("busy")))
