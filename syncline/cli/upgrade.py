"""`syncline upgrade`: take on the names that the centre has now."""

from __future__ import annotations

from pathlib import Path

import click

from syncline.cli import output
from syncline.cli.options import file_argument, json_option, open_replica


@click.command()
@file_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def upgrade(file: Path, dry_run: bool, as_json: bool) -> int:
    """Give tables and columns of FILE the names that they have in the centre now.

    A table or column that was renamed in the centre keeps its name in FILE, because the application's SQL
    uses it, and one that was dropped stays there and is no longer synced. Run this together with a new
    version of the application. Tables that were dropped stay. Without the network, in one transaction.

    JSON: file, dry_run, tables {former name: name}, columns {table: {former name: name}}, dropped {table:
    [column]}, indexes [name], foreign_keys [table (columns) to table (columns)], left {table: {column: why
    it stays as it is}}.
    """
    with open_replica(file) as replica:
        report = replica.preview_upgrade() if dry_run else replica.upgrade()
    if as_json:
        output.document({"file": str(file), "dry_run": dry_run, **report.as_dict()})
        return output.DONE
    lines = [f"table {old} is called {new}" for old, new in report.tables.items()]
    for table, names in report.columns.items():
        lines += [f"table {table}: column {old} is called {new}" for old, new in names.items()]
    for table, gone in report.dropped.items():
        lines += [f"table {table}: column {column} is dropped" for column in gone]
    lines += [f"index {name} is made" for name in report.indexes]
    lines += [f"foreign key of {name} is made" for name in report.foreign_keys]
    done = bool(lines)
    for table, columns in report.left.items():
        lines += [f"table {table}: column {column} stays as it is: {why}" for column, why in columns.items()]
    for line in lines:
        output.line(line)
    if not lines:
        output.line(f"{file} has the names of the centre already")
    elif dry_run and done:
        output.line("Nothing was changed.")
    return output.DONE
