"""The verbs, gathered under one command."""

from __future__ import annotations

import logging

import click

import syncline
from syncline.cli.clone import clone
from syncline.cli.conflicts import conflicts
from syncline.cli.demo import demo
from syncline.cli.init import init
from syncline.cli.log import log
from syncline.cli.rejected import rejected
from syncline.cli.serve import serve
from syncline.cli.status import status
from syncline.cli.sync import pull, push, sync
from syncline.cli.track import track


class Verbs(click.Group):
    """Lists the verbs in the order one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(syncline.__version__, prog_name="syncline")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, on stderr.")
def application(verbose: bool) -> None:
    """Keep SQLite files on devices and a central database in step, both ways.

    New here? Run `syncline demo`.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")


for verb in (demo, init, serve, clone, track, sync, push, pull, status, log, conflicts, rejected):
    application.add_command(verb)
