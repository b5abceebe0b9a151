"""Forms: how a device's file spells timestamps, uuids, decimals, booleans and intervals for an ORM.

An ORM compares text. The wire and the centre know one spelling of a value (`model.spelling`); the edge of the
file converts. A value that a form cannot hold exactly (`infinity`, a year before 1) stays in that one
spelling, so nothing is lost on the way there and back. Decimals as `real` and intervals (24 hours are a day)
are the exceptions, which `is_lossy` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TypeVar

from syncline.errors import ConfigurationError
from syncline.model.schema import ColumnSchema
from syncline.model.spelling import Speller, iso, moment, number_in, speller, utc
from syncline.model.values import INTEGER_MAX, Value

FORMS: Mapping[str, tuple[str, ...]] = {
    "timestamps": ("iso", "space", "space6", "unix"),
    "uuids": ("hyphens", "hex", "blob"),
    "decimals": ("text", "real"),
    "booleans": ("integer", "text"),
    "intervals": ("iso", "microseconds", "epoch"),
}
"""What can be chosen, the first of each as long as nobody chooses."""

KINDS: Mapping[str, str] = {
    "timestamp": "timestamps",
    "timestamptz": "timestamps",
    "time": "timestamps",
    "uuid": "uuids",
    "decimal": "decimals",
    "boolean": "booleans",
    "interval": "intervals",
}
"""What the form of a portable type is chosen as."""

PRESETS: Mapping[str, Mapping[str, str]] = {
    "django": {"timestamps": "space", "uuids": "hex", "decimals": "real", "intervals": "microseconds"},
    "sqlalchemy": {"timestamps": "space6", "uuids": "hex", "decimals": "real", "intervals": "epoch"},
}
"""What these ORMs write into SQLite and compare with, by their own types for it."""

EXACT_DIGITS = 15
"""The most digits of a decimal that a float always keeps."""

Choice = Mapping[str, str]
T = TypeVar("T")


def chosen(forms: Choice | str | None, where: str = "forms") -> dict[str, str]:
    """A choice of forms, checked; the name of a preset stands for what it has.

    ConfigurationError `form_unknown` that names what there is.
    """
    if isinstance(forms, str):
        return dict(_one(PRESETS, forms, where, "preset"))
    checked = {}
    for kind, form in (forms or {}).items():
        checked[kind] = form
        known = _one(FORMS, kind, where, "kind of value")
        if form not in known:
            raise _unknown(f"{where}: {kind} has no form {form!r}", known)
    return checked


def _one(known: Mapping[str, T], name: str, where: str, what: str) -> T:
    if name not in known:
        raise _unknown(f"{where}: there is no {what} {name!r}", known)
    return known[name]


def _unknown(detail: str, known: Iterable[str]) -> ConfigurationError:
    return ConfigurationError(detail, code="form_unknown", remedy=f"There is: {', '.join(known)}.")


def form_of(column: ColumnSchema, choice: Choice) -> str:
    """The form of a column by a choice, and where that has none by what the hub asks for; empty for a type
    that has but one."""
    kind = KINDS.get(column.type)
    if kind is None:
        return ""
    asked = column.form if column.form in FORMS[kind] else FORMS[kind][0]
    form = choice.get(kind) or asked
    return "iso" if column.type == "time" and form == "unix" else form


def formed(column: ColumnSchema, form: str) -> ColumnSchema:
    """A column of the hub's schema as a file has it in this form: declared so that SQLite keeps and compares
    its values right, with a default in this form."""
    if form == default_form(column.type):
        return replace(column, form=form)
    declared = _DECLARED.get(form, "TEXT")
    if form == "real":
        declared = re.sub(r"_TEXT\$?", "", column.declared)
    default = column.default
    if default is not None and form in _DEFAULTS:
        default = _DEFAULTS[form](default)
    return replace(column, form=form, declared=declared, default=default)


def default_form(kind: str) -> str:
    """The form of a portable type that nobody has chosen one for: the centre's own spelling."""
    return FORMS[KINDS[kind]][0] if kind in KINDS else ""


_DECLARED = {"unix": "NUMERIC", "blob": "BLOB", "microseconds": "BIGINT"}
_NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_DEFAULTS: Mapping[str, Callable[[str], str]] = {
    "hex": lambda default: f"replace({default}, '-', '')",
    "blob": lambda default: "randomblob(16)",
    "space": lambda default: _NOW,
    "space6": lambda default: _NOW,
    "unix": lambda default: "CAST(strftime('%s', 'now') AS INTEGER)",
    "text": lambda default: {"0": "'false'", "1": "'true'"}.get(default, default),
}
"""The only defaults of timestamps and uuids that a device makes are the present time and a random one."""


