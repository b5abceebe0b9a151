"""`syncline doctor`: is the centre, or a device file, as it should be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

import syncline
from syncline.cli import output, toml
from syncline.cli.options import FilePath, json_option
from syncline.errors import DatabaseError, SchemaError
from syncline.model.finding import Finding

HEADER = b"SQLite format 3\0"
"""How every SQLite file begins (sqlite.org/fileformat.html)."""


@click.command()
@click.argument("file", metavar="syncline.toml|FILE", type=FilePath())
@json_option
def doctor(file: Path, as_json: bool) -> int:
    """Examine the central database, or a device file, and say what is wrong and what to do.

    Changes nothing, and needs no network for a device file. Exit code 3 when something needs a person.

    That tables of the centre were altered is no trouble where the servers follow by themselves.

    JSON: database or file, findings [{level, code, sentence, remedy}]; level is fact, warning or trouble.
    """
    if is_device_file(file):
        from syncline.replica.examine import examine

        return _told({"file": str(file)}, examine(file), as_json)
    return _told(*_centre(file), as_json)


def is_device_file(path: Path) -> bool:
    """By what is in it: an SQLite file, or something else that is no text, or a text that is no TOML and does
    not say by its name that it should be. What is empty or missing goes by its name."""
    try:
        with path.open("rb") as file:
            head = file.read(len(HEADER) * 64)
    except OSError:
        head = b""
    if not head or b"\0" in head:
        return bool(head) or path.suffix != ".toml"
    return path.suffix != ".toml" and not _is_toml(path)


def _is_toml(path: Path) -> bool:
    try:
        toml.parsed(path)
    except (OSError, ValueError):
        return False
    return True


def _centre(toml: Path) -> tuple[dict[str, object], list[Finding]]:
    """A centre that cannot be examined is what was found: not reached, a standby, not prepared."""
    from syncline.cli import configuration

    settings = configuration.read(toml)
    try:
        with syncline.Hub(settings.hub.database, tables=settings.rules(), forms=settings.forms) as hub:
            found = hub.examine()
    except (DatabaseError, SchemaError) as error:
        found = [Finding("trouble", error.code, error.detail, error.remedy)]
    return {"database": output.without_password(settings.hub.database)}, found


def _told(of: dict[str, object], found: Sequence[Finding], as_json: bool) -> int:
    if as_json:
        output.document({**of, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            output.line(f"{finding.level:8} {finding.sentence} [{finding.code}]")
            if finding.remedy:
                output.line(f"{'':8} try: {finding.remedy}")
    return output.PERSON_NEEDED if any(f.level == "trouble" for f in found) else output.DONE
