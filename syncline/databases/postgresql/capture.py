"""The capture triggers and log table of one tracked table, as SQL text (step 1 of the path, in the centre).

An insert or delete is captured per statement from its transition table, an update per row, a TRUNCATE
before it happens. Where statement triggers do not see every change (partitions, logical replication) all are
per row. The functions run as their owner, so that no other program needs rights on Syncline's schema.

The engine's own statements write their log entries themselves. While one runs, `syncline.applying` names it:
the table's number, the letter of the event, a mark, and one digit a column number, 1 for those it sets. The
mark is a point, or an exclamation mark where code of the user's may write more (`Facts.altering`, `nested`).
What a trigger of the user's changes more of the row is then captured; and a statement inside a function, by
a default say, is told from the engine's own by the stack of calls. What is done inside triggers (cascades
included), to another table or by another event, as rules do it, is always captured: no rule can come back to
the table and event it began with.

No condition of a trigger names a column, and what the functions say of columns is computed where it may fail,
before anything is written: whoever alters the table, no write of anybody's fails (law L13). A row of which
the changed columns cannot be told has changed in all; one without a key goes to `syncline.strays`. Where
columns were added that the functions do not know, an entry with an empty mask says that one of them may have
changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from syncline.databases.base.planning import Capture, Ground
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.sql import dollar, qualified, quote
from syncline.model.masks import split_mask
from syncline.model.operations import DELETES
from syncline.model.values import EVERYTHING

EVENTS = ("insert", "update", "inner_update", "delete", "truncate")
_APPLYING = "coalesce(current_setting('syncline.applying', true), '')"

_UNCALLED = (
    "strpos(calls, E'\\n') = 0 OR calls LIKE '%inline_code_block%'"
    " AND array_length(regexp_split_to_array(calls, E'(^|\\n)\\\\S+ function '), 1) = 3"
)
"""Whether a statement's stack of calls is this function alone, or this one in the engine's own block, which
tries rows one by one."""

_SPELLING = (
    " SET DateStyle = 'ISO' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex'"
    " SET quote_all_identifiers = off"
)
"""What the texts of old values depend on besides, whichever program writes."""

_PLAIN_EQUALITY = frozenset(
    ["smallint", "integer", "bigint", "boolean", "uuid", "date", "bytea",
     "timestamp without time zone", "timestamp with time zone", "time without time zone"]
)  # fmt: skip
"""Types whose equal values are identical. The others are compared by their bytes: 1.0 is not 1.00, -0.0 is
not 0.0, and json has no equality at all."""


def capture_of(shape: Shape, ground: Ground) -> Capture:
    """The capture of one table as it is now."""
    made = _Functions(shape, ground)
    functions = made.insert(), made.update(), made.delete(), made.truncate()
    tables = [shape.name, *(qualified(*partition) for partition in ground.partitions)]
    code = _triggers(shape, by_row=ground.by_row)
    for table in tables:
        code += _trigger(table, "truncate", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT", shape)
    names = {table: frozenset([trigger_name(shape.n, "truncate")]) for table in tables}
    names[shape.name] = frozenset(trigger_name(shape.n, event) for event in EVENTS)
    key = json.dumps([[column.number, column.central] for column in shape.table.keys])
    return Capture(key, tuple(_log_table(shape)), functions, tuple(code), names)


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
        f"CREATE UNIQUE INDEX log_{shape.n}_new ON {shape.log} (xid, seq)",
        f"ALTER TABLE {shape.log} REPLICA IDENTITY USING INDEX log_{shape.n}_new",  # it may be published
    ]


class _Functions:
    """The trigger functions of one table.

    Their bodies say `told` where the key of a row is computed: if that fails, or its type is not the log's,
    the row is a stray."""

    def __init__(self, shape: Shape, ground: Ground) -> None:
        self._shape, self._ground = shape, ground
        self._whole = [str(word) for word in split_mask(EVERYTHING, len(shape.words))]
        # by the log's columns: a type may be renamed, and a function that names it then fails
        self._variables = [f"{name} {shape.log}.{name}%TYPE" for name in shape.log_keys]

    def insert(self) -> str:
        if self._ground.by_row:
            return self._by_row("insert", "I", "NEW")
        entry = self._entry("I", self._whole, self._columns("added"))
        return self._of_statement("insert", "syncline_added AS added", [entry])

    def delete(self) -> str:
        """A cascade that comes back to its own table shares the transition table of the statement it started
        from: the rows that the engine deletes and has logged itself are in it, too, and left out."""
        if self._ground.by_row:
            return self._by_row("delete", "D", "OLD")
        shape = self._shape
        same = _same(shape, "l", shape.log_keys, "removed", shape.key_names)
        own = f"l.xid = pg_current_xact_id() AND l.op IN {DELETES}"
        logged = f"SELECT FROM {shape.log} AS l WHERE {same} AND {own}"
        theirs = f"({_is_other(shape.n, 'delete', '')} OR NOT EXISTS ({logged}))"
        entries = [
            self._entry("D", self._whole, self._columns("removed"), old) for old in self._olds("removed")
        ]
        return self._of_statement("delete", "syncline_removed AS removed", entries, f" WHERE {theirs}")

    def truncate(self) -> str:
        """The one function that does not know its table's name: a partition may be truncated by itself."""
        source = "TG_RELID::regclass::text || ' AS removed'"
        run = "EXECUTE {} || " + source + " USING stamp;"
        body = run.format(dollar(f"{self._stray('removed', None, '$1')} FROM "))
        for old in reversed(self._olds("removed")):
            entry = self._entry("D", self._whole, self._columns("removed"), old, "$1")
            body = _trying(run.format(dollar(f"{entry} FROM ")), body)
        return self._function("truncate", [], f"BEGIN\n{body}")

    def update(self) -> str:
        """A change of key is a delete and an insert. An update by a cascade is told by the trigger's
        argument: when it runs, the depth may be that of the statement that began it."""
        shape = self._shape
        masks = [f"m{word}" for word in range(len(shape.words))]
        declared = ["staged text := '';", "rekeyed boolean;", *(f"{name} bigint;" for name in masks)]
        formers = [f"old_{name}" for name in shape.log_keys]
        declared += [f"{variable};" for variable in self._variables]
        declared += [f"old_{variable};" for variable in self._variables]
        key = [f"rekeyed := {_key_changed(shape)};", *self._told("NEW")]
        key += ["IF rekeyed THEN", *(f"old_{one}" for one in self._told("OLD")), "END IF;"]
        changed = [f"{name} := {mask};" for name, mask in zip(masks, _masks(shape), strict=True)]
        whole = [f"{name} := {word};" for name, word in zip(masks, self._whole, strict=True)]
        old = "former" if shape.before else None
        if old is not None:
            declared.append("former json;")
            words = zip(masks, split_mask(shape.before_mask, len(masks)), strict=True)
            concerned = " OR ".join(f"{name} & {bits} <> 0" for name, bits in words if bits)
            changed.append(f"IF rekeyed OR {concerned} THEN former := {shape.old_values('OLD')}; END IF;")
        stray = f"{self._stray('OLD', 'NEW')};\nRETURN NULL;"
        fallback = "\n".join([*whole, _trying("\n".join(key), stray)])
        changes = " OR ".join(f"{name} <> 0" for name in masks)
        newest = max(number for number, _ in self._ground.columns.values())
        added = f"attrelid = {self._ground.relid} AND attnum > {newest} AND NOT attisdropped"
        digits = f"staged := substr({_APPLYING}, {len(f'{shape.n}u!') + 1});"
        body = [
            "BEGIN",
            f"IF TG_NARGS = 0 THEN\n{self._if_own('update', digits)}\nEND IF;",
            _trying("\n".join([*key, *changed]), fallback),
            "IF rekeyed THEN",
            f"{self._entry('D', self._whole, formers, old)};",
            f"{self._entry('I', self._whole, shape.log_keys)};",
            f"ELSIF {changes} THEN",
            f"{self._entry('U', masks, shape.log_keys, old)};",
            "END IF;",
            f"IF NOT rekeyed AND staged = '' AND (NOT ({changes}) OR {masks[0]} = {self._whole[0]})",
            f"AND EXISTS (SELECT FROM pg_attribute WHERE {added}) THEN",
            f"{self._entry('U', ['0'] * len(masks), shape.log_keys)};",
            "END IF;",
        ]
        return self._function("update", declared, "\n".join(body))

    def _by_row(self, event: str, op: str, row: str) -> str:
        shape = self._shape
        stray = self._stray("OLD", None) if row == "OLD" else self._stray(None, "NEW")
        body = ["BEGIN", *([self._if_own(event, "RETURN NULL;")] if event == "insert" else [])]
        body.append(_trying("\n".join(self._told(row)), f"{stray};\nRETURN NULL;"))
        declared, old = [f"{variable};" for variable in self._variables], None
        if row == "OLD" and shape.before:
            declared.append("former json;")
            old = "former"
            body.append(_trying(f"former := {shape.old_values('OLD')};", "former := NULL;"))
        body.append(f"{self._entry(op, self._whole, shape.log_keys, old)};")
        return self._function(event, declared, "\n".join(body))

    def _olds(self, row: str) -> list[str | None]:
        """What an entry keeps of a row that goes, and what where that cannot be computed."""
        return [self._shape.old_values(row), None] if self._shape.before else [None]

    def _of_statement(self, event: str, source: str, entries: Sequence[str], condition: str = "") -> str:
        """Looks at the key of one row first: a stray, if it is not what the log was made for. Of two entries
        the first is made if it can be computed."""
        row = source.rpartition(" ")[2]
        types = [self._ground.columns[column.name][1] for column in self._shape.table.keys]
        pairs = zip(self._shape.key_names, types, strict=True)
        fits = " AND ".join(f"pg_typeof({row}.{name})::oid = {type_}" for name, type_ in pairs)
        look = f"told := coalesce((SELECT {fits} FROM {source} LIMIT 1), true);"
        stray = self._stray(row, None) if row == "removed" else self._stray(None, row)
        body, declared = ["BEGIN", _trying(look, "told := false;")], ["told boolean;"]
        if event == "insert":
            body.insert(1, self._if_own(event, "RETURN NULL;"))
        if len(entries) > 1:
            declared.append("kept boolean;")
            old = f"kept := (SELECT {self._shape.old_values(row)} FROM {source} LIMIT 1) IS NOT NULL;"
            body += [_trying(old, "kept := false;"), "IF told AND kept THEN"]
            body += [f"{entries[0]} FROM {source}{condition};", "ELSIF told THEN"]
        else:
            body.append("IF told THEN")
        body += [f"{entries[-1]} FROM {source}{condition};", "ELSE", f"{stray} FROM {source};", "END IF;"]
        return self._function(event, declared, "\n".join(body))

    def _if_own(self, event: str, then: str) -> str:
        """Of a statement of the engine's own, `then`: one of a function that it calls has callers. (Nothing
        of the user's is called by a DELETE but triggers.)"""
        own = f"NOT {_is_other(self._shape.n, event, '')} AND pg_trigger_depth() = 1"
        return (
            f"IF {own} THEN\nGET DIAGNOSTICS calls = PG_CONTEXT;\n"
            f"IF {_UNCALLED} THEN\n{then}\nEND IF;\nEND IF;"
        )

    def _columns(self, row: str) -> list[str]:
        return [f"{row}.{name}" for name in self._shape.key_names]

    def _told(self, row: str) -> list[str]:
        pairs = zip(self._shape.log_keys, self._columns(row), strict=True)
        return [f"{own} := {column};" for own, column in pairs]

    def _entry(
        self, op: str, masks: list[str], keys: list[str], old: str | None = None, stamp: str = "stamp"
    ) -> str:
        """INSERT one kind of log entry; `keys` are expressions."""
        columns = ["op", *self._shape.words, "hlc", "origin", *self._shape.log_keys]
        values = [f"'{op}'", *masks, stamp, "'hub'", *keys]
        if old is not None:
            columns, values = [*columns, "old"], [*values, old]
        return f"INSERT INTO {self._shape.log} ({', '.join(columns)}) SELECT {', '.join(values)}"

    def _stray(self, former: str | None, now: str | None, stamp: str = "stamp") -> str:
        """INSERT a row, as it was or as it is, whose key cannot be told."""
        attnums = [str(self._ground.columns[column.name][0]) for column in self._shape.table.keys]
        names = f"syncline.key_names({self._ground.relid}, '{{{','.join(attnums)}}}')"
        sides = ["NULL" if row is None else f"row_to_json({row}.*)" for row in (former, now)]
        return (
            "INSERT INTO syncline.strays (n, hlc, keys, former, now)"
            f" SELECT {self._shape.n}, {stamp}, {names}, {', '.join(sides)}"
        )

    def _function(self, event: str, declared: list[str], body: str) -> str:
        lines = ["", "#variable_conflict use_variable", "DECLARE stamp bigint := syncline.direct_hlc();"]
        lines.append("calls text;")
        whole = dollar("\n".join([*lines, *declared, body, "RETURN NULL;", "END "]))
        spelling = _SPELLING if self._shape.before else ""
        return (
            f"CREATE OR REPLACE FUNCTION syncline.{event}_{self._shape.n}() RETURNS trigger LANGUAGE plpgsql"
            " SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1"
            f" SET TimeZone = 'UTC'{spelling} AS {whole}"
        )


