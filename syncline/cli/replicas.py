"""`syncline replicas`, `assign`, `forget`, `revoke`, `prune`: for those who run a hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncline.cli import output
from syncline.cli.options import configuration_argument, confirm, json_option, yes_option
from syncline.cli.serve import hub_of
from syncline.model.actor import Actor, shown

if TYPE_CHECKING:
    from syncline.hub.clients import Listed
    from syncline.hub.retention import Pruned


@click.command()
@configuration_argument
@json_option
def replicas(toml: Path, as_json: bool) -> int:
    """List the replicas of a hub, the one that lags most first.

    A live replica holds back log entries that it has not confirmed; `behind` counts them. One that was not
    seen for [retention] stale_days is stale and holds nothing back; nor does a revoked one. `-`, null in
    JSON: it is not live, or the log no longer reaches back to where it stands and it fills itself anew.

    `actor` is whoever registered it, or to whom it was assigned; anyone: the hub was open. `log`: whether
    it is this one that the log is held back for. `name` is what a replica calls itself; devices of this
    version call themselves nothing, and the table leaves it out then.

    JSON: replicas [...]: replica, name, actor, state (live, stale, revoked), registered, last_seen,
    last_push, push, behind, holds.
    """
    with hub_of(toml) as hub:
        found = hub.replicas()
    if as_json:
        output.document({"replicas": [one.as_dict() for one in found]})
    elif not found:
        output.message("no replica has registered yet")
    else:
        output.table(*_table(found))
    return output.DONE


def _table(found: Sequence[Listed]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows; names stand in it if any replica has said one."""
    heads = ["replica", "name", "actor", "state", "last seen", "push", "behind", "log"]
    rows = [_row(one) for one in found]
    if not any(one.client.name for one in found):
        place = heads.index("name")
        heads, *rows = ([*row[:place], *row[place + 1 :]] for row in (heads, *rows))
    return heads, rows


def _row(one: Listed) -> list[str]:
    client = one.client
    seen = (client.last_seen or "never")[:19].replace("T", " ")
    behind = "-" if one.behind is None else f"{one.behind:,}"
    holds = "held back" if one.holds else "-"
    whose = shown(client.actor)
    return [client.replica, client.name, whose, one.state, seen, str(client.number), behind, holds]


@click.command()
@configuration_argument
@click.argument("replica")
@click.argument("actor")
@click.option("--tenant", default="", help="The actor's tenant, if it has one.")
@json_option
def assign(toml: Path, replica: str, actor: str, tenant: str, as_json: bool) -> int:
    """Hand REPLICA over: it is ACTOR's own from now on, and whoever registered it is refused
    (replica_of_another).

    ACTOR is the name that the server's authenticator gives. A replica that was registered while the hub was
    open belongs to nobody once there is an authenticator, until it is assigned.

    JSON: replica, actor.
    """
    whose = Actor(actor, tenant)
    with hub_of(toml) as hub:
        hub.assign(replica, whose)
    if as_json:
        output.document({"replica": replica, "actor": shown(whose.owner)})
    else:
        output.line(f"{replica} is {shown(whose.owner)}'s now")
    return output.DONE


@click.command()
@configuration_argument
@click.argument("replica")
@yes_option
@json_option
def forget(toml: Path, replica: str, yes: bool, as_json: bool) -> int:
    """Take REPLICA off the list: it holds nothing back any more.

    Should it come back it goes on, filling itself anew if the log no longer reaches back far enough; its
    pending edits are kept. To lock it out, revoke it.

    JSON: replica, forgotten.
    """
    with hub_of(toml) as hub:
        confirm(f"Forget replica {replica}?", yes=yes)
        hub.forget(replica)
    if as_json:
        output.document({"replica": replica, "forgotten": True})
    else:
        output.line(f"forgot {replica}")
    return output.DONE


@click.command()
@configuration_argument
@click.argument("replica")
@click.option("--undo", is_flag=True, help="Let it in again.")
@json_option
def revoke(toml: Path, replica: str, undo: bool, as_json: bool) -> int:
    """Lock REPLICA out: every request of it is refused (replica_revoked), and it holds nothing back.

    A copy of its file that goes on under an id of its own is another replica, and is not locked out with it.

    That locks out this one file. Whoever has it may clone another one as long as the server lets them in.

    JSON: replica, revoked.
    """
    with hub_of(toml) as hub:
        hub.revoke(replica, undo=undo)
    if as_json:
        output.document({"replica": replica, "revoked": not undo})
    else:
        output.line(f"let {replica} in again" if undo else f"locked {replica} out")
    return output.DONE


@click.command()
@configuration_argument
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def prune(toml: Path, dry_run: bool, as_json: bool) -> int:
    """Remove now what the log need not keep, and conflicts closed long ago; servers do it by themselves.

    \b
    syncline.toml:
      [retention]
      stale_days = 90       # a replica unseen for so long holds nothing back
      keep_days = 2         # what all live replicas have is kept so long nevertheless
      max_days = 365        # older entries go whoever needs them (0: never)
      conflict_days = 365   # closed conflicts
      reoffer_days = 7      # devices keep what they pushed, to offer it again to a restored centre
      interval = 3600       # seconds between two runs of the servers

    JSON: dry_run, compacted, pruned, more, conflicts, replicas, held_by, floor.
    """
    with hub_of(toml) as hub:
        done = hub.prune(dry_run=dry_run)
    if as_json:
        output.document(done.as_dict())
    else:
        _say(done)
    return output.DONE


def _say(done: Pruned) -> None:
    would, least = ("would go" if done.dry_run else "went"), ("at least " if done.more else "")
    output.line(f"{least}{output.counted(done.pruned, 'log entry', 'log entries')} {would}")
    output.line(f"{least}{output.counted(done.compacted, 'covered entry', 'covered entries')} {would}")
    output.line(f"{output.counted(done.conflicts, 'closed conflict')} {would}")
    if done.replicas:
        output.line(f"{output.counted(done.replicas, 'forgotten replica')} {would}")
    for replica in done.held_by:
        output.line(f"replica {replica} holds the rest of the log back")
    if done.floor:
        output.line(f"what the log no longer tells is not newer than {done.floor}")
