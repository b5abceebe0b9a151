"""`syncline init`: prepare the central database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, json_option

if TYPE_CHECKING:
    from syncline.hub.database import Prepared


@click.command()
@configuration_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be done, with the SQL.")
@json_option
def init(toml: Path, dry_run: bool, as_json: bool) -> int:
    """Prepare the central database: Syncline's own tables, and triggers that record changes.

    Your tables are not altered. Running it again changes only what is missing, and says so.

    \b
    syncline.toml:
      [hub]
      database = "sqlite:///central.db"    # or postgresql://...; a relative file lies beside the toml
      [tables.invoice]                     # without any [tables...]: all tables that can take part
      merge = { total = "sum" }            # a policy for a column, or one word for whole rows
      deletes = "newer_wins"               # or delete_wins, update_wins

    SYNCLINE_DATABASE in the environment overrides the database.

    JSON: database, dry_run, tables, notes, statements.
    """
    from syncline.cli import configuration

    settings = configuration.read(toml)
    hub = syncline.Hub(settings.hub.database, tables=settings.rules())
    try:
        prepared = hub.init(dry_run=dry_run)
        tables = [] if dry_run else [table.name for table in hub.schema.tables]
    finally:
        hub.close()
    if as_json:
        output.document(
            {
                "database": output.without_password(settings.hub.database),
                "dry_run": dry_run,
                "tables": tables,
                "notes": prepared.notes,
                "statements": prepared.statements,
            }
        )
        return output.DONE
    if dry_run:
        _say_plan(prepared)
        return output.DONE
    for note in prepared.notes:
        output.line(note)
    done = "prepared" if prepared.statements else "nothing was to be done"
    output.line(f"{done}: {output.counted(len(tables), 'table')} take part: {', '.join(tables)}")
    return output.DONE


def _say_plan(prepared: Prepared) -> None:
    output.message("nothing was changed; this is what init would run")
    for note in prepared.notes:
        output.line(f"-- {note}")
    for statement in prepared.statements:
        output.line(statement.rstrip().rstrip(";") + ";")
