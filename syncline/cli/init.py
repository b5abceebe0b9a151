"""`syncline init`: prepare the central database, or take everything out of it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, confirm, json_option, yes_option
from syncline.merge.policies import (
    COLUMN_POLICIES,
    DELETE_POLICIES,
    INSERT_POLICIES,
    ROW_POLICIES,
    described,
    listed,
)
from syncline.model.local import LOCAL_ROWS

if TYPE_CHECKING:
    from syncline.cli.configuration import Configuration
    from syncline.hub.contract import Prepared


def _policies() -> str:
    """What stands below the options: every policy and what it does."""
    parts = (
        ("merge = { COLUMN = POLICY }, the first where none is named:", listed(COLUMN_POLICIES)),
        ("merge = POLICY, for whole rows:", listed(ROW_POLICIES)),
        ("deletes = POLICY, for an update against a delete:", listed(DELETE_POLICIES)),
        (
            "inserts = POLICY, for two inserts of one key; key_taken for integer keys:",
            listed(INSERT_POLICIES),
        ),
        (
            "local_rows = WHAT, for a device's own rows that refer to a deleted one:",
            described(LOCAL_ROWS),
        ),
    )
    blocks = ("\n".join(["\b", title, *(f"  {line}" for line in lines)]) for title, lines in parts)
    return "\n\n".join(blocks)


@click.command(epilog=_policies())
@configuration_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be done, with the SQL.")
@click.option("--remove", is_flag=True, help="Take everything of Syncline's out of the database again.")
@yes_option
@json_option
def init(toml: Path, dry_run: bool, remove: bool, yes: bool, as_json: bool) -> int:
    """Prepare the central database: Syncline's own tables, and triggers that record changes.

    Your tables are not altered. Running it again changes only what is missing, and says so. --remove takes
    everything away again and leaves your tables as they were; the devices must be cloned anew afterwards.

    \b
    syncline.toml:
      [hub]
      database = "sqlite:///central.db"    # or postgresql://...; a relative file lies beside the toml
      [tables.invoice]                     # without any [tables...]: all tables that can take part
      merge = { total = "sum" }            # a policy for each column, or one for whole rows; see below
      deletes = "newer_wins"               # an update against a delete

    SYNCLINE_DATABASE in the environment overrides the database.

    Where tables were changed in a way that devices cannot follow (a narrower type, a new column that must
    have a value, another key), it says how many replicas that concerns, and wants --yes. For such a column
    a default is the better way: nothing is out of service meanwhile, and it then comes by itself.

    Where tables go out of service because syncline.toml names others (a first [tables...] leaves out all that
    it does not name), it warns of that, and says how to keep them.

    --dry-run begins with a summary; its statements are all that would be run, with their values. Exit code 3:
    they would be run with --yes alone.

    JSON: database, dry_run, removed, tables, warnings, findings [{level, code, sentence, remedy}], notes,
    statements; findings are those of the warnings that have a code and a remedy.
    """
    from syncline.cli import configuration

    settings = configuration.read(toml)
    if remove and not dry_run:
        question = f"Remove Syncline from {output.without_password(settings.hub.database)}?"
        confirm(f"{question} Its log, its replicas and kept conflicts are forgotten.", yes=yes)
    hub = syncline.Hub(settings.hub.database, tables=settings.rules(), forms=settings.forms)
    try:
        done = hub.remove(dry_run=dry_run) if remove else hub.init(dry_run=dry_run, yes=yes)
        tables = [] if remove else _names_of(done) if dry_run else [table.name for table in hub.schema.tables]
    finally:
        hub.close()
    if as_json:
        _print_document(settings, done, tables, dry_run=dry_run, removed=remove and not dry_run)
    elif dry_run:
        _say_plan(done, "--remove" if remove else "--yes" if done.asks else "")
    else:
        _say_done(settings, done, tables, removed=remove)
    return output.PERSON_NEEDED if dry_run and done.asks and not yes else output.DONE


def _print_document(
    settings: Configuration, done: Prepared, tables: list[str], *, dry_run: bool, removed: bool
) -> None:
    output.document(
        {
            "database": output.without_password(settings.hub.database),
            "dry_run": dry_run,
            "removed": removed,
            "tables": tables,
            "warnings": done.warnings,
            "findings": [asdict(finding) for finding in done.findings],
            "notes": done.notes,
            "statements": done.statements,
        }
    )


def _say_plan(prepared: Prepared, option: str) -> None:
    if prepared.statements:
        output.message(f"nothing was changed; this is what init {option} would run".replace("  ", " "))
    else:
        output.message("nothing is to be done")
    if prepared.statements and option != "--remove":
        output.line(f"-- {_summary(prepared)}")
    for warning in _warnings(prepared):
        output.line(f"-- {warning}")
    for note in prepared.notes:
        output.line(f"-- {note}")
    for statement in prepared.statements:
        output.line(statement.rstrip().rstrip(";") + ";")


def _warnings(prepared: Prepared) -> Iterator[str]:
    """A line for each warning, and one for what to do about it where it has a code."""
    found = {finding.sentence: finding for finding in prepared.findings}
    for warning in prepared.warnings:
        finding = found.get(warning)
        yield f"WARNING: {warning}" + (f" [{finding.code}]" if finding else "")
        if finding:
            yield f"try: {finding.remedy}"


def _names_of(prepared: Prepared) -> list[str]:
    return [] if prepared.schema is None else [table.name for table in prepared.schema.tables]


def _summary(prepared: Prepared) -> str:
    """The first line of a plan: which tables, how much, and what needs a person."""
    counts = [
        output.counted(len(prepared.statements), "statement"),
        output.counted(len(prepared.notes), "note"),
        output.counted(len(prepared.warnings), "warning"),
    ]
    return f"{_taking_part(_names_of(prepared))}; {', '.join(counts)}"


def _say_done(settings: Configuration, done: Prepared, tables: list[str], *, removed: bool) -> None:
    for warning in _warnings(done):
        output.message(warning)
    for note in done.notes:
        output.line(note)
    if not done.statements:
        word = "nothing else was to be done" if done.ruled else "nothing was to be done"
    else:
        word = "removed" if removed else "prepared"
    if removed:
        output.line(f"{word}: nothing of Syncline is left in the database")
        if settings.hub.snapshots:
            output.message(f"the folder {settings.hub.snapshots} is of no use to this hub any more")
    else:
        output.line(f"{word}: {_taking_part(tables)}")


def _taking_part(tables: list[str]) -> str:
    if not tables:
        return "no table takes part"
    takes = "1 table takes part" if len(tables) == 1 else f"{len(tables):,} tables take part"
    return f"{takes}: {', '.join(tables)}"
