"""The capture triggers and log table of one tracked table, as SQL text (step 1 of the path, in the centre).

An insert or delete is captured per statement from its transition table, an update per row, a TRUNCATE
before it happens. Where statement triggers do not see every change (partitions, logical replication) all are
per row. The functions run as their owner, so that no other program needs rights on Syncline's schema.

The engine's own statements write their log entries themselves. While they run, `syncline.applying` holds
one digit a value column, 1 for those the engine sets: such a statement is captured only as far as a trigger
of the user's changed more than that. What is done inside triggers (cascades included) is always captured.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.sql import dollar, qualified, quote
from syncline.model.masks import WORD_BITS, split_mask

_APPLYING = "coalesce(current_setting('syncline.applying', true), '')"
_NOT_OURS = f"(pg_trigger_depth() > 0 OR {_APPLYING} = '')"
"""In a WHEN clause, evaluated when the row changes: depth 0 is a statement sent by a client."""

_PLAIN_EQUALITY = frozenset(
    ["smallint", "integer", "bigint", "boolean", "uuid", "date", "bytea",
     "timestamp without time zone", "timestamp with time zone", "time without time zone"]
)  # fmt: skip
"""Types whose equal values are identical. The others are compared by their bytes: 1.0 is not 1.00, -0.0 is
not 0.0, and json has no equality at all."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What a table's capture is made of. `columns` changes when the log cannot be kept; `digest` when the
    functions or triggers must be made anew."""

    columns: str
    log: tuple[str, ...]
    code: tuple[str, ...]
    triggers: dict[str, frozenset[str]]
    """Names of the triggers that must exist, by quoted table."""

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.code).encode()).hexdigest()[:32]


def capture_of(shape: Shape, partitions: tuple[tuple[str, str], ...], by_row: bool) -> Capture:
    """The capture of one table. `partitions` are (schema, name) of a partitioned table's parts."""
    functions = [_insert(shape, by_row), _update(shape), _delete(shape, by_row), _truncate(shape)]
    tables = [shape.name, *(qualified(*partition) for partition in partitions)]
    code = functions + _triggers(shape, by_row)
    for table in tables:
        code += _trigger(table, "truncate", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT", shape)
    names = {table: frozenset(["syncline_truncate"]) for table in tables}
    names[shape.name] = frozenset(f"syncline_{event}" for event in ("insert", "update", "delete", "truncate"))
    described = [f"{column.name} {column.central}" for column in (*shape.table.keys, *shape.table.values)]
    return Capture("\n".join([str(shape.arity), *described]), tuple(_log_table(shape)), tuple(code), names)


def _log_table(shape: Shape) -> list[str]:
    columns = ["seq bigint NOT NULL DEFAULT nextval('syncline.log_seq')"]
    columns += ["xid xid8 NOT NULL DEFAULT pg_current_xact_id()", 'op "char" NOT NULL']
    columns += [f"{word} bigint NOT NULL" for word in shape.words]
    columns += ["hlc bigint NOT NULL", "origin text NOT NULL"]
    pairs = zip(shape.log_keys, shape.keys, strict=True)
    columns += [f"{name} {codec.central} NOT NULL" for name, codec in pairs]
    columns += ["old json"]
    return [
        f"CREATE TABLE {shape.log} ({', '.join(columns)})",
        f"CREATE INDEX log_{shape.n}_new ON {shape.log} (xid, seq)",
    ]


def _entry(
    shape: Shape, op: str, masks: list[str], source: str, old: str | None, stamp: str = "stamp"
) -> str:
    """INSERT one kind of log entry; `source` is what the key columns are taken from, e.g. NEW."""
    columns = ["op", *shape.words, "hlc", "origin", *shape.log_keys]
    values = [f"'{op}'", *masks, stamp, "'hub'", *(f"{source}.{name}" for name in shape.key_names)]
    if old is not None:
        columns, values = [*columns, "old"], [*values, f"row_to_json({old}.*)"]
    return f"INSERT INTO {shape.log} ({', '.join(columns)}) SELECT {', '.join(values)}"


def _everything(shape: Shape) -> list[str]:
    return [str(word) for word in split_mask(shape.table.all_mask, len(shape.words))]


def _function(shape: Shape, event: str, body: str) -> str:
    start = "\n#variable_conflict use_variable\nDECLARE stamp bigint := syncline.direct_hlc();\n"
    whole = dollar(start + body + "\nRETURN NULL;\nEND ")
    return (
        f"CREATE OR REPLACE FUNCTION syncline.{event}_{shape.n}() RETURNS trigger LANGUAGE plpgsql"
        " SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1"
        f" SET TimeZone = 'UTC' AS {whole}"
    )


def _insert(shape: Shape, by_row: bool) -> str:
    if by_row:
        return _function(shape, "insert", f"BEGIN\n{_entry(shape, 'I', _everything(shape), 'NEW', None)};")
    entry = _entry(shape, "I", _everything(shape), "added", None)
    return _function(shape, "insert", f"BEGIN\n{entry} FROM syncline_added AS added;")


def _delete(shape: Shape, by_row: bool) -> str:
    """A cascade that comes back to its own table shares the transition table of the statement it started
    from: the rows that the engine deletes and has logged itself are in it, too, and left out."""
    if by_row:
        return _function(shape, "delete", f"BEGIN\n{_entry(shape, 'D', _everything(shape), 'OLD', 'OLD')};")
    entry = _entry(shape, "D", _everything(shape), "removed", "removed")
    same = " AND ".join(
        f"l.{own} = removed.{name}" for own, name in zip(shape.log_keys, shape.key_names, strict=True)
    )
    logged = (
        f"EXISTS (SELECT FROM {shape.log} AS l WHERE {same} AND l.xid = pg_current_xact_id() AND l.op = 'D')"
    )
    return _function(
        shape,
        "delete",
        f"BEGIN\n{entry} FROM syncline_removed AS removed WHERE {_APPLYING} = '' OR NOT {logged};",
    )


def _truncate(shape: Shape) -> str:
    """The one function that does not know its table's name: a partition may be truncated by itself."""
    entry = _entry(shape, "D", _everything(shape), "removed", "removed", "$1")
    source = "TG_RELID::regclass::text || ' AS removed'"
    body = f"BEGIN\nEXECUTE {dollar(f'{entry} FROM ')} || {source} USING stamp;"
    return _function(shape, "truncate", body)


def _update(shape: Shape) -> str:
    """A change of key is a delete and an insert. `staged` says which columns the engine itself has set."""
    changes = [_changed(shape, index) for index in range(len(shape.values))]
    masks = []
    for word in range(len(shape.words)):
        bits = changes[word * WORD_BITS : (word + 1) * WORD_BITS]
        terms = [f"(CASE WHEN {change} THEN {1 << bit} ELSE 0 END)" for bit, change in enumerate(bits)]
        masks.append(" | ".join(terms) or "0")
    declared = "".join(f"m{number} bigint := {mask};\n" for number, mask in enumerate(masks))
    names = [f"m{number}" for number in range(len(masks))]
    body = (
        "staged text := CASE WHEN pg_trigger_depth() = 1 THEN " + _APPLYING + " ELSE '' END;\n"
        + f"{declared}BEGIN\nIF {_key_changed(shape)} THEN\n"
        + f"{_entry(shape, 'D', _everything(shape), 'OLD', 'OLD')};\n"
        + f"{_entry(shape, 'I', _everything(shape), 'NEW', None)};\n"
        + f"ELSIF {' OR '.join(f'{name} <> 0' for name in names)} THEN\n"
        + f"{_entry(shape, 'U', names, 'NEW', None)};\nEND IF;"
    )  # fmt: skip
    return _function(shape, "update", body)


def _changed(shape: Shape, index: int) -> str:
    column = _differs(shape.value_names[index], shape.values[index].central)
    return f"{column} AND substr(staged, {index + 1}, 1) <> '1'"


def _key_changed(shape: Shape) -> str:
    pairs = zip(shape.key_names, shape.keys, strict=True)
    return " OR ".join(_differs(name, codec.central) for name, codec in pairs)


def _differs(name: str, central: str) -> str:
    if central in _PLAIN_EQUALITY:
        return f"OLD.{name} IS DISTINCT FROM NEW.{name}"
    if central in ("text", "character varying"):
        return f'OLD.{name} IS DISTINCT FROM NEW.{name} COLLATE "C"'
    return f"record_image_ne(ROW(OLD.{name}), ROW(NEW.{name}))"


def _triggers(shape: Shape, by_row: bool) -> list[str]:
    table = shape.name
    each = "FOR EACH ROW" if by_row else "FOR EACH STATEMENT"
    added = "" if by_row else "REFERENCING NEW TABLE AS syncline_added "
    removed = "" if by_row else "REFERENCING OLD TABLE AS syncline_removed "
    digits = f"substr({_APPLYING}, {{}}, 1) <> '1'"
    beyond = [_key_changed(shape)]
    for index, name in enumerate(shape.value_names):
        beyond.append(f"({_differs(name, shape.values[index].central)} AND {digits.format(index + 1)})")
    changed = f"{_NOT_OURS} AND OLD.* OPERATOR(pg_catalog.*<>) NEW.* OR {' OR '.join(beyond)}"
    return [
        *_trigger(table, "insert", f"AFTER INSERT ON {table} {added}{each} WHEN ({_NOT_OURS})", shape),
        *_trigger(table, "update", f"AFTER UPDATE ON {table} FOR EACH ROW WHEN ({changed})", shape),
        *_trigger(table, "delete", f"AFTER DELETE ON {table} {removed}{each} WHEN ({_NOT_OURS})", shape),
    ]


def _trigger(table: str, event: str, what: str, shape: Shape) -> list[str]:
    """Fires also while a logical replication applies its changes: whoever made them, they count (law L4)."""
    name = quote(f"syncline_{event}")
    return [
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} {what} EXECUTE FUNCTION syncline.{event}_{shape.n}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    ]
