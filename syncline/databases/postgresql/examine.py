"""What `doctor` says of a PostgreSQL centre, and the rights that `init` and the hub need: all that are
missing at once. No superuser is needed for any. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncline.databases.base.findings import disabled, examined, left_out, log_size, rights, takes_no_writes
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.hub.contract import Prepared
from syncline.model.finding import Finding
from syncline.model.schema import Schema

MOVED = "moved"
"""The code of a database that is elsewhere than where a server last used it."""


def examine(session: Session, schema: Schema, planned: Prepared, notes: Sequence[str]) -> list[Finding]:
    """The findings. `planned` is what another `prepare` would do, `notes` what was left out and why."""
    sql = queries("examine.sql")
    place = _place(session)
    if any(finding.code == MOVED for finding in place):  # every device fills itself again anyhow
        planned = replace(planned, amiss=[])
    found = examined(f"PostgreSQL {session.value(sql['version'])}", schema, planned) + place
    found += [log_size(session.value(sql["log size"])), *left_out(notes)]
    for name, state in session.run(sql["triggers"]):
        found.append(disabled(name, "is disabled" if state == "D" else "does not fire for replicated writes"))
    for (name,) in session.run(sql["subscriptions"]):
        sentence = f"{name} is filled by a subscription; it is captured row by row once init knows"
        found.append(Finding("warning", "subscription", sentence))
    return found + rights(missing_rights(session, schema))


def _place(session: Session) -> list[Finding]:
    """Where the database is, whether it was elsewhere when a server last used it, whether it takes writes."""
    here: str = session.value(queries("read.sql")["cluster"])
    data, timeline, database = _parts(here)
    found = [Finding("fact", "cluster", f"cluster {data}, timeline {timeline}, database {database}")]
    recorded: str = session.value(queries("retention.sql")["cluster"])
    if recorded and _parts(recorded)[::2] != (data, database):
        former = _parts(recorded)
        where = f"cluster {former[0]}" if former[0] != data else f"database {former[2]} of the same cluster"
        sentence = f"the database was moved here from {where}"
        remedy = "Nothing needs to be done: every device fills itself again with its next sync."
        found.append(Finding("warning", MOVED, sentence, remedy))
    elif recorded and recorded != here:
        sentence = f"a standby was promoted, or a backup restored: the timeline was {_parts(recorded)[1]}"
        remedy = "Nothing needs to be done: each device recovers with its next sync what was lost."
        found.append(Finding("warning", "promoted", sentence, remedy))
    if session.value(queries("examine.sql")["read only"]):
        found.append(takes_no_writes())
    return found


def _parts(cluster: str) -> tuple[str, int, str]:
    """The cluster's data, its timeline and the database."""
    data, timeline, database = cluster.split("/")
    return data, int(timeline, 16), database


def missing_rights(session: Session, schema: Schema) -> list[str]:
    """The statements that would give the connected role what it lacks."""
    sql = queries("grants.sql")
    found = session.run(sql["database"]) + session.run(sql["own"])
    found += session.run(sql["tables"], *_places(schema))
    return list(dict.fromkeys(statement for (statement,) in found))


def _places(schema: Schema) -> tuple[list[str], list[str]]:
    """Schemas and names of the tables, as a statement takes them."""
    return [one.central_schema for one in schema.tables], [one.central_name for one in schema.tables]


def unfollowed(session: Session, schema: Schema) -> list[str]:
    """Sentences on the sequences that will not follow, and why: for `init` and `doctor`."""
    found = []
    for place, name, sequence, step in session.run(queries("counters.sql")["unfollowed"], *_places(schema)):
        why = f"it counts by {step}" if step != 1 else f"GRANT USAGE ON SEQUENCE {sequence} is missing"
        found.append(f"{place}.{name}: {sequence} does not follow the keys that devices insert: {why}")
    return found
