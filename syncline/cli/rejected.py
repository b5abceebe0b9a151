"""`syncline rejected`: edits that the centre cannot hold; list, show, retry, discard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncline.cli import output
from syncline.cli.options import confirm, file_argument, json_option, open_replica, refuse_idle, yes_option
from syncline.errors import UsageError
from syncline.replica.rejected import SEE_IDS
from syncline.replica.reports import RetriedEdit

if TYPE_CHECKING:
    from syncline import RejectedEdit, Replica

OPERATIONS = {"I": "insert", "R": "replace", "U": "update", "D": "delete"}


@click.command()
@file_argument
@click.argument("action", type=click.Choice(["list", "show", "retry", "discard"]), default="list")
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option(
    "--new-key",
    is_flag=True,
    help="With retry: under a free number, with what was rejected because of it and your own rows that meant"
    " it.",
)
@yes_option
@json_option
def rejected(file: Path, action: str, number: int | None, new_key: bool, yes: bool, as_json: bool) -> int:
    """List the edits of FILE that the centre refused, show one, retry or discard one.

    \b
    syncline rejected FILE              every rejected edit, with its reason
    syncline rejected FILE show ID      one, with its values
    syncline rejected FILE retry ID     put it into the table again; the next sync sends it
    syncline rejected FILE retry ID --new-key    the same, under a free number (key_taken)
    syncline rejected FILE discard ID   forget it (asks, unless --yes)

    A retry that would overwrite what others wrote since is refused; the edit is kept then. So is one
    of a row with other edits that are pending: sync first. With --new-key what was rejected because of
    the row follows it, on all levels, and so do the rows of your own tables that referred to it when it was
    rejected, if they are as they were then; those that were written or changed since are named.

    Of an edit that a copy of FILE has brought in with --new-key nothing is known here: sync, look for its row
    under another number, and discard the edit if that is there. A retry would bring it in twice.

    JSON: list {file, rejected [...]}; show, retry, discard {rejected, action}; retry also retried [...], what
    is in its table again, this edit first, then those that went along with --new-key: id, table, key, op,
    new_key, local [[table, key]: rows of your own tables that follow], left [those that still refer to the
    former key]. An edit: id, table, key, op, values, base, code, detail, remedy, parent, at, push, local,
    own {column of this file alone: what it held, which comes back with a retry}.
    """
    refuse_idle(action, "retry", {"--new-key": new_key})
    refuse_idle(action, "discard", {"--yes": yes})
    refuse_idle(action, "show, retry or discard", {"an ID": number is not None})
    with open_replica(file) as replica:
        if action == "list":
            return _list(file, replica.rejected(), as_json=as_json)
        edit = _find(replica, file, number)
        done, retried = _named(edit), tuple[RetriedEdit, ...]()
        if action == "retry":
            retried = replica.retry(edit.id, new_key=new_key)
            done = "\n".join(_retried(file, edit, retried))
        elif action == "discard":
            confirm(f"Discard the {done}?", yes=yes)
            replica.discard(edit.id)
            done = "\n".join([f"{done}: discarded", *_staying(replica, file, edit)])
    if as_json:
        also = {"retried": retried} if action == "retry" else {}
        output.document({"rejected": edit, "action": action, **also})
    elif action == "show":
        _show(edit)
    else:
        output.line(done)
    return output.DONE


def _named(edit: RejectedEdit | RetriedEdit) -> str:
    return f"{OPERATIONS[edit.op]} of {edit.table} {output.key_text(edit.key)}"


def _retried(file: Path, edit: RejectedEdit, retried: Sequence[RetriedEdit]) -> Iterator[str]:
    """What a retry has put back, a line for each edit, with its new key."""
    if not retried:
        yield f"{_named(edit)}: the centre has it already, from a copy of this file; it is forgotten"
    for one in retried:
        place = "in the table again"
        if one.new_key is not None:
            place = f"{place} as {one.table} {output.key_text(one.new_key)}"
        sends = (
            f"`syncline sync {file}` sends it" if len(retried) == 1 else f"`syncline sync {file}` sends them"
        )
        yield f"{_named(one)}: {place}" if one.id != edit.id else f"{_named(one)}: {place}; {sends}"
        if one.local:
            yield f"  refer to it now, in tables of this file alone: {output.rows_named(one.local)}"
        if one.left:
            rows, former = output.rows_named(one.left), f"{one.table} {output.key_text(one.key)}"
            yield f"  still refer to {former}, for they were written or changed since: {rows}"


def _staying(replica: Replica, file: Path, edit: RejectedEdit) -> Iterator[str]:
    """What is said of a row that the file does not take as the centre has it."""
    for row in replica.waiting():
        if (row.table, row.key) == (edit.table, edit.key):
            away = "the row does not come back into this file"
            here = "the row stays in this file as it is, and what is written into it from now on is sent"
            yield f"{away if edit.op == 'D' else here} ({row.object}): see `syncline status {file}`"


def _list(file: Path, edits: list[RejectedEdit], *, as_json: bool) -> int:
    if as_json:
        output.document({"file": str(file), "rejected": edits})
    elif not edits:
        output.message("nothing is rejected")
    else:
        output.table(["id", "row", "edit", "code", "why"], [_row(edit) for edit in edits])
    return output.DONE


def _row(edit: RejectedEdit) -> list[str]:
    where = f"{edit.table} {output.key_text(edit.key)}"
    return [str(edit.id), where, OPERATIONS[edit.op], edit.code, edit.detail]


def _show(edit: RejectedEdit) -> None:
    push = "never sent" if edit.push is None else f"push {edit.push}"
    output.line(f"{OPERATIONS[edit.op]} of {edit.table} {output.key_text(edit.key)}, {push}, {edit.at}")
    output.line(f"why: {edit.detail} [{edit.code}]")
    output.line(f"try: {edit.remedy}")
    if edit.parent is not None:
        table, key = edit.parent
        output.line(f"it depends on {table} {output.key_text(key)}, which was rejected too")
    if edit.local:
        output.line(f"referred to it, in tables of this file alone: {output.rows_named(edit.local)}")
        output.line("with --new-key they follow it, if they are as they were then")
    if edit.values:
        rows = [
            [name, output.spelled(edit.base.get(name)), output.spelled(value)]
            for name, value in edit.values.items()
        ]
        output.table(["column", "before", "sent"], rows)
    elif edit.base:
        output.table(["column", "before"], [[name, output.spelled(old)] for name, old in edit.base.items()])
    if edit.own:
        output.line("in columns of this file alone, which come back with a retry:")
        output.table(["column", "kept"], [[name, output.spelled(value)] for name, value in edit.own.items()])


def _find(replica: Replica, file: Path, number: int | None) -> RejectedEdit:
    if number is None:
        raise click.UsageError("Missing argument 'ID'.")
    for edit in replica.rejected():
        if edit.id == number:
            return edit
    raise UsageError(f"{file} has no rejected edit {number}", code="no_such_edit", remedy=SEE_IDS)
