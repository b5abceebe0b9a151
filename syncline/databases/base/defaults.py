"""Column defaults that a device can make by itself, in SQLite's words.

How a catalogue writes them is the database's own: it says which texts are numbers and strings, and what is
called for the time or a uuid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_HEX = "lower(hex(randomblob({})))"

RANDOM_UUID = "||'-'||".join(
    [_HEX.format(4), _HEX.format(2), "'4'||substr(" + _HEX.format(2) + ",2)",
     "substr('89ab',1+(abs(random())%4),1)||substr(" + _HEX.format(2) + ",2)", _HEX.format(6)]
)  # fmt: skip
INSTANT = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
LOCAL = "strftime('%Y-%m-%dT%H:%M:%f', 'now')"
TODAY = "date('now')"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a catalogue writes. The first group of `number` and `string` is the number, or what stands between
    the quotes. `made`: portable type, what the centre calls, what a device does instead."""

    number: re.Pattern[str]
    string: re.Pattern[str]
    made: Sequence[tuple[str, re.Pattern[str], str]]

    def on_device(self, expression: str, portable: str) -> str | None:
        """The SQLite expression for a default; None if a device cannot make it.

        A column without such a default gets its value from the central database, and the device gets it
        back."""
        if portable in ("integer", "float", "decimal"):
            number = self.number.fullmatch(expression)
            return _number(number[1], portable) if number else None
        if portable in ("text", "enum", "json"):
            text = self.string.fullmatch(expression)
            return f"'{text[1]}'" if text and "\\" not in text[1] else None
        known = ((made, test) for kind, test, made in self.made if kind == portable)
        return next((made for made, test in known if test.fullmatch(expression)), None)


def _number(text: str, portable: str) -> str | None:
    if portable == "integer":
        return None if "." in text else text
    return repr(float(text)) if portable == "float" else f"'{text}'"
