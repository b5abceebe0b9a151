"""Forms, versions, and errors over HTTP."""

from __future__ import annotations

import pytest

from syncline import errors
from syncline.errors import ProtocolError, SynclineError, TransportError, VersionUnsupported
from syncline.protocol import negotiation, versions
from syncline.protocol.negotiation import Form
from syncline.protocol.status import CLASSES, STATUS, from_problem, status_of, to_problem

PACK, JSON = Form.MSGPACK.value, Form.JSON.value


@pytest.mark.parametrize(
    ("header", "form"),
    [(JSON, Form.JSON), (PACK, Form.MSGPACK), ("Application/JSON; charset=utf-8", Form.JSON),
     ("application/msgpack", Form.MSGPACK)],
)  # fmt: skip
def test_the_form_of_a_body_is_its_content_type(header: str, form: Form) -> None:
    assert negotiation.sent(header) is form


@pytest.mark.parametrize("header", [None, "", "text/plain", "application/xml"])
def test_an_unknown_content_type_is_refused(header: str | None) -> None:
    with pytest.raises(ProtocolError) as caught:
        negotiation.sent(header)
    assert status_of(caught.value) == 415


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, Form.JSON), ("*/*", Form.JSON), ("application/*", Form.JSON), (PACK, Form.MSGPACK),
        (f"{JSON};q=0.5, {PACK}", Form.MSGPACK), (f"{PACK};q=0.1, */*", Form.JSON),
        ("text/html, */*;q=0.8", Form.JSON), (f"{JSON};q=0, */*", Form.MSGPACK),
    ],
)  # fmt: skip
def test_the_form_of_an_answer_is_what_the_request_takes(header: str | None, form: Form) -> None:
    assert negotiation.accepted(header, Form.JSON) is form


def test_without_a_wish_the_answer_has_the_form_of_the_request() -> None:
    assert negotiation.accepted("*/*", Form.MSGPACK) is Form.MSGPACK
    assert negotiation.accepted("text/html, */*;q=0.8", Form.MSGPACK) is Form.MSGPACK


def test_a_request_that_takes_neither_form_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        negotiation.accepted("text/html, image/*", Form.JSON)
    assert status_of(caught.value) == 406


def test_a_message_without_a_version_speaks_the_current_one() -> None:
    assert versions.spoken(None) == versions.spoken("1") == 1


@pytest.mark.parametrize("header", ["0", "2", "99999999999999999999", "-1", "1.0", "", "one", "١"])
def test_other_versions_are_refused_older_and_newer(header: str) -> None:
    with pytest.raises(VersionUnsupported):
        versions.spoken(header)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_was_raised(kind: type[SynclineError]) -> None:
    raised = kind("it broke", code="precise", remedy="mend it")
    arrived = from_problem(to_problem(raised), status_of(raised))
    assert type(arrived) is kind
    assert (arrived.code, arrived.detail, arrived.remedy) == ("precise", "it broke", "mend it")


def test_every_class_of_error_that_can_travel_has_a_status() -> None:
    own = {"store_constraint"}
    classes = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SynclineError)
    }
    assert {kind.code for kind in classes} - own == set(CLASSES)
    assert all(400 <= status_of(kind("x")) < 600 for kind in CLASSES.values())
    assert all(400 <= status < 600 for status in STATUS.values())


def test_an_error_defined_elsewhere_travels_as_the_nearest_of_the_tree() -> None:
    class Special(errors.TooLarge):
        code = "special"

    problem = to_problem(Special("x"))
    assert (problem["status"], problem["code"]) == (413, "special")
    assert type(from_problem(problem, 413)) is errors.TooLarge


def test_a_problem_of_a_newer_hub_keeps_code_and_detail() -> None:
    newer = {"type": "urn:syncline:problem:from_the_future", "code": "future", "detail": "d", "remedy": "r"}
    assert type(from_problem(newer, 400)) is ProtocolError
    assert type(from_problem(newer, 503)) is TransportError
    assert from_problem(newer, 400).code == "future"
    assert from_problem({}, 502).detail == "the hub answered 502"


def test_an_error_worth_waiting_for_says_how_long() -> None:
    assert to_problem(errors.Conflict("x"))["retry_after"] == 1
    assert "retry_after" not in to_problem(errors.Malformed("x"))
