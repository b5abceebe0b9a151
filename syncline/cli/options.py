"""Arguments and options that several verbs share, and how a verb opens its replica."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import syncline
from syncline.cli import output
from syncline.model.forms import FORMS, PRESETS, chosen
from syncline.model.local import LOCAL_ROWS, LocalRows
from syncline.replica.lock import WAIT_SECONDS

if TYPE_CHECKING:
    from syncline import Replica

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
)


class FilePath(click.Path):
    """The path of a file. A usage error for what can be none."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except ValueError as error:
            self.fail(f"there can be no file {value!r}: {error}", param, ctx)


file_argument: Decorator = click.argument("file", type=FilePath())
configuration_argument: Decorator = click.argument("toml", metavar="syncline.toml", type=FilePath())


def _token(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """The token itself: out of the file that `@FILE` names, where it is given so."""
    if given is None:
        return None
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_text("utf-8-sig").strip()
        except (OSError, ValueError) as error:  # not there, or no text, or no path
            raise click.BadParameter(f"{given[1:]} cannot be read: {type(error).__name__}") from None
    if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE:
        output.warning("everybody on this machine can see --token T; use --token @FILE or SYNCLINE_TOKEN")
    return given


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--token and --insecure; what the latter says is asked with `is_insecure`."""
    token: Decorator = click.option(
        "--token",
        metavar="T",
        envvar="SYNCLINE_TOKEN",
        callback=_token,
        help="Who you are, for the hub; @FILE reads it from a file, which no list of processes shows."
        " [env: SYNCLINE_TOKEN]",
    )
    insecure: Decorator = click.option(
        "--insecure",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, given: context.meta.__setitem__(_INSECURE, given),
        help="Send the token over plain http to another machine, too.",
    )
    return token(insecure(command))


_INSECURE = f"{__name__}.insecure"


def is_insecure() -> bool:
    """Whether the verb that runs was given --insecure."""
    return bool(click.get_current_context().meta.get(_INSECURE, False))


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
local_rows_option: Decorator = click.option(
    "--local-rows",
    type=click.Choice(list(LOCAL_ROWS)),
    help="From now on, what becomes of rows of your own tables that refer to one that the centre deleted.",
)
forms_option: Decorator = click.option(
    "--forms",
    metavar="KIND=FORM,...",
    callback=lambda context, parameter, given: _forms_of(given),
    help="How the file spells values, for the application's ORM: "
    + "; ".join(f"{kind}={'|'.join(known)}" for kind, known in FORMS.items())
    + f"; or {' or '.join(PRESETS)} for all that it needs.",
)
yes_option: Decorator = click.option("--yes", is_flag=True, help="Do not ask before what cannot be undone.")


def _forms_of(given: str | None) -> dict[str, str] | None:
    """The choice that `--forms` names; ConfigurationError `form_unknown`."""
    if given is None:
        return None
    if "=" not in given:
        return chosen(given.strip(), "--forms")
    pairs = (part.partition("=") for part in given.split(",") if part.strip())
    return chosen({kind.strip(): form.strip() for kind, _, form in pairs}, "--forms")


class TakesNegativeNumbers(click.Command):
    """A command whose arguments may be numbers such as -1 (a key, an id), which look like options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(re.fullmatch(r"-\d+(\.\d+)?", word) for word in args)
        return super().parse_args(ctx, args)


def open_replica(
    file: Path,
    hub: str | None = None,
    token: str | None = None,
    wait: float = WAIT_SECONDS,
    local_rows: LocalRows | None = None,
) -> Replica:
    """Open an existing device file; StoreError when there is none, or it is no replica."""
    return syncline.connect(
        str(file), hub=hub, token=token, wait=wait, insecure=is_insecure(), local_rows=local_rows
    )


def refuse_idle(action: str, used_by: str, given: Mapping[str, bool]) -> None:
    """A usage error for what is given, and of no use to the action: `used_by` names those that it is for."""
    idle = [name for name, is_given in given.items() if is_given]
    if idle and action not in used_by.replace(",", "").split():
        raise click.UsageError(f"{', '.join(idle)} goes with {used_by}, not with {action}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Without a terminal only --yes will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} This cannot be undone, so it needs --yes.")
    click.confirm(question, abort=True, err=True)
