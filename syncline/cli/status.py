"""`syncline status`: how a device file stands."""

from __future__ import annotations

from pathlib import Path

import click

from syncline.cli import output
from syncline.cli.options import file_argument, json_option, open_replica

WAITING_SHOWN = 20
"""So many rows that wait are told one by one."""


@click.command()
@file_argument
@json_option
def status(file: Path, as_json: bool) -> int:
    """Say how FILE stands, without the network: what is pending, since when, and what waits for you.

    JSON: id, file, hub_id, hub (the same), hub_url, tables, pending {table: edits}, in_flight, watermark,
    schema, last_sync, conflicts, open_conflicts, rejected, hidden, left_out [tables of the centre that take
    no part here], uncaptured [tables that a program has made anew], waiting [{table, key, object, detail,
    code, remedy}: rows of the centre that this file does not take], waiting_count, changed {table: how the
    centre changed it, so that it takes part no longer}, left [other tables of the file that the centre has no
    more], unable [{table, code, detail, remedy}: tables that
    cannot take part as they are].
    """
    with open_replica(file) as replica:
        found = replica.status()
        held = replica.waiting() if found.waiting_count else []
    if as_json:
        output.document({**found.as_dict(), "waiting": [row.as_dict() for row in held]})
        return output.DONE
    of = f" of {found.hub_url}" if found.hub_url else ""
    output.line(f"{file}: replica {found.id}{of}")
    output.line(f"last sync  {found.last_sync or 'never'}")
    output.line(f"watermark  {found.watermark or 'none yet'}")
    waiting = sum(found.pending.values())
    output.line(f"pending    {output.counted(waiting, 'edit') if waiting else 'nothing'}")
    if found.uncaptured:
        names = ", ".join(found.uncaptured)
        output.line(f"not seen   what was done to {names} for a while: the next sync compares")
    if found.in_flight is not None:
        output.line(f"in flight  push {found.in_flight} was sent and not answered; the next sync asks again")
    if found.hidden:
        rows = output.counted(found.hidden, "row")
        output.line(f"hidden     {rows}, for the sake of edits; the next sync decides")
    if held:
        output.line(f"waiting    {output.counted(len(held), 'row')} that this file does not take")
        for row in held[:WAITING_SHOWN]:
            output.line(f"           {row.detail}")
    conflicts = f"{found.conflicts:,}, of which {found.open_conflicts:,} to be decided"
    output.line(f"conflicts  {conflicts if found.conflicts else 'none'}")
    output.line(f"rejected   {format(found.rejected, ',') if found.rejected else 'none'}")
    left_out = [name for name in found.left_out if name not in found.changed]
    if left_out:
        output.line(f"left out   {', '.join(left_out)}: see `syncline doctor {file}`")
    for one in found.unable:
        output.line(f"unable     {one.table} waits, the rest is synced: {one.detail} [{one.code}]")
        output.line(f"           {one.remedy}")
    for name, why in found.changed.items():
        output.line(f"changed    {name} is not synced any more: {why}")
        if name in found.left_out:
            output.line(
                f"           the centre has a {name}, which can take part: see `syncline doctor {file}`"
            )
    if found.left:
        output.line(f"left       {', '.join(found.left)}: no table of the centre any more, and not synced")
    output.table(["table", "pending"], [[name, f"{found.pending.get(name, 0):,}"] for name in found.tables])
    return output.DONE
