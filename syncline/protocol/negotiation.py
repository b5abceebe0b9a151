"""In which form a message travels: positional MessagePack for devices, JSON with names for everybody else."""

from __future__ import annotations

from enum import Enum

from syncline.errors import ProtocolError


class Form(Enum):
    """The two encodings of a message, by media type."""

    MSGPACK = "application/vnd.syncline+msgpack"
    JSON = "application/json"


PROBLEM = "application/problem+json"
"""The media type of every error, whatever the request accepts."""

_OTHER_NAMES = {"application/msgpack": Form.MSGPACK, "application/x-msgpack": Form.MSGPACK}
_FORMS = {form.value: form for form in Form} | _OTHER_NAMES
_REMEDY = f"Use {Form.MSGPACK.value} or {Form.JSON.value}."


def sent(content_type: str | None) -> Form:
    """The form of a body by its Content-Type; ProtocolError (code media_type_unsupported) if unknown."""
    name = (content_type or "").partition(";")[0].strip().lower()
    form = _FORMS.get(name)
    if form is None:
        shown = repr(name[:80]) if name else "missing"
        raise ProtocolError(
            f"the Content-Type of the body is {shown}", code="media_type_unsupported", remedy=_REMEDY
        )
    return form


def accepted(accept: str | None, default: Form) -> Form:
    """The form of an answer by the request's Accept; `default` when it takes anything.

    ProtocolError (code not_acceptable) when it takes none of ours.
    """
    if not accept or accept == "*/*":
        return default
    exact = _FORMS.get(accept)
    if exact is not None:
        return exact
    wanted = qualities(accept)
    rest = wanted.get("application/*", wanted.get("*/*", 0.0))
    offers = [(wanted.get(name, rest), form is default, form) for name, form in _FORMS.items()]
    quality, _, form = max(offers, key=lambda offer: offer[:2])
    if quality <= 0:
        raise ProtocolError(
            f"the answer cannot be given as {accept[:80]!r}", code="not_acceptable", remedy=_REMEDY
        )
    return form


def qualities(header: str) -> dict[str, float]:
    """The names of an Accept or Accept-Encoding header with their weights (RFC 9110, section 12.4.2)."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = part.split(";")
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.strip().partition("=")
            if key.strip().lower() == "q":
                weight = _weight(value)
        found[name.strip().lower()] = weight
    return found


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