def _trying(statements: str, otherwise: str) -> str:
    """A block that only computes takes no number of a transaction. What follows it is outside of it."""
    return f"BEGIN\n{statements}\nEXCEPTION WHEN OTHERS THEN\n{otherwise}\nEND;"


def _masks(shape: Shape) -> list[str]:
    """Expressions of the mask's words. `staged` says which columns the engine itself has set."""
    changes = {
        number: f"{_differs(name, shape.values[number].central)} AND substr(staged, {number + 1}, 1) <> '1'"
        for number, name in shape.value_names.items()
    }
    return shape.mask_words(changes, lambda test, bit: f"(CASE WHEN {test} THEN {1 << bit} ELSE 0 END)")


def _key_changed(shape: Shape) -> str:
    pairs = zip(shape.key_names, shape.keys, strict=True)
    return " OR ".join(_differs(name, codec.central) for name, codec in pairs)


def _differs(name: str, central: str) -> str:
    if central in _PLAIN_EQUALITY:
        return f"OLD.{name} IS DISTINCT FROM NEW.{name}"
    if central in ("text", "character varying"):
        return f'OLD.{name} IS DISTINCT FROM NEW.{name} COLLATE "C"'
    return f"record_image_ne(ROW(OLD.{name}), ROW(NEW.{name}))"


