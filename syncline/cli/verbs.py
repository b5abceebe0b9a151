"""The verbs, gathered under one command."""

from __future__ import annotations

import logging

import click

import syncline
from syncline.cli.clone import clone
from syncline.cli.conflicts import conflicts
from syncline.cli.demo import demo
from syncline.cli.doctor import doctor
from syncline.cli.init import init
from syncline.cli.log import log
from syncline.cli.rejected import rejected
from syncline.cli.replicas import assign, forget, prune, replicas, revoke
from syncline.cli.serve import serve
from syncline.cli.status import status
from syncline.cli.sync import pull, push, sync
from syncline.cli.track import track
from syncline.cli.upgrade import upgrade
from syncline.cli.verify import verify


class Verbs(click.Group):
    """Lists the verbs in the order one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Verbs)
@click.version_option(syncline.__version__, prog_name="syncline")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, on stderr.")
def application(verbose: bool) -> None:
    """Keep SQLite files on devices and a central database in step, both ways.

    New here? Run `syncline demo`.

    Results go to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 done but a
    person is needed, 130 interrupted. With --json a result is one object with the names that the verb's
    help lists; later versions may add names, and remove none. A blob is {"$blob": base64}, an infinity
    {"$float": "inf"}. A failure is then the last line on stderr: {"error": {code, title, detail, remedy,
    retry}}; retry: whether the same command may succeed later, without a person. A warning is {"warning":
    text}, on a line before it.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")


for verb in (
    demo,
    init,
    doctor,
    serve,
    clone,
    track,
    sync,
    push,
    pull,
    status,
    log,
    conflicts,
    rejected,
    upgrade,
    verify,
    replicas,
    assign,
    forget,
    revoke,
    prune,
):
    application.add_command(verb)
