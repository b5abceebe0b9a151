"""`syncline log`: what is captured and not decided yet."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncline.cli import output
from syncline.cli.options import TakesNegativeNumbers, file_argument, json_option, open_replica

if TYPE_CHECKING:
    from syncline import LogEntry

OPERATIONS = {"I": "inserted", "U": "updated", "D": "deleted", "M": "replaced"}


@click.command(cls=TakesNegativeNumbers)
@file_argument
@click.argument("table", required=False)
@click.argument("key", nargs=-1)
@json_option
def log(file: Path, table: str | None, key: tuple[str, ...], as_json: bool) -> int:
    """Show the edits captured in FILE and not decided yet, oldest first; of one TABLE, of one KEY.

    A key of several columns is given as several words; a blob in hex.

    JSON: file, entries [{table, seq, op, key, at, old, in_flight}].
    """
    with open_replica(file) as replica:
        meant = product(*map(_meant, key)) if key else [None]
        entries = [entry for one in meant for entry in replica.log(table, one)]
    entries = sorted(entries, key=lambda entry: entry.seq) if key else entries
    if as_json:
        output.document({"file": str(file), "entries": [entry.as_dict() for entry in entries]})
    elif not entries:
        output.message("nothing is captured that is not decided")
    else:
        output.table(["at", "table", "key", "what", "before"], [_row(entry) for entry in entries])
    return output.DONE


def _meant(word: str) -> list[str | int | float | bytes]:
    """What a word of a key may stand for: text, and the number or the blob that it spells."""
    found: list[str | int | float | bytes] = [word]
    for read in (int, float, bytes.fromhex):
        try:
            value = read(word)
        except ValueError:
            continue
        if output.key_words([value]) == (word,) and not (isinstance(value, int) and value.bit_length() > 63):
            found.append(value)
    return found


def _row(entry: LogEntry) -> list[str]:
    before = ", ".join(f"{name} {output.spelled(value)}" for name, value in entry.old.items())
    what = OPERATIONS.get(entry.op, entry.op) + (" (in flight)" if entry.in_flight else "")
    return [entry.at, entry.table, output.key_text(entry.key), what, before]
