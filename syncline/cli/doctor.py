"""`syncline doctor`: is the centre as it should be?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

import syncline
from syncline.cli import output
from syncline.cli.options import configuration_argument, json_option


@click.command()
@configuration_argument
@json_option
def doctor(toml: Path, as_json: bool) -> int:
    """Examine the central database, and say what is wrong with it and what to do. Changes nothing.

    Exit code 3 when something needs a person.

    JSON: database, findings [{level, code, sentence, remedy}].
    """
    from syncline.cli import configuration

    settings = configuration.read(toml)
    hub = syncline.Hub(settings.hub.database, tables=settings.rules())
    try:
        found = hub.examine()
    finally:
        hub.close()
    if as_json:
        database = output.without_password(settings.hub.database)
        output.document({"database": database, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            output.line(f"{finding.level:8} {finding.sentence} [{finding.code}]")
            if finding.remedy:
                output.line(f"{'':8} try: {finding.remedy}")
    return output.PERSON_NEEDED if any(f.level == "trouble" for f in found) else output.DONE
