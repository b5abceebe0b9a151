"""Records what the messages of this protocol version are like: `python3 run.py protocol`.

`docs/protocol-history.md` holds a hash of all message records for each version. A test compares it with the
records as they are, so that they cannot change without anybody's noticing that the protocol changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from syncline.model import schema
from syncline.protocol import messages, packing
from syncline.protocol.messages import PROTOCOL_VERSION, Record, undressed
from syncline.protocol.routes import ROUTES

PAGE = Path(__file__).resolve().parent / "protocol-history.md"
SECTION = re.compile(r"^## Version (\d+)(.*)\n\nRecords: `(\w*)`$", re.MULTILINE)
UNRELEASED = "not released"
BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")

CHANGED = """\
The message records are not those of protocol version {version} any more (docs/protocol-history.md).
Version {version} is not released: add a line that says what changed under its heading there, then run
    python3 run.py protocol
which writes the new hash. (After a merge of two such changes, running it is all there is to do.)"""
RELEASED = """\
The message records are not those of protocol version {version} any more, and that version is released.
Raise PROTOCOL_VERSION in syncline/protocol/messages.py (OLDEST_VERSION says what is still spoken), begin a
section for the new version in docs/protocol-history.md, then run
    python3 run.py protocol"""
MISSING = """\
docs/protocol-history.md has no section for protocol version {version}. Begin one:

## Version {version}, not released

Records: ``

and say below what changed; then run
    python3 run.py protocol"""


def recorded(text: str) -> dict[int, tuple[str, bool]]:
    """The versions of the history page: the hash of their records, and whether they are released."""
    return {int(n): (digest, UNRELEASED not in title) for n, title, digest in SECTION.findall(text)}


def trouble(text: str, version: int, digest: str) -> str | None:
    """What to do where a history does not have this hash for this version; None if it has."""
    found = recorded(text).get(version)
    if found is None:
        return MISSING.format(version=version)
    if found[0] == digest:
        return None
    return (RELEASED if found[1] else CHANGED).format(version=version)


def with_hash(text: str, version: int, digest: str) -> str:
    """The history with another hash for a version; it must not be released."""

    def renewed(section: re.Match[str]) -> str:
        same = int(section[1]) == version
        return f"## Version {section[1]}{section[2]}\n\nRecords: `{digest if same else section[3]}`"

    return SECTION.sub(renewed, text)


def present() -> str:
    """The hash of the records as they are."""
    return hashlib.sha256("\n".join(shape()).encode()).hexdigest()


def shape() -> Iterator[str]:
    """All that makes up the messages, a line each: records, unions, routes, and the schema they carry."""
    for record in sorted(records(), key=lambda record: record.__name__):
        yield f"record {record.__name__}"
        yield from (f"  {line}" for line in fields_of(record))
    for name in ("Request", "Response"):
        yield f"union {name} = {typed(getattr(messages, name))}"
    for route in ROUTES:
        place = "body" if route.body else "query"
        both = f"{route.request.__name__} -> {route.response.__name__}"
        yield f"route {route.method} {route.path} {place}: {both}"
    for plain in (schema.ColumnSchema, schema.ForeignKey, schema.TableSchema):
        yield f"schema {plain.__name__}"
        hints = get_type_hints(plain)
        kept = [field for field in dataclasses.fields(plain) if field.init]
        yield from (f"  {field.name}: {typed(hints[field.name])}" for field in kept)


def records(kind: type[Record] = Record) -> Iterator[type[Record]]:
    """Every message record of the protocol package, those inside others too."""
    for record in kind.__subclasses__():
        if record.__module__ in (messages.__name__, packing.__name__):
            yield record
        yield from records(record)


def fields_of(record: type[Record]) -> Iterator[str]:
    """The fields in their order, each with its type and default."""
    hints = get_type_hints(record, include_extras=True)
    for field in msgspec.structs.fields(record):
        yield f"{field.name}: {typed(hints[field.name])}{default_of(field)}"


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f" = {field.default_factory()!r}"
    if field.default is msgspec.NODEFAULT:
        return ""
    return f" = {bytes(field.default).hex() if isinstance(field.default, Raw) else repr(field.default)}"


def typed(hint: Any) -> str:
    """A type in words that do not depend on the Python that says them."""
    bare, extra = undressed(hint)
    if bare is not hint:
        bounds = [(name, getattr(meta, name)) for meta in hint.__metadata__ for name in BOUNDS]
        bounds += [(name, extra.get(name)) for name in ("longest", "limit")]
        said = ", ".join(f"{name}={value!r}" for name, value in bounds if value is not None)
        return f"{typed(bare)}({said})" if said else typed(bare)
    arguments = get_args(hint)
    if not arguments:
        return str(getattr(hint, "__name__", hint))
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    parts = [typed(part) for part in arguments]
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(parts)
    return f"{get_origin(hint).__name__}[{', '.join(parts)}]"


def main() -> int:
    text, digest = PAGE.read_text(encoding="utf-8"), present()
    wrong = trouble(text, PROTOCOL_VERSION, digest)
    version = recorded(text).get(PROTOCOL_VERSION)
    if version is None or (wrong is not None and version[1]):
        print(wrong, file=sys.stderr)
        return 1
    PAGE.write_text(with_hash(text, PROTOCOL_VERSION, digest), encoding="utf-8")
    print("\n".join(shape()) if "--show" in sys.argv else f"version {PROTOCOL_VERSION}: {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
