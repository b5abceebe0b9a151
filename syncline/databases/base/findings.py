"""What `doctor` says of any database, and who holds what a push or an `init` waits for: in words for a person
who can do something about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from syncline.hub.contract import Prepared
from syncline.model.finding import Finding
from syncline.model.schema import Schema

INIT_AGAIN = "Run: syncline init syncline.toml; then syncline verify FILE --repair on each device."


FEW = 3
"""Keys that are named of one table."""


class Holder(NamedTuple):
    """A session with an open transaction, or a transaction `prepared` under a name that somebody forgot.
    What is not known is None. `age` is in seconds."""

    session: int | None
    user: str | None
    program: str | None
    host: str | None
    state: str | None
    age: float | None
    prepared: str | None

    def __str__(self) -> str:
        since = "" if self.age is None else f", open for {self.age:.0f} s"
        if self.prepared:
            return f"the prepared transaction {self.prepared!r}{since}"
        if self.session is None:
            return "another transaction"
        what = ", ".join(filter(None, (self.program, self.host and f"from {self.host}", self.state)))
        return f"session {self.session} of {self.user}{f' ({what})' if what else ''}{since}"

    def finding(self, table: str, keys: Sequence[str], remedy: str) -> Finding:
        """What `doctor` says of it: it holds rows of a table, some of them with these keys."""
        named = [*keys[:FEW], "..."] if len(keys) > FEW else keys
        what = f"rows of {table}" + (f" with the keys {', '.join(named)}" if keys else "")
        return Finding("warning", "rows_held", f"{self} holds {what}: edits of them wait", remedy)


def examined(database: str, schema: Schema, planned: Prepared) -> list[Finding]:
    """Of any database: its kind and version, what takes part, and which tables another `prepare` would have
    to put in order."""
    found = [Finding("fact", "version", database)]
    found.append(Finding("fact", "tables", f"tables that take part: {len(schema.tables)}"))
    said = "the tables are not as init left them; run again, it would say: "
    return found + [Finding("trouble", "not_current", f"{said}{note}", INIT_AGAIN) for note in planned.amiss]
