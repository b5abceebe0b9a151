"""How verbs speak: results on stdout (text or one JSON object), messages on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from syncline.errors import SynclineError

DONE, FAILED, USAGE, PERSON_NEEDED, INTERRUPTED = 0, 1, 2, 3, 130
AS_JSON = object()
"""What the context of a command holds that was asked for JSON."""


def line(text: str = "") -> None:
    """One line of the result, or a few."""
    click.echo(harmless(text))


def heading(text: str) -> None:
    """One line of the result that stands out on a terminal."""
    click.echo(click.style(harmless(text), bold=True))


def message(text: str) -> None:
    """One line for the person at the terminal; never part of the result."""
    click.echo(harmless(text), err=True)


def warning(text: str) -> None:
    """One line for whoever asked; with --json one that a machine can tell from a failure."""
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().obj is AS_JSON:
        message(_escaped(json.dumps({"warning": text}, ensure_ascii=False)))
    else:
        message(f"warning: {text}")


def harmless(text: str) -> str:
    """The text as a terminal may have it: what would move the cursor, change the colour or turn the direction
    of reading is spelled out. Rows, names and errors come from others."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Everything but tabs and line feeds that Unicode calls a control, marks of direction, lone surrogates."""


def document(value: Mapping[str, Any]) -> None:
    """The whole result as one JSON object."""
    click.echo(_json(value, indent=2))


def document_line(value: Mapping[str, Any]) -> None:
    """One JSON object on one line, for a reader that waits for it while the command goes on."""
    click.echo(_json(value, indent=None))


def _json(value: Mapping[str, Any], indent: int | None) -> str:
    from syncline.replica.reports import plain  # late: most commands print text

    return _escaped(json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False))


def _escaped(text: str) -> str:
    """JSON whose controls are written as JSON writes them: it means the same."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def failure(error: SynclineError, *, as_json: bool) -> None:
    """Say on stderr what happened and what to do."""
    if as_json:
        said = {
            "code": error.code,
            "title": error.title,
            "detail": error.detail,
            "remedy": error.remedy,
            "retry": error.retry,
        }
        message(_escaped(json.dumps({"error": said}, ensure_ascii=False)))
        return
    message(f"error: {error.detail} [{error.code}]")
    message(f"try:   {error.remedy}")


def spelled(value: Any) -> str:
    """A value as people read it: NULL, numbers as they are, text in quotes, blobs by their size."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"blob of {len(value)} bytes"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(spelled(item) for item in value) + ")"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    return str(value)


def key_words(key: Sequence[Any]) -> tuple[str, ...]:
    """A key as it is typed on the command line, a word for each column; blobs in hex."""
    return tuple(value.hex() if isinstance(value, bytes) else str(value) for value in key)


ROWS_NAMED = 10
"""So many rows are named in one line."""


def key_text(key: Sequence[Any]) -> str:
    """A key in one piece."""
    return " ".join(key_words(key))


def rows_named(rows: Sequence[tuple[str, Sequence[Any]]]) -> str:
    """Some rows, each with its table."""
    named = [f"{table} {key_text(key)}" for table, key in rows[:ROWS_NAMED]]
    return ", ".join([*named, *(["..."] if len(rows) > ROWS_NAMED else [])])


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    scheme, separator, rest = url.partition("://")
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{scheme}{separator}{user}:***@{address}" if at and colon else url
    return re.sub(r"(password=)[^&\s]*", r"\1***", shown, flags=re.IGNORECASE)


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 row`, `2 rows`, `12,000 rows`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; as wide as it needs to be where stdout is not a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(harmless(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    console = Console(file=sys.stdout, width=width, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    for text in capture.get().splitlines():
        if text.strip():
            click.echo(text.rstrip())  # the cells are harmless by now, the heading is styled