# Spelling a column ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the values of one column pass the edge of the file.

    `outward` makes the one spelling of whatever stands in the file, `inward` the file's form of that. `fits`
    is quick: whether certainly all values (or NULLs) of a column are in the form. `converts`: the form is
    another spelling than the centre's. `is_lossy`: what went inward may come outward as another value.
    """

    outward: Speller
    inward: Speller
    fits: Callable[[Sequence[Value]], bool]
    converts: bool = False
    is_lossy: bool = False

    def settle(self, value: Value) -> Value:
        """A value as the file is to have it, whatever its spelling was."""
        return self.inward(self.outward(value))


_PRECISION = re.compile(r"\((\d+),(-?\d+)\)")


def spelling_of(column: ColumnSchema) -> Spelling | None:
    """The spelling of a column in its form; None if it has no other than the centre's, or none that can be
    told without it."""
    if column.type == "json":
        return _NUMBERS if column.form == _AS_NUMBERS else None
    found = _PRECISION.search(column.declared) if column.type == "decimal" else None
    precision, scale = (None, None) if found is None else (int(found[1]), int(found[2]))
    return _spelling(column.type, column.form or default_form(column.type), precision, scale)


@cache
def _spelling(kind: str, form: str, precision: int | None, scale: int | None) -> Spelling | None:
    if form in _INTERVALS:
        back, there = _INTERVALS[form]
        return Spelling(back, there, _FITS[form], converts=True, is_lossy=True)
    outward = speller(kind, scale)
    if outward is None:
        return None
    if form == default_form(kind):
        return Spelling(outward, _unchanged, _plain_fit(kind, scale))
    fits, inward = _FITS[form], _INWARD[form]
    if form == "real":
        is_lossy = precision is None or scale is None or precision > EXACT_DIGITS or scale < 0
        return Spelling(outward, inward, fits, converts=True, is_lossy=is_lossy)
    if form == "unix":
        return Spelling(
            _from_unix(outward, "Z" if kind == "timestamptz" else ""), inward, fits, converts=True
        )
    if kind == "time":
        return Spelling(outward, _time_inward(form), _FITS[f"time {form}"], converts=True)
    if form.startswith("space") and kind == "timestamptz":
        return Spelling(outward, _zoneless(inward), fits, converts=True)
    return Spelling(outward, inward, fits, converts=True)


_JSON_NUMBER = re.compile(r"[ \t\n\r]*(-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)[ \t\n\r]*", re.ASCII)


def _number_kept(value: Value) -> Value:
    """A JSON text as SQLite keeps it in a column declared `JSON`, whose affinity is NUMERIC: a bare number
    becomes one (sqlite.org/datatype3.html, section 3)."""
    found = _JSON_NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[2] is None and found[3] is None and abs(int(found[1])) <= INTEGER_MAX:
        return int(found[1])
    near = float(found[1])
    return int(near) if near.is_integer() and abs(near) < INTEGER_MAX else near


def _number_meant(value: Value) -> Value:
    """The JSON text that a number in such a column is, as `jsonb` writes it."""
    if isinstance(value, int):
        return str(value)
    number = number_in(value) if isinstance(value, float) else None
    return value if number is None else f"{number:f}"


_NUMBERS = Spelling(
    _number_meant,
    _number_kept,
    lambda values: {int, float, str, type(None)}.issuperset(map(type, values)),
    converts=True,
    is_lossy=True,
)


def in_numbers(column: ColumnSchema) -> ColumnSchema:
    """A column of JSON as a file has it that keeps bare numbers as numbers, because it is declared so."""
    return replace(column, form=_AS_NUMBERS)


_AS_NUMBERS = "number"


def certain_of(column: ColumnSchema) -> Callable[[Sequence[Value]], bool]:
    """The test whether the values of a key column, as they travel, certainly are spelled as the central
    database has them, though it is one whose spelling only that can tell."""
    if column.type in _PLAIN and column.modifier < 0:
        return _plain_fit(column.type, None)
    found = _PRECISION.search(column.declared) if column.type == "decimal" else None
    return _never if found is None else _plain_fit("decimal", int(found[2]))


def is_read(column: ColumnSchema, value: Value) -> bool:
    """Whether a device can tell which value of the column this is, however it is spelled. What it cannot read
    (`29 Feb 2024`, `$5`) the central database may."""
    if column.type in ("decimal", "float", "integer"):
        return number_in(value) is not None
    outward = speller(column.type)
    return outward is not None and _plain_fit(column.type, None)([outward(value)])


def _never(values: Sequence[Value]) -> bool:
    return False


def _unchanged(value: Value) -> Value:
    return value


def _space(value: Value) -> Value:
    """As `str(datetime)` writes it: six digits of a second, or none."""
    if not isinstance(value, str) or value[10:11] != "T":
        return value
    return f"{value[:10]} {value[11:19]}{value[19:].ljust(7, '0') if len(value) > 19 else ''}"


def _space6(value: Value) -> Value:
    if not isinstance(value, str) or value[10:11] != "T":
        return value
    return f"{value[:10]} {value[11:19]}{(value[19:] or '.').ljust(7, '0')}"


def _zoneless(inward: Speller) -> Speller:
    """UTC goes without saying."""

    def convert(value: Value) -> Value:
        return inward(value[:-1]) if isinstance(value, str) and value[-1:] == "Z" else value

    return convert


def _time_inward(form: str) -> Speller:
    def convert(value: Value) -> Value:
        if not isinstance(value, str) or value[:2] == "24" or (len(value) <= 8 and form == "space"):
            return value
        return f"{value[:8]}{(value[8:] or '.').ljust(7, '0')}"

    return convert


_EPOCH = datetime(1970, 1, 1)


def _unix(value: Value) -> Value:
    """Seconds since 1970 began in UTC: an integer, or a float with the digits of a second."""
    found = moment(value) if isinstance(value, str) else None
    if found is None:
        return value
    since = found[0] - _EPOCH
    whole = since.days * 86_400 + since.seconds
    if not since.microseconds:
        return whole
    seconds = float(f"{Decimal(whole) + Decimal(since.microseconds).scaleb(-6):f}")
    return seconds if _moment_of(seconds) == found[0] else value


def _moment_of(value: int | float) -> datetime | None:
    number = number_in(value)
    if number is None or abs(number) > 10**12:
        return None
    micro = round(number.scaleb(6))
    try:
        return utc(*divmod(micro, 1_000_000))
    except OverflowError:
        return None


def _from_unix(outward: Speller, zone: str) -> Speller:
    def convert(value: Value) -> Value:
        if isinstance(value, (int, float)):
            at = _moment_of(value)
            return value if at is None else iso(at) + zone
        return outward(value)

    return convert


def _hex(value: Value) -> Value:
    return value.replace("-", "") if isinstance(value, str) and len(value) == 36 else value


def _blob(value: Value) -> Value:
    return bytes.fromhex(str(_hex(value))) if _UUIDS([value]) and value is not None else value


def _real(value: Value) -> Value:
    """The nearest float. `NaN` and what no float is near to stay text."""
    number = number_in(value) if isinstance(value, str) else None
    near = None if number is None else float(number)
    return value if near is None or near in (float("inf"), float("-inf")) else near


def _truth(value: Value) -> Value:
    return {0: "false", 1: "true"}.get(value, value) if isinstance(value, int) else value


# Intervals -----------------------------------------------------------------------------------------------

_DAY_MICROSECONDS = 86_400_000_000
_DURATION = re.compile(
    r"P(?:(-?\d{1,9})D)?(?:T(?:(-?\d{1,12})H)?(?:(-?\d{1,12})M)?(?:(-?)(\d{1,12})(?:\.(\d{1,6}))?S)?)?",
    re.ASCII,
)


def _microseconds(value: Value) -> Value:
    """An interval without months and years, of which days have 24 hours, as Django has it: an integer."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    days, hours, minutes, sign, seconds, fraction = found.groups(default="")
    parts = int(days or 0) * 24, int(hours or 0), int(minutes or 0)
    micro = int(seconds or 0) * 1_000_000 + int(fraction.ljust(6, "0") or 0)
    total = ((parts[0] + parts[1]) * 60 + parts[2]) * 60_000_000 + (-micro if sign else micro)
    return total if abs(total) <= INTEGER_MAX else value


