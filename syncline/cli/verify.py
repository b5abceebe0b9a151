"""`syncline verify`: is what the device has what the centre has?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncline.cli import output, progress
from syncline.cli.options import (
    file_argument,
    hub_option,
    json_option,
    open_replica,
    progress_option,
    token_option,
    wait_option,
)

if TYPE_CHECKING:
    from syncline import Difference, VerifyReport

_KINDS = {"missing_here": "missing here", "not_in_centre": "not in the centre", "differs": "differs"}


@click.command()
@file_argument
@click.option("--repair", is_flag=True, help="Make the rows that differ what the centre has.")
@hub_option
@token_option
@wait_option
@progress_option
@json_option
def verify(
    file: Path,
    repair: bool,
    hub: str | None,
    token: str | None,
    wait: float,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Compare every row with the centre, by digests, and list those that differ.

    What is pending is sent first; rows edited meanwhile are set aside. Other programs may go on writing on
    both sides. With --repair only the rows listed are changed, to what the centre has.

    A table of `unable` or `left_out` could not be compared, and the file is not equal. One of `changed` takes
    part no longer: it is named, and does not count. Exit code 3: not equal.

    JSON: equal, tables [{name, rows, centre_rows, equal}], differences [{table, key, kind, here, centre,
    held}] (kind: missing_here, not_in_centre, differs; held: the file has the centre's row and holds it back
    behind edits that are pending, or because an object of the file refuses it), repaired, left (as
    differences), complete, pending, unable [{table, code, detail, remedy}: tables that could not be
    compared], changed {table: how the centre changed it, so that it takes part no longer and is not
    compared}, watermark, requests, seconds, left_out [tables of the centre that take no part here and could
    not be compared, since the file has its own of these names].
    """
    with (
        open_replica(file, hub, token, wait) as replica,
        progress.shown(shown["progress"]) as report,
    ):
        found = replica.verify(repair, progress=report)
    if as_json:
        output.document(found.as_dict())
    else:
        say(found)
        if found.differences and not repair:
            output.message(f"to make these rows what the centre has: syncline verify {file} --repair")
    if not found.complete:
        output.message("too many rows differ to list them all: clone the replica again")
    return output.DONE if found.equal else output.PERSON_NEEDED


def say(found: VerifyReport) -> None:
    """Print what was found, for people."""
    output.table(
        ["table", "rows here", "in the centre", "verdict"],
        [
            [table.name, f"{table.rows:,}", f"{table.centre_rows:,}", "equal" if table.equal else "differs"]
            for table in found.tables
        ],
    )
    _list(found.differences)
    requests = output.counted(found.requests, "request")
    for one in found.unable:
        output.line(f"{one.table} was not compared: {one.detail} [{one.code}]")
        output.line(f"  to do: {one.remedy}")
    for name, why in found.changed.items():
        if name not in found.left_out:
            output.line(f"{name} takes part no longer and was not compared: {why}")
    for name in found.left_out:
        why = found.changed.get(name, "the file has its own table of that name")
        output.line(f"{name} takes no part here and was not compared: {why}")
        output.line("  to do: see syncline doctor FILE")
    if not found.differences:
        others = found.unable or found.changed or found.left_out
        text = "all others are equal" if others else "equal"
        output.line(f"{text} ({requests})")
        return
    text = output.counted(len(found.differences), "row differs", "rows differ")
    if found.repaired:
        text += f", {found.repaired:,} repaired" + (
            f", {len(found.left):,} differ again" if found.left else ""
        )
    output.line(f"{text} ({requests})")
    _list(found.left)


def _list(differences: Iterable[Difference]) -> None:
    for row in differences:
        held = " (held back, see syncline status)" if row.held else ""
        output.line(f"{row.table} {output.key_text(row.key)}: {_KINDS[row.kind]}{held}")
        for name in row.here if row.kind == "differs" else ():
            here, centre = output.spelled(row.here[name]), output.spelled(row.centre[name])
            output.line(f"  {name}: here {here}, in the centre {centre}")
        if row.kind != "differs":
            values = row.here or row.centre
            output.line("  " + ", ".join(f"{name} {output.spelled(value)}" for name, value in values.items()))