def _same(shape: Shape, left: str, lefts: list[str], right: str, rights: list[str]) -> str:
    """The condition that two rows have one key. The equality of a type that is not PostgreSQL's own may be in
    any schema: bytes are compared instead."""
    conditions = []
    for a, b, codec in zip(lefts, rights, shape.keys, strict=True):
        if codec.central in _PLAIN_EQUALITY or codec.central in ("text", "character varying"):
            conditions.append(f"{left}.{a} = {right}.{b}")
        else:
            conditions.append(f"ROW({left}.{a})::record OPERATOR(pg_catalog.*=) ROW({right}.{b})::record")
    return " AND ".join(conditions)


def trigger_name(n: int, event: str) -> str:
    """With the table's number: a partition gets the triggers of the whole beside those that it has."""
    return f"syncline_{event}_{n}"


def _is_other(n: int, event: str, mark: str) -> str:
    """Whether what runs is no statement of the engine's for this event, with this mark if one is named."""
    own = f"{n}{event[0]}{mark}"
    return f"left({_APPLYING}, {len(own)}) <> '{own}'"


def _when(n: int, event: str) -> str:
    """In a WHEN clause, evaluated when the row changes: depth 0 is a statement sent by a client."""
    return f"(pg_trigger_depth() > 0 OR {_is_other(n, event, '.')})"


