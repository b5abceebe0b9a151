"""`syncline sync`, `push`, `pull`: one round with the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncline.cli import output, progress
from syncline.cli.options import (
    file_argument,
    hub_option,
    json_option,
    local_rows_option,
    open_replica,
    progress_option,
    token_option,
    wait_option,
)
from syncline.cli.status import WAITING_SHOWN
from syncline.merge.policies import KEY_TAKEN
from syncline.model.local import LocalRows

if TYPE_CHECKING:
    from syncline import PullReport, PushPreview, PushReport, Recovered, Regained, Reopened, Status


@click.command()
@file_argument
@hub_option
@token_option
@wait_option
@local_rows_option
@progress_option
@json_option
def sync(
    file: Path,
    hub: str | None,
    token: str | None,
    wait: float,
    local_rows: LocalRows | None,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Send what is pending, take the hub's verdict, fetch what is new.

    Interrupt it as you like: the next sync goes on and nothing is sent twice. Exit code 3: done, but
    rejected edits, open conflicts, tables that are left out or take part no longer since the centre changed
    them, or rows that this file does not take wait for you.

    JSON: push {sent, pushes, overruled, rejected, conflicts}, pull {written, removed, pages, tables,
    waiting}, pending, requests, seconds, recovered (null, or {reason, offered, missing, rows}: the hub no
    longer knew what this file had seen), regained [{table, inserted, updated, deleted, returned, kept,
    waited}: tables that a program had made anew, so that nothing was captured, or that could not take part
    for a while (waited)], unable [{table, code, detail, remedy}:
    tables that were left out, since they cannot take part as they are], person_needed {rejected,
    open_conflicts, left_out, device_constraint, unable, changed}: how much waits for you (`waiting`, beside
    `push` and `pull`, is the same; in `pull` it is [{table, key, object, detail, code, remedy}], rows that
    this file does not take).
    """
    with open_replica(file, hub, token, wait, local_rows) as replica:
        with progress.shown(shown["progress"]) as report:
            done = replica.sync(progress=report)
        status = replica.status()
        waiting = status.person_needed
    if as_json:
        output.document({**done.as_dict(), "person_needed": waiting, "waiting": waiting})
    else:
        if done.recovered is not None:
            output.line(recovery_told(done.recovered))
        for table in done.regained:
            _say_regained(table)
        _say_push(done.push)
        _say_pull(done.pull)
        if done.pending:
            edits = output.counted(done.pending, "edit")
            output.line(f"{edits} to be sent by the next sync")
        for one in done.unable:
            output.message(f"left out: {one.detail} [{one.code}]. {one.remedy}")
    return _code(status, as_json=as_json)


