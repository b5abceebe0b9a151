"""`syncline init`: prepare the central database."""

from __future__ import annotations

from pathlib import Path

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, json_option


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
    for note in prepared.notes:
        output.line(note)
    if dry_run:
        for statement in prepared.statements:
            output.line(statement.rstrip().rstrip(";") + ";")
    else:
        done = "nothing was to be done" if not prepared.statements else "prepared"
        output.line(f"{done}: {output.counted(len(tables), 'table')} take part: {', '.join(tables)}")
    return output.DONE