def _interval(value: Value) -> Value:
    """Microseconds as PostgreSQL spells them: days of 24 hours, and the rest of the same sign."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    if not isinstance(value, int):
        return value
    sign, left = ("-" if value < 0 else ""), abs(value)
    days, left = divmod(left, _DAY_MICROSECONDS)
    hours, left = divmod(left, 3_600_000_000)
    minutes, left = divmod(left, 60_000_000)
    seconds, micro = divmod(left, 1_000_000)
    spelled = f"P{sign}{days}D" if days else "P"
    clock = f"{sign}{hours}H" if hours else ""
    clock += f"{sign}{minutes}M" if minutes else ""
    if seconds or micro:
        clock += f"{sign}{seconds}" + (f".{micro:06d}".rstrip("0") if micro else "") + "S"
    if not days and not clock:
        return "PT0S"
    return f"{spelled}T{clock}" if clock else spelled


def _epoch(value: Value) -> Value:
    """As SQLAlchemy has it: the moment so long after 1970 began."""
    micro = _microseconds(value)
    if not isinstance(micro, int):
        return value
    try:
        return _space6(iso(utc(*divmod(micro, 1_000_000))))
    except OverflowError:
        return value


def _from_epoch(value: Value) -> Value:
    found = _moment_text.fullmatch(value) if isinstance(value, str) else None
    at = moment(value) if found is not None and isinstance(value, str) else None
    if at is None:
        return value
    since = at[0] - _EPOCH
    return _interval((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


_moment_text = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?", re.ASCII)

_INTERVALS: Mapping[str, tuple[Speller, Speller]] = {
    "microseconds": (_interval, _microseconds),
    "epoch": (_from_epoch, _epoch),
}
"""Outward and inward."""


# Whether a whole column is in its form -------------------------------------------------------------------

_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DIGITS = r"(?:\.[0-9]{0,5}[1-9])?"
_NUMBER = r"(?!-0(?:\.0*)?\n)-?(?:0|[1-9][0-9]{0,999})"
_SIX = r"\.[0-9]{6}"

_CLASSES: Mapping[str, frozenset[type]] = {
    "integer": frozenset([int, type(None)]),
    "boolean": frozenset([int, type(None)]),
    "float": frozenset([float, type(None)]),
}


@cache
def _texts(pattern: str) -> Callable[[Sequence[Value]], bool]:
    """Of texts of which each matches. A line that did is never gone back to: that costs half as much."""
    matches = re.compile(rf"(?:(?:{pattern})\n)*+").fullmatch
    return _lines(lambda lines, count: lines.count("\n") == count and matches(lines) is not None)


def _hexadecimal(shape: str) -> Callable[[Sequence[Value]], bool]:
    """Of texts that have a digit, 0 to 9 or a to f, where the shape has 0, and are alike otherwise. Several
    times as quick as a pattern: the keys of most tables are looked at like this."""
    line = f"{shape}\n".encode()

    def matches(lines: str, count: int) -> bool:
        return lines.isascii() and lines.encode().translate(_DIGITS_ALIKE) == line * count

    return _lines(matches)


_DIGITS_ALIKE = bytes.maketrans(b"123456789abcdef", b"0" * 15)


def _lines(matches: Callable[[str, int], bool]) -> Callable[[Sequence[Value]], bool]:
    """Of columns of texts and NULLs. `matches` is given the texts, a line each, and how many they are: a text
    that has a line break is several lines."""

    def fits(values: Sequence[Value]) -> bool:
        try:
            lines, count = "\n".join(values), len(values)  # type: ignore[arg-type]
        except TypeError:  # there is something else among them
            texts = [value for value in values if value is not None]
            if not {str}.issuperset(map(type, texts)):
                return False
            lines, count = "\n".join(texts), len(texts)  # type: ignore[arg-type]
        return matches(f"{lines}\n" if count else "", count)

    return fits


def _of_classes(classes: Iterable[type]) -> Callable[[Sequence[Value]], bool]:
    kinds = frozenset([*classes, type(None)])
    return lambda values: kinds.issuperset(map(type, values))


def _plain_fit(kind: str, scale: int | None) -> Callable[[Sequence[Value]], bool]:
    """Whether a column is in the centre's own spelling."""
    if kind in _CLASSES:
        return _of_classes(_CLASSES[kind])
    if kind != "decimal":
        return _PLAIN[kind]
    if scale is None or scale < 0:
        return _texts(rf"{_NUMBER}(?:\.[0-9]{{1,999}})?")
    return _texts(rf"{_NUMBER}\.[0-9]{{{scale}}}" if scale else _NUMBER)


