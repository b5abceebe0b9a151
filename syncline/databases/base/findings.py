"""What `doctor` says of any database, and who holds what a push or an `init` waits for: in words for a person
who can do something about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from syncline.errors import DatabaseReadOnly, GrantsMissing
from syncline.hub.contract import Prepared
from syncline.model.finding import Finding
from syncline.model.schema import Schema

NOT_CURRENT = "not_current"
"""The code of tables that are not as `init` left them."""

INIT_AGAIN = "Run: syncline init syncline.toml; then syncline verify FILE --repair on each device."


HANDED_OVER = (
    "; nobody is made a member of a superuser, so what one owns is handed over by OWNER TO: the role may"
    " then alter and drop it, too, and rights that others were granted stay; to keep it apart, give it to a"
    " role that cannot log in, and make this one a member of that"
)
"""What it means to become the owner of tables, where nobody can be a member of the role that owns them."""

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
    """Of any database: its kind and version, what takes part, which is what was prepared, and which tables
    another `prepare` would have to put in order."""
    found = [Finding("fact", "version", database)]
    prepared = schema if planned.before is None else planned.before
    found.append(Finding("fact", "tables", f"tables that take part: {len(prepared.tables)}"))
    said = "the tables are not as init left them; run again, it would say: "
    return found + [Finding("trouble", NOT_CURRENT, f"{said}{note}", INIT_AGAIN) for note in planned.amiss]


def log_size(size: str) -> Finding:
    """How much the log takes, in words."""
    return Finding("fact", "log_size", f"the log takes {size}")


def left_out(notes: Sequence[str]) -> list[Finding]:
    """Sentences on what does not take part, or not in all."""
    return [Finding("warning", "not_taking_part", note) for note in notes]


def disabled(trigger: str, what: str) -> Finding:
    """A trigger of the capture that does not do what it should."""
    return Finding("trouble", "trigger_disabled", f"the trigger {trigger} {what}", INIT_AGAIN)


def takes_no_writes() -> Finding:
    """The database can only be read."""
    sentence = "the central database takes no writes at present"
    return Finding("trouble", DatabaseReadOnly.code, sentence, DatabaseReadOnly.remedy)


def rights(lacking: Sequence[str]) -> list[Finding]:
    """`lacking`: statements that would give the hub's role what it lacks."""
    if not lacking:
        return []
    sentence = f"the hub's role lacks rights: {len(lacking)} statement{'s'[: len(lacking) != 1]} would do"
    return [Finding("trouble", "grants_missing", f"{sentence}{_handed(lacking)}", f"{'; '.join(lacking)};")]


def rights_missing(role: str, lacking: Sequence[str]) -> GrantsMissing:
    """The error with every statement that is needed."""
    return GrantsMissing(
        f"the role {role} lacks {len(lacking)} right{'s'[: len(lacking) != 1]} that Syncline needs"
        f"{_handed(lacking)}",
        remedy="As an owner or superuser run: " + "; ".join(lacking) + ";",
    )


def _handed(lacking: Sequence[str]) -> str:
    """What it means where the statements hand something over."""
    return HANDED_OVER if any(" OWNER TO " in statement for statement in lacking) else ""
