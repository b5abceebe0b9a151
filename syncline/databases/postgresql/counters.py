"""Sequences behind keys: devices give their rows integer keys themselves, and the sequence has to follow, or
the next insert of another program would be given a key that is in use (law L13)."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded
from syncline.model.schema import Schema

NEAR = 10_000
"""How far ahead of the sequence a key is followed. What lies beyond is a range of a device's own, or a key at
the end of its type: a sequence that followed there would be of no use to others."""


def follow(session: Session, inserted: Iterable[Loaded]) -> None:
    """Take numbers from the sequence of each table up to the keys that were inserted.

    Numbers are taken as any program takes them: whoever does so meanwhile, the sequence never goes back.
    They stay taken if the transaction is rolled back. Nothing where the role may not.
    """
    for item in inserted:
        counter = item.shape.facts.counter
        if counter and item.live:
            _follow(session, counter, (item.stage.rows[row][0] for row in item.live))


def unfollowed(session: Session, schema: Schema) -> list[str]:
    """Sentences on the sequences that will not follow, and why: for `init` and `doctor`."""
    places = (
        [table.central_schema for table in schema.tables],
        [table.central_name for table in schema.tables],
    )
    found = []
    for place, name, sequence, step in session.run(queries("counters.sql")["unfollowed"], *places):
        why = f"it counts by {step}" if step != 1 else f"GRANT USAGE ON SEQUENCE {sequence} is missing"
        found.append(f"{place}.{name}: {sequence} does not follow the keys that devices insert: {why}")
    return found


def _follow(session: Session, counter: int, keys: Iterable[object]) -> None:
    last = session.value(queries("counters.sql")["last"], counter)
    if last is None:
        return
    reach = int(last)
    for key in sorted(key for key in keys if isinstance(key, int) and key > last):
        if key - reach > NEAR:
            break
        reach = key
    if reach > last:
        session.value(queries("counters.sql")["take"], counter, reach - last)
