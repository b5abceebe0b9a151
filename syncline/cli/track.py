"""`syncline track`: make existing tables of an existing file take part."""

from __future__ import annotations

from pathlib import Path

import click

from syncline.cli import output, progress
from syncline.cli.options import (
    file_argument,
    forms_option,
    json_option,
    open_replica,
    progress_option,
    token_option,
    wait_option,
)


@click.command()
@file_argument
@click.argument("tables", metavar="TABLE...", nargs=-1, required=True)
@click.option("--hub", metavar="URL", help="The hub; needed the first time.")
@forms_option
@token_option
@wait_option
@progress_option
@json_option
def track(
    file: Path,
    tables: tuple[str, ...],
    hub: str | None,
    forms: dict[str, str] | None,
    token: str | None,
    wait: float,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Make existing tables of an existing FILE take part.

    Rows that are only in FILE become pending inserts, rows that are only at the hub are added. Where
    both have a row and they differ, the hub's stays and the other is kept as a conflict. With a single
    integer key these are two things, as two inserts are: the other is kept as rejected (key_taken), with
    what points at it, and syncline rejected FILE retry ID --new-key brings it in under a free number, with
    the rows of your own tables that refer to it. It is
    a conflict there, too, if the table took part in FILE before. --forms says how the application spells
    values in these tables.

    Exit code 3: done, but rejected edits wait for you.

    JSON: file, hub_url, hub (the same), replica, tables, pending, rejected.
    """
    with open_replica(file, hub, token, wait) as replica:
        with progress.shown(shown["progress"]) as report:
            replica.track(*tables, progress=report, forms=forms)
        status = replica.status().as_dict()
        document = {
            "file": str(file),
            "hub": status["hub_url"],
            "hub_url": status["hub_url"],
            "replica": replica.id,
            "tables": list(tables),
        }
    if as_json:
        output.document({**document, "pending": status["pending"], "rejected": status["rejected"]})
    else:
        output.line(f"{', '.join(tables)} of {file} take part now; `syncline sync {file}` sends what is new")
        if status["rejected"]:
            kept = output.counted(status["rejected"], "rejected edit")
            output.message(f"{kept}: see `syncline rejected {file}`")
    return output.PERSON_NEEDED if status["rejected"] else output.DONE
