"""`syncline demo`: the whole story in ten seconds, on real files, a real server and a real kill.

Brings its own data. The devices' edits are plain SQL, as any application would make them; everything else
is what `syncline` itself offers.
"""

from __future__ import annotations

from pathlib import Path

import click

from syncline.cli import output
from syncline.cli.options import json_option


@click.command()
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the files in this new folder, to look at. [default: remove them]",
)
@json_option
def demo(keep: Path | None, as_json: bool) -> int:
    """Watch three devices work offline and agree again: conflict, counter, rejection, kill and all.

    Exit code 3 if the copies were not equal in the end, or anything else did not go as told.

    JSON: equal, as_told (equal, and everything else went as told), files, tables {name: rows},
    counter {start, taken, end}, conflicts, rejected, killed {process, answered, sound,
    repeat_counted_once}, seconds.
    """
    from syncline.cli.demo.story import tell

    if as_json:
        outcome = tell(keep, lambda text: None, lambda text: None)
        output.document(outcome)
    else:
        outcome = tell(keep, output.line, output.heading)
    return output.DONE if outcome["as_told"] else output.PERSON_NEEDED
