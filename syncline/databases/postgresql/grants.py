"""The rights that `init` and the hub need, all that are missing at once. No superuser is needed for any."""

from __future__ import annotations

from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.errors import GrantsMissing
from syncline.model.schema import Schema


def missing(session: Session, schema: Schema) -> list[str]:
    """The statements that would give the connected role what it lacks."""
    sql = queries("grants.sql")
    places = [(table.central_schema, table.central_name) for table in schema.tables]
    found = session.run(sql["database"])
    found += session.run(sql["tables"], [place[0] for place in places], [place[1] for place in places])
    return [statement for (statement,) in found]


def require(session: Session, schema: Schema) -> None:
    """Raise GrantsMissing with every statement that is needed."""
    statements = missing(session, schema)
    if statements:
        role = session.value("SELECT current_user::text")
        raise GrantsMissing(
            f"the role {role} lacks {len(statements)} right{'s'[: len(statements) != 1]} that Syncline needs",
            remedy="As an owner or superuser run: " + "; ".join(statements) + ";",
        )
