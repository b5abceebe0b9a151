"""Trying many rows one by one within the server: what each of them runs into, in one statement.

Where one row in five is refused, halving tries nearly every row by itself; from here that is five round trips
a row. An anonymous block does it in one, with a subtransaction for each row.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.databases.base.statements import over
from syncline.databases.base.steps import Write
from syncline.databases.postgresql.errors import NOT_SINGLY, Said
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array_of, dollar, literal, queries
from syncline.databases.postgresql.stage import Loaded

ROW = "syncline_row"


def singly(session: Session, loaded: Loaded, rows: Sequence[int], write: Write) -> dict[int, Said | None]:
    """Do it for each of these rows that lets it be done; of the others, what the server said, or None if it
    left the row out without an error. The rows are in a temporary table, and `prepare` was called.

    Raises what is not told of single rows: see `errors.NOT_SINGLY`."""
    source = f"(SELECT * FROM {loaded.table} WHERE n = {ROW}) AS s"
    statement = over(write.statement, source)
    there = f"EXISTS ({over(write.there, source)})"
    body = queries("write.sql")["one by one"].format(
        rows=literal(array_of(rows)),
        statement=statement,
        left_out=f"written <> 1 OR NOT {there}" if write.stays else f"written = 0 AND {there}",
        states=", ".join(map(literal, NOT_SINGLY)),
    )
    session.script(f"DO {dollar(body)}")
    found = session.run(queries("write.sql")["troubles"])
    session.script(queries("write.sql")["forget troubles"])
    return {n: None if said[0] is None else _said(said, statement) for n, *said in found}


def prepare(session: Session) -> None:
    """Make what `singly` notes down in; it goes with the transaction."""
    session.script(queries("write.sql")["make troubles"])


def _said(said: Sequence[str], statement: str) -> Said:
    state, message, detail, schema, table, constraint, context = said
    lines = context[: max(0, context.find(statement))].splitlines()[:-1]
    return Said(
        sqlstate=state,
        message_primary=message,
        message_detail=detail or None,
        schema_name=schema,
        table_name=table,
        constraint_name=constraint,
        context="\n".join(lines) or None,
    )
