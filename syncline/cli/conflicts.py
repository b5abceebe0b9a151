"""`syncline conflicts`: edits that met others' edits; list, show, resolve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from syncline.cli import output
from syncline.cli.options import (
    TakesNegativeNumbers,
    file_argument,
    hub_option,
    json_option,
    open_replica,
    refuse_idle,
    token_option,
    wait_option,
)
from syncline.errors import Malformed, UnknownConflict, UsageError
from syncline.merge.policies import CASCADE, EMPTIED, column_summary, row_summary
from syncline.model import clock
from syncline.model.plain import from_plain

if TYPE_CHECKING:
    from syncline import Replica
    from syncline.protocol.messages import ConflictNote

TAKES = ("hub", "sent", "base", "value")


@click.command(cls=TakesNegativeNumbers)
@file_argument
@click.argument("action", type=click.Choice(["list", "show", "resolve"]), default="list")
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--open", "open_only", is_flag=True, help="list: only those that wait for a decision.")
@click.option("--take", type=click.Choice(TAKES), help="resolve: which value it shall be.")
@click.option("--value", metavar="V", help="resolve --take value: the value, as JSON or as plain text.")
@hub_option
@token_option
@wait_option
@json_option
def conflicts(
    file: Path,
    action: str,
    number: int | None,
    open_only: bool,
    hub: str | None,
    token: str | None,
    wait: float,
    as_json: bool,
    **decision: str | None,
) -> int:
    """List the conflicts of FILE's edits, show one, or resolve one.

    \b
    syncline conflicts FILE                          every conflict, with both values and the base
    syncline conflicts FILE show ID                  one, with an explanation of its outcome
    syncline conflicts FILE resolve ID --take sent   decide: hub, sent, base, or value with --value V

    A decision is sent to the hub at once, and reaches all devices with their next sync. --value V: a number,
    null, text (in JSON's quotes or without), {"$blob": base64}; any other JSON is taken as the text that it
    is, for columns that hold JSON. For a conflict of whole rows it is null, for no row, or a JSON list of all
    columns that are not the key, in order.

    JSON: list {file, conflicts [...]}; show and resolve {conflict, explanation}. A conflict: id (negative:
    noted by this file, the hub does not know it), table, key, column, outcome, replica, hlc, rival,
    rival_hlc, base, sent, hub, at, policy, resolution (the new value: what was merged, or what a person
    decided), table_number, columns (numbers of those that the values belong to), unknown (by base, sent and
    hub, the places in a row of which nobody knows what it held: the device had no such column yet. They are
    null there, `?` in the table, and nothing is written there when the row is taken).
    """
    refuse_idle(action, "list", {"--open": open_only})
    refuse_idle(action, "resolve", {"--" + name: given is not None for name, given in decision.items()})
    refuse_idle(action, "show or resolve", {"an ID": number is not None})
    with open_replica(file, hub, token, wait) as replica:
        if action == "list":
            return _list(file, replica.conflicts(open_only=open_only), as_json=as_json)
        note = _find(replica, file, number)
        if action == "resolve":
            _resolve(replica, file, note, **decision)
            note = _find(replica, file, number)
        explanation = explained(note, {str(replica.id): "this device"})
    if as_json:
        output.document({"conflict": note, "explanation": explanation})
    else:
        for sentence in explanation:
            output.line(sentence)
    return output.DONE


def _list(file: Path, notes: list[ConflictNote], *, as_json: bool) -> int:
    if as_json:
        output.document({"file": str(file), "conflicts": notes})
    elif not notes:
        output.message("no conflicts")
    else:
        output.table(
            ["id", "row", "column", "outcome", "base", "sent", "hub", "new"], [_row(note) for note in notes]
        )
    return output.DONE


def _row(note: ConflictNote) -> list[str]:
    values = [_spelled(note, "base"), _spelled(note, "sent"), _spelled(note, "hub")]
    where = f"{note.table} {output.key_text(note.key)}"
    new = output.spelled(note.resolution) if note.outcome in ("merged", "resolved") else ""
    return [str(note.id), where, note.column or "(row)", note.outcome, *values, new]


def _spelled(note: ConflictNote, name: Literal["base", "sent", "hub"]) -> str:
    """A value of a note as people read it; of a row `?` where nobody knows what it held."""
    value, unknown = getattr(note, name), note.unknown.get(name)
    if not unknown or not isinstance(value, list):
        return output.spelled(value)
    parts = ("?" if place in unknown else output.spelled(item) for place, item in enumerate(value))
    return f"({', '.join(parts)})"


def _find(replica: Replica, file: Path, number: int | None) -> ConflictNote:
    if number is None:
        raise click.UsageError("Missing argument 'ID'.")
    for note in replica.conflicts():
        if note.id == number:
            return note
    raise UsageError(
        f"{file} has no conflict {number}", code=UnknownConflict.code, remedy=UnknownConflict.remedy
    )


def _resolve(replica: Replica, file: Path, note: ConflictNote, take: str | None, value: str | None) -> None:
    if take is None:
        raise click.UsageError(f"resolve needs --take {'|'.join(TAKES)}")
    if (take == "value") != (value is not None):
        raise click.UsageError("--value goes with --take value, and only with it")
    replica.resolve(note.id, take, None if value is None else read_value(value, note))


def read_value(text: str, note: ConflictNote) -> Any:
    """What --value means: JSON; but text where the column holds text, and where it is no value or no JSON.

    UsageError `value_unreadable` if it is no row and one is wanted, or no blob."""
    if note.column is None:
        return _read_row(text, note)
    held = [value for value in (note.hub, note.sent, note.base) if value is not None]
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        return text
    value = _read_cell(plain, text)
    if value is not None and held and all(isinstance(v, str) for v in held):
        return value if isinstance(value, str) else text
    return value


def _read_row(text: str, note: ConflictNote) -> list[Any] | None:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = text
    if plain is None:
        return None
    if not isinstance(plain, list) or len(plain) != len(note.columns):
        raise _unreadable(f"the conflict is one of whole rows, and --value is no list of {len(note.columns)}")
    return [_read_cell(item, json.dumps(item)) for item in plain]


def _read_cell(plain: Any, text: str) -> Any:
    """The value that this JSON stands for; the text itself if it stands for none."""
    if isinstance(plain, dict) and plain.keys() & {"$blob", "$float"}:
        try:
            return from_plain(plain)
        except Malformed as error:
            raise _unreadable(f"--value: {error.detail}") from error
    if isinstance(plain, bool):
        return int(plain)  # as values of booleans travel
    return text if isinstance(plain, (dict, list)) else plain


def _unreadable(detail: str) -> UsageError:
    return UsageError(
        detail,
        code="value_unreadable",
        remedy='Write a number, null, text, or {"$blob": base64}; for a row a JSON list of these, one for'
        " each column that is not the key, as `syncline conflicts FILE --json` shows them.",
    )


def explained(note: ConflictNote, names: Mapping[str, str]) -> list[str]:
    """Sentences that tell a newcomer what met what, and why it ended as it did.

    `names` calls replicas by name, by id; others are called by the first letters of their id.
    """
    who, rival = _name(note.replica, names), _name(note.rival, names)
    what = f"column {note.column}" if note.column else "the row"
    how = f"was edited by {who} and by {rival}, and neither had seen the other's edit."
    if note.policy == CASCADE:
        how = (
            f"went with a row that it refers to: {who} deleted that one, and had not seen this one as it was."
        )
    elif note.policy in EMPTIED.values():
        how = f"referred to what {who} deleted or changed, and had not seen to be referred to by it."
    elif note.rival_hlc <= 0:
        how = f"was edited by {who}, and what was there already stays."
    return [
        f"Conflict {note.id}: {what} of {note.table} {output.key_text(note.key)} {how}",
        f"  before      {_spelled(note, 'base')}",
        f"  sent        {_spelled(note, 'sent')}  {_when(note.hlc, note)}by {who}",
        f"  at the hub  {_spelled(note, 'hub')}  {_when(note.rival_hlc)}by {rival}",
        f"  {_outcome(note, who, rival)}",
    ]


def _outcome(note: ConflictNote, who: str, rival: str) -> str:
    if note.outcome == "open":
        return "To be decided by a person: the hub's value stays until somebody does."
    if note.outcome == "resolved":
        return f"A person decided: {output.spelled(note.resolution)}."
    won = {
        "hub": f"the value of {rival} stays; that of {who} is kept in this note",
        "replica": f"the value of {who} won; that of {rival} is kept in this note",
        "merged": f"both were merged into a new value, {output.spelled(note.resolution)}",
    }.get(note.outcome, note.outcome)
    reason = row_summary(note.policy) if note.column is None else column_summary(note.policy)
    return f"Policy {note.policy}{f' ({reason})' if reason else ''}: {won}."


def _name(origin: str, names: Mapping[str, str]) -> str:
    if origin == "hub":
        return "the central database"
    return names.get(origin, f"device {origin[:8]}")


def _when(hlc: int, noted: ConflictNote | None = None) -> str:
    """When an edit was made, where that is known; when the conflict was noted, where it is not."""
    if hlc <= 0:
        return "" if noted is None else f"noted {noted.at} "
    moment = datetime.fromtimestamp(clock.milliseconds(hlc) / 1000, UTC)
    return f"at {moment.strftime('%Y-%m-%d %H:%M:%S.%f')[:-3]}Z "