def _triggers(shape: Shape, *, by_row: bool) -> list[str]:
    table = shape.name
    each = "FOR EACH ROW" if by_row else "FOR EACH STATEMENT"
    added = "" if by_row else "REFERENCING NEW TABLE AS syncline_added "
    removed = "" if by_row else "REFERENCING OLD TABLE AS syncline_removed "
    inserted, deleted = _when(shape.n, "insert"), _when(shape.n, "delete")
    changed = "OLD.* OPERATOR(pg_catalog.*<>) NEW.*"
    update = f"AFTER UPDATE ON {table} FOR EACH ROW WHEN"
    outer = f"pg_trigger_depth() = 0 AND {_is_other(shape.n, 'update', '.')} AND {changed}"
    return [
        *_trigger(table, "insert", f"AFTER INSERT ON {table} {added}{each} WHEN ({inserted})", shape),
        *_trigger(table, "update", f"{update} ({outer})", shape),
        *_trigger(table, "inner_update", f"{update} (pg_trigger_depth() > 0 AND {changed})", shape),
        *_trigger(table, "delete", f"AFTER DELETE ON {table} {removed}{each} WHEN ({deleted})", shape),
    ]


def _trigger(table: str, event: str, what: str, shape: Shape) -> list[str]:
    """Fires also while a logical replication applies its changes: whoever made them, they count (law L4)."""
    name, of = quote(trigger_name(shape.n, event)), event.removeprefix("inner_")
    function = f"syncline.{of}_{shape.n}({'' if of == event else 'true'})"
    return [
        f"CREATE TRIGGER {name} {what} EXECUTE FUNCTION {function}",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    ]
