"""The command `syncline`: one module a verb, no rules of its own.

Place in the flow: outermost. A verb reads its arguments, calls the public Python surface and says what
came of it: results on stdout, messages on stderr. Every failure ends here, as two lines (`error:` and
`try:`) and an exit code:

    0  done
    1  failed: the network, a database, a file, the protocol
    2  asked wrongly: arguments, syncline.toml, a table or a value that cannot take part
    3  done, but a person is needed: rows were rejected, a conflict waits to be decided, or copies differ
  130  interrupted

It must not know SQL, the wire or the files of a replica.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from syncline.cli import output
from syncline.cli.verbs import application
from syncline.errors import SynclineError, UsageError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises only what is a defect of Syncline."""
    as_json = "--json" in arguments
    try:
        code = application.main(
            args=list(arguments),
            prog_name="syncline",
            standalone_mode=False,
            obj=output.AS_JSON if as_json else None,
        )
        sys.stdout.flush()
    except SynclineError as error:
        output.failure(error, as_json=as_json)
        return output.USAGE if isinstance(error, UsageError) else output.FAILED
    except click.exceptions.NoArgsIsHelpError as error:  # `syncline` alone asks what there is
        output.line(error.ctx.get_help())
        return output.DONE
    except click.ClickException as error:
        output.failure(_asked_wrongly(error), as_json=as_json)
        return output.USAGE
    except (click.Abort, KeyboardInterrupt):
        output.message("interrupted")
        return output.INTERRUPTED
    except BrokenPipeError:  # the reader of our results has gone; Python must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return output.FAILED
    return code if isinstance(code, int) else output.DONE


def _asked_wrongly(error: click.ClickException) -> UsageError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "syncline"
    return UsageError(error.format_message(), remedy=f"{path} --help")
