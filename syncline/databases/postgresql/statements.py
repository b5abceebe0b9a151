"""The statements over staged rows in PostgreSQL's own words. `$1` is always the parameter of their source."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.databases.base import statements as base
from syncline.databases.base.statements import SOURCE
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.types import Codec


def json_source(codecs: Sequence[Codec], arity: int, most: int) -> str:
    """Rows from `$1`, a JSON array of arrays of text: n, hlc, key, values. There are `most` of them at most:
    else the planner takes any number for a hundred, and to join so many it reads all of a table that has a
    few thousand."""
    columns = ["(v->>0)::int AS n", "(v->>1)::bigint AS hlc"]
    for index, codec in enumerate(codecs):
        text = f"v->>{index + 2}"
        columns.append(
            f"{text if codec.is_text else f'({text})::{codec.stage}'} AS {staged_name(index, arity)}"
        )
    return f"(SELECT {', '.join(columns)} FROM jsonb_array_elements($1::jsonb) AS e(v) LIMIT {most}) AS s"


def table_source(name: str) -> str:
    """All rows of a temporary table. A condition on n would make the planner expect few."""
    return f"(SELECT * FROM {name} WHERE $1::text IS NOT NULL) AS s"


def range_source(name: str) -> str:
    """Some rows of a temporary table; `$1` is the range of row numbers as an array of two."""
    return f"(SELECT * FROM {name} WHERE n >= ($1::int[])[1] AND n < ($1::int[])[2]) AS s"


def temporary_table(name: str, types: Sequence[str], arity: int) -> str:
    """The table that `table_source` reads."""
    columns = [f"{staged_name(index, arity)} {type_}" for index, type_ in enumerate(types)]
    return f"CREATE TEMPORARY TABLE {name} (n int, hlc bigint, {', '.join(columns)}) ON COMMIT DROP"


def staged_name(index: int, arity: int) -> str:
    return f"k{index}" if index < arity else f"c{index - arity}"


def rivals(shape: Shape, *, triggers: bool) -> str:
    """Entries by others since some snapshot: $2 our origin, $3 its xmax, $4 what ran in it. They are read
    before the rows: usually there are none, and the rows need not be looked at. With `triggers`, those count
    among the others that have fired in this very transaction."""
    words = "".join(f", l.{word}" for word in shape.words)
    columns = ["xid", "seq", "op", "hlc", "origin", *shape.words, *shape.log_keys]
    return (
        f"WITH l AS MATERIALIZED ({_others(shape, columns, 2, triggers=triggers)})"
        f" SELECT s.n, l.xid::text::int8, l.seq, l.op::text, l.hlc, l.origin{words}"
        f" FROM l JOIN {SOURCE} ON {shape.matches('l')} ORDER BY l.seq"
    )


def others(shape: Shape) -> str:
    """How far can be seen, this transaction, and which others have made such entries, $4 of them at most.
    $1 our origin, $2 the xmax, $3 what ran."""
    return (
        "SELECT pg_current_snapshot()::text, pg_current_xact_id()::text::int8, ARRAY(SELECT DISTINCT"
        f" xid::text::int8 FROM ({_others(shape, ['xid'], 1, triggers=False)}) AS l LIMIT $4::int8)"
    )


def _others(shape: Shape, columns: Sequence[str], first: int, *, triggers: bool) -> str:
    """Entries by others; without `triggers` in ranges that leave out what this transaction has written, which
    may be much. The parameters begin with the `first`. Each range has an end: the planner takes one without
    for a third of the log, and reads all of it then."""
    own, end = "pg_current_xact_id()", "pg_snapshot_xmax(pg_current_snapshot())"
    since, ran = f"xid >= ${first + 1}::xid8", f"${first + 2}::xid8[]"
    ranges = [f"{since} AND xid <= greatest({end}, {own})", f"xid = ANY ({ran})"]
    if not triggers:
        ranges = [
            f"{since} AND xid < {own}",
            f"{since} AND xid > {own} AND xid < {end}",
            f"xid = ANY (array_remove({ran}, {own}))",
        ]
    entries = f"SELECT {', '.join(columns)} FROM {shape.log} WHERE origin <> ${first} AND "
    return " UNION ALL ".join(entries + each for each in ranges)


def copy_in(shape: Shape, columns: Sequence[int]) -> str:
    """Insert rows that come over the connection: key, then these columns."""
    names = [*shape.key_names, *(shape.value_names[i] for i in columns)]
    return f"COPY {shape.name} ({', '.join(names)}) FROM STDIN"


def copy_log(shape: Shape) -> str:
    """Log entries that come over the connection: operation, origin, the mask's words, HLC, key."""
    return (
        f"COPY {shape.log} ({', '.join(['op', 'origin', *shape.words, 'hlc', *shape.log_keys])}) FROM STDIN"
    )


def log(shape: Shape, *, old: bool, listed: bool) -> str:
    """Log entries of the rows: $2 operation, $3 origin, then the mask's words; or, if the entries are
    `listed`, a JSON array of arrays: row number, HLC, words. With `old`, what the log keeps of the rows as
    they are goes along."""
    source, order = SOURCE, ""
    given = {"op": '$2::"char"', "origin": "$3", "hlc": "s.hlc"}
    given |= {word: f"${4 + i}::bigint" for i, word in enumerate(shape.words)}
    if listed:
        source += (
            " JOIN jsonb_array_elements($4::jsonb) WITH ORDINALITY AS e(v, place) ON (e.v ->> 0)::int = s.n"
        )
        given |= {name: f"(e.v ->> {1 + i})::bigint" for i, name in enumerate(["hlc", *shape.words])}
        order = " ORDER BY e.place"
    return base.entries(shape, shape.log, given, source, old=old, order=order)