_UUIDS = _hexadecimal("00000000-0000-0000-0000-000000000000")

_PLAIN: Mapping[str, Callable[[Sequence[Value]], bool]] = {
    "uuid": _UUIDS,
    "timestamp": _texts(f"{_DAY}T{_CLOCK}{_DIGITS}"),
    "timestamptz": _texts(f"{_DAY}T{_CLOCK}{_DIGITS}Z"),
    "date": _texts(_DAY),
    "time": _texts(f"{_CLOCK}{_DIGITS}|24:00:00"),
}

_INWARD: Mapping[str, Speller] = {
    "space": _space,
    "space6": _space6,
    "unix": _unix,
    "hex": _hex,
    "blob": _blob,
    "real": _real,
    "text": _truth,
}
_FITS: Mapping[str, Callable[[Sequence[Value]], bool]] = {
    "space": _texts(rf"{_DAY} {_CLOCK}(?:(?!\.000000){_SIX})?"),
    "space6": _texts(f"{_DAY} {_CLOCK}{_SIX}"),
    "time space": _texts(rf"{_CLOCK}(?:(?!\.000000){_SIX})?"),
    "time space6": _texts(f"{_CLOCK}{_SIX}"),
    "unix": _of_classes([int, float]),
    "hex": _hexadecimal("0" * 32),
    "blob": lambda values: all(v is None or (isinstance(v, bytes) and len(v) == 16) for v in values),
    "real": _of_classes([int, float]),
    "text": _texts("true|false"),
    "microseconds": _of_classes([int]),
    "epoch": _texts(f"{_DAY} {_CLOCK}{_SIX}"),
}
