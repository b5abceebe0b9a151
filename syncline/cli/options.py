"""Arguments and options that several verbs share, and how a verb opens its replica."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import syncline
from syncline.replica.lock import WAIT_SECONDS

if TYPE_CHECKING:
    from syncline import Replica

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
)
file_argument: Decorator = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
configuration_argument: Decorator = click.argument(
    "toml", metavar="syncline.toml", type=click.Path(dir_okay=False, path_type=Path)
)
token_option: Decorator = click.option(
    "--token", metavar="T", envvar="SYNCLINE_TOKEN", help="Who you are, for the hub. [env: SYNCLINE_TOKEN]"
)
hub_option: Decorator = click.option(
    "--hub", metavar="URL", help="Where the hub is now, if not where the file remembers it."
)
progress_option: Decorator = click.option(
    "--progress/--no-progress",
    default=None,
    help="Show progress on stderr (default: when it is a terminal).",
)
wait_option: Decorator = click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="How long to wait for another verb that is at work on FILE.",
)
yes_option: Decorator = click.option("--yes", is_flag=True, help="Do not ask before what cannot be undone.")


class TakesNegativeNumbers(click.Command):
    """A command whose arguments may be numbers such as -1 (a key, an id), which look like options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(re.fullmatch(r"-\d+(\.\d+)?", word) for word in args)
        return super().parse_args(ctx, args)


def open_replica(
    file: Path, hub: str | None = None, token: str | None = None, wait: float = WAIT_SECONDS
) -> Replica:
    """Open an existing device file; StoreError when there is none, or it is no replica."""
    return syncline.connect(str(file), hub=hub, token=token, wait=wait)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Without a terminal only --yes will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} This cannot be undone, so it needs --yes.")
    click.confirm(question, abort=True, err=True)
