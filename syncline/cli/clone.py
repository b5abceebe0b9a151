"""`syncline clone`: create and fill a device file."""

from __future__ import annotations

from pathlib import Path

import click

import syncline
from syncline.cli import output, progress
from syncline.cli.options import (
    file_argument,
    forms_option,
    is_insecure,
    json_option,
    progress_option,
    token_option,
    wait_option,
)


@click.command()
@click.argument("url")
@file_argument
@forms_option
@token_option
@wait_option
@progress_option
@json_option
def clone(
    url: str,
    file: Path,
    forms: dict[str, str] | None,
    token: str | None,
    wait: float,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Create FILE with the hub's tables, rows and capture triggers.

    FILE must not exist yet. If it is interrupted, the same command goes on where it stopped. Values are
    spelled as the hub says, or as --forms does: an ORM finds nothing in a file whose uuids or timestamps are
    not spelled as it writes them.

    JSON: file, hub_url, hub (the same), replica, tables.
    """
    with progress.shown(shown["progress"]) as report:
        replica = syncline.clone(
            url, str(file), token=token, progress=report, forms=forms, wait=wait, insecure=is_insecure()
        )
    with replica:
        tables = list(replica.status().as_dict()["tables"])
        made = {"file": str(file), "hub": url, "hub_url": url, "replica": replica.id, "tables": tables}
    if as_json:
        output.document(made)
    else:
        output.line(f"cloned {output.counted(len(tables), 'table')} from {url} into {file}")
    return output.DONE
