"""Values in JSON: the forms JSON has for them, and tagged objects for those it has not.

bytes become {"$blob": base64}, floats that are not finite {"$float": "inf"}. Everything else stays.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from syncline.errors import Malformed


def to_plain(value: Any) -> Any:
    """A value, or lists of values, in JSON form."""
    if isinstance(value, bytes):
        return {"$blob": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def from_plain(plain: Any) -> Any:
    """The inverse of `to_plain`. Raises Malformed for any other object."""
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    try:
        if set(plain) == {"$blob"}:
            return base64.b64decode(plain["$blob"], validate=True)
        if plain in ({"$float": "inf"}, {"$float": "-inf"}, {"$float": "nan"}):
            return float(plain["$float"])
    except (binascii.Error, TypeError, ValueError) as error:
        raise Malformed(f"a blob that is not base64: {error}") from error
    raise Malformed("an object where a value belongs; only $blob and $float are known")