@click.command()
@file_argument
@hub_option
@token_option
@wait_option
@click.option("--dry-run", is_flag=True, help="Show the verdict; do nothing, neither here nor there.")
@click.option("--reopen", is_flag=True, help="Take a push that cannot succeed apart; send nothing.")
@progress_option
@json_option
def push(
    file: Path,
    hub: str | None,
    token: str | None,
    wait: float,
    dry_run: bool,
    reopen: bool,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Send what is pending and take the hub's verdict, without fetching what is new.

    Exit code 3: done, but rejected edits or open conflicts wait for you. With --dry-run: rows would be
    rejected, or conflicts be open.

    JSON: sent, pushes, overruled, rejected, conflicts, person_needed {rejected, open_conflicts, left_out,
    device_constraint, unable, changed} (`waiting` is the same). With --dry-run: rows, accepted, overruled
    [{table, key, values}], rejected [{table, key, code, detail, remedy, parent}], conflicts. With --reopen:
    rows (pending again), arrived (the hub has the push: it was left alone).
    """
    if reopen and dry_run:
        raise click.UsageError("--reopen and --dry-run do not go together")
    if reopen:
        with open_replica(file, hub, token, wait) as replica:
            return _say_reopened(replica.reopen(), as_json=as_json)
    if dry_run:
        with open_replica(file, hub, token, wait) as replica, progress.shown(shown["progress"]) as report:
            return _foretell(replica.preview(progress=report), as_json=as_json)
    with open_replica(file, hub, token, wait) as replica:
        with progress.shown(shown["progress"]) as report:
            done = replica.push(progress=report)
        status = replica.status()
        waiting = status.person_needed
    if as_json:
        output.document({**done.as_dict(), "person_needed": waiting, "waiting": waiting})
    else:
        _say_push(done)
    return _code(status, as_json=as_json)


@click.command()
@file_argument
@hub_option
@token_option
@wait_option
@local_rows_option
@progress_option
@json_option
def pull(
    file: Path,
    hub: str | None,
    token: str | None,
    wait: float,
    local_rows: LocalRows | None,
    as_json: bool,
    **shown: bool | None,
) -> int:
    """Fetch what is new; pending edits stay pending, on top of it.

    JSON: written, removed, pages, tables, waiting [{table, key, object, detail, code, remedy}: rows that
    this file does not take], push_failed (null, or why a push in flight has no verdict).
    """
    replica = open_replica(file, hub, token, wait, local_rows)
    with replica, progress.shown(shown["progress"]) as report:
        done = replica.pull(progress=report)
    if as_json:
        output.document(done.as_dict())
    else:
        _say_pull(done)
        if done.push_failed is not None:
            output.message(f"the push in flight fails: {done.push_failed}")
            output.message(f"if it goes on failing: syncline push {file} --reopen")
    return output.DONE


_RECOVERED = {
    "pruned": "the hub's log no longer reaches back to what this file had seen",
    "lost": "changes of a table in the centre were not captured for a while",
    "scope": "this device may have other rows than before",
    "garbled": "the hub could not read how far this file had come",
    "unknown": "the hub did not know this file",
    "schema": "the hub did not know the tables as this file had them: took those it has",
    "copied": "this file was copied or put back",
}


def recovery_told(report: Recovered) -> str:
    """Why the file's place at the hub was lost, and what was done about it."""
    if report.reason == "restored":
        text = (
            f"the centre went back in time: offered {output.counted(report.offered, 'push', 'pushes')} again"
        )
    else:
        text = _RECOVERED[report.reason]
    if report.missing:
        text += f" ({report.missing:,} more were lost there and are no longer kept here)"
    return f"{text}; filled the file again, {output.counted(report.rows, 'row')} differed"


def _say_regained(report: Regained) -> None:
    counts = {
        "inserted": report.inserted,
        "updated": report.updated,
        "deleted": report.deleted,
        "came back": report.returned,
        "kept beside": report.kept,
    }
    text = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "nothing"
    why = "was made anew by a program and not captured meanwhile"
    if report.waited:
        why = "could not take part for a while"
    output.line(f"{report.table} {why}; found by comparing: {text}")


def _foretell(report: PushPreview, *, as_json: bool) -> int:
    if as_json:
        output.document(report.as_dict())
    else:
        text = f"would send {output.counted(report.rows, 'row')}, {report.accepted:,} accepted as sent"
        if report.overruled:
            text += f", {len(report.overruled):,} would come back in another state"
        if report.conflicts:
            text += f", {output.counted(len(report.conflicts), 'conflict')}"
        if report.rejected:
            text += f", {len(report.rejected):,} would be rejected"
        output.line(text)
        for row in report.overruled:
            output.line(f"  overruled {row.table} {output.key_text(row.key)}")
        for edit in report.rejected:
            key = output.key_text(edit.key)
            output.line(f"  rejected {edit.table} {key}: {edit.detail} [{edit.code}] Try: {edit.remedy}")
    person = report.rejected or any(note.outcome == "open" for note in report.conflicts)
    return output.PERSON_NEEDED if person else output.DONE


def _say_reopened(report: Reopened, *, as_json: bool) -> int:
    if as_json:
        output.document(report.as_dict())
    elif report.arrived:
        output.line("the hub has the push: nothing was taken apart, and the next sync takes its verdict")
    elif report.rows:
        output.line(f"took a push apart: {output.counted(report.rows, 'row')} of it pending again")
    else:
        output.line("no push is in flight")
    return output.DONE


def _say_push(report: PushReport) -> None:
    text = f"sent {output.counted(report.sent, 'row')}"
    if report.overruled:
        text += f", {report.overruled:,} came back in another state"
    if report.conflicts:
        text += f", {output.counted(report.conflicts, 'conflict')}"
    if report.rejected:
        text += f", {len(report.rejected):,} rejected"
    output.line(text)
    for edit in report.rejected:
        output.line(f"  rejected {edit.table} {output.key_text(edit.key)}: {edit.detail} [{edit.code}]")
        if edit.local and edit.code == KEY_TAKEN:
            rows = output.rows_named(edit.local)
            output.line(f"    refer to the other's row now, in tables of this file alone: {rows}")


def _say_pull(report: PullReport) -> None:
    text = f"received {output.counted(report.written, 'row')}"
    if report.removed:
        text += f", removed {report.removed:,}"
    tables = ", ".join(f"{name} {rows:,}" for name, rows in report.tables.items())
    output.line(f"{text} ({tables})" if tables else text)
    for row in report.waiting[:WAITING_SHOWN]:
        output.message(f"waits: {row.detail} [{row.code}]")


def _code(status: Status, *, as_json: bool) -> int:
    file, waiting = status.file, status.person_needed
    if status.left and not as_json:
        names = ", ".join(status.left)
        output.message(f"not captured: what is written to {names}, which the centre has no more")
    if not any(waiting.values()):
        return output.DONE
    if not as_json:
        if waiting["rejected"]:
            output.message(f"{waiting['rejected']:,} rejected: see `syncline rejected {file}`")
        if waiting["open_conflicts"]:
            output.message(f"{waiting['open_conflicts']:,} to be decided: see `syncline conflicts {file}`")
        if waiting["left_out"]:
            tables = output.counted(waiting["left_out"], "table")
            output.message(f"{tables} of the centre left out: see `syncline doctor {file}`")
        if waiting["device_constraint"]:
            rows = output.counted(waiting["device_constraint"], "row")
            output.message(f"{rows} of the centre that this file does not take: see `syncline status {file}`")
        for name, why in status.changed.items():
            output.message(f"not captured: what is written to {name}, which takes part no longer: {why}")
        if status.changed:
            output.message(f"what to do about it says `syncline doctor {file}`")
    return output.PERSON_NEEDED
