"""Writes the pages of this folder that are made from the code: `python3 run.py docs`.

A test compares them with what this module would write, so that they cannot go stale.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import click
import msgspec

import syncline
from syncline import errors, server
from syncline.cli.verbs import application
from syncline.errors import SynclineError
from syncline.hub.clients import Listed
from syncline.hub.contract import Prepared
from syncline.hub.contract.codes import REMEDIES
from syncline.hub.retention import Pruned
from syncline.merge.policies import (
    COLUMN_POLICIES,
    DELETE_POLICIES,
    FUNCTION,
    FUNCTION_SUMMARY,
    INSERT_POLICIES,
    NOTED,
    OUTCOMES,
    ROW_POLICIES,
    DeletePolicy,
    InsertPolicy,
    RowPolicy,
)
from syncline.model import schema
from syncline.model.finding import Finding
from syncline.model.local import LOCAL_ROWS
from syncline.protocol import messages
from syncline.protocol.status import status_of
from syncline.replica.reports import Report

HERE = Path(__file__).resolve().parent

ERRORS_HEAD = """\
# Errors

<!-- Generated from syncline/errors.py by `python3 run.py docs`. Do not edit. -->

Every failure is a `SynclineError` with a stable `code`, a `detail` that names what happened (and to which
table and key), a `remedy`, and `retry`: whether a machine may try the same thing again without a person.
The command line prints `error:` and `try:`; the server answers `application/problem+json` with the same
words. A code never changes its meaning.

| code | exception | what it says | what to do | try again by machine | HTTP |
|---|---|---|---|---|---|
"""

PRECISE_HEAD = """
## More precise codes

Some occurrences carry a code and a remedy of their own; the exception to catch stays the class.

| code | exception | what to do | HTTP |
|---|---|---|---|
"""

ROWS_HEAD = """
## Codes of rejected rows

A row that the central database cannot hold raises nothing. It is rejected alone, the rest goes on, and the
device keeps the edit with one of these codes (`syncline rejected FILE`). `value_refused` is one too: the
row could not even be sent. A merge function that raises `syncline.Reject` gives `rejected_by_rule`. Of
several reasons a database tells the first that it meets: a retry may be told the next.
So is `body_refused`: a proxy lets no request through that has but this row ([proxies.md](proxies.md)).
An edit of a file that was copied or put back, or whose centre was, is `edit_untold` where the hub does not
remember any more whether it came there before (if the device's clock is behind, that may be why, and the
detail says so), and `edit_brought` where it was rejected and a copy has brought it since; one that was
pending in a table that a program made anew without its rows is `row_lost`, without one of its columns
`value_lost`.

| code | what to do |
|---|---|
"""

FOUND_HEAD = """
## Codes of what `doctor` finds

`syncline doctor syncline.toml` examines the centre, `syncline doctor FILE` a device file. A finding is a
fact, a warning or trouble (exit code 3: it needs a person). What an error of the tables above would say is
found under the error's code: the centre cannot be reached, a table does not fit. Looking changes nothing.

| code | level | of | what it says | what to do |
|---|---|---|---|---|
"""

FOUND = {
    "breaking_change": "The tables named were changed in a way that devices cannot follow; they alone"
    " are out of service ([schema-change.md](schema-change.md)).",
    "capture_altered": "The capture triggers of a table are not those that Syncline made: changes may"
    " have gone uncaptured.",
    "capture_missing": "A table was made anew by a program, or its capture triggers are gone: what was"
    " written meanwhile was not captured.",
    "capture_not_newest": "Triggers of the application are younger than those of capture: entries of the"
    " change log stand in the wrong order.",
    "capture_outdated": "The unique indexes of a table were changed: a `REPLACE` by them is not captured"
    " whole.",
    "capture_suppressed": "Capture is switched off, by another program: what is written is not sent.",
    "check_local": "The CHECK constraints of a table may not be those of the centre: rows that one"
    " refuses wait.",
    "clock_ahead": "A stamp is far ahead of the clock of this side: that was wrong once, or is wrong now.",
    "clone_unfinished": "The clone was cut off.",
    "cluster": "Cluster, timeline and database of a PostgreSQL centre.",
    "column_kept": "A column that the centre has dropped stays: a `UNIQUE` of its table has it, or a foreign"
    " key of this file needs it.",
    "column_local": "A column that is not synced: what it holds is not sent.",
    "column_required": "A column that is not synced must have a value and has no default: new rows of"
    " the centre cannot be added.",
    "columns_held": "SQLite drops no column that is captured.",
    "damaged": "The file of an SQLite centre is damaged.",
    "database_read_only": "The central database takes no writes at present.",
    "device_constraint": "An object of the file refuses rows of the centre (they wait, all else goes on),"
    " or will refuse all of a table.",
    "foreign_key_local": "A foreign key between synced tables is in this file alone: rows that it refuses"
    " wait.",
    "foreign_key_mismatch": "A foreign key of this file points at what is not unique in it: SQLite refuses"
    " writes to both of its tables.",
    "foreign_key_waits": "A foreign key of the centre is not made yet: its parent takes no part, or is not"
    " unique.",
    "former_name": "`syncline.toml` names a table or column by a former name, or by one that"
    " another column had before.",
    "forms_lossy": "Columns hold decimals as `real`, so that digits beyond the fifteenth are rounded in this"
    " file; or intervals as `microseconds` or `epoch`, where a day is 24 hours.",
    "grants_missing": "The hub's role lacks rights.",
    "guard_local": "A trigger of the application can refuse rows: those wait.",
    "hydrate_unfinished": "The file has not been filled from the hub yet: that was cut off.",
    "in_flight": "A push was sent and not answered.",
    "index_missing": "A unique index of the centre could not be made: rows of this file have equal values.",
    "kept_pushes": "How many pushes are kept in case the centre goes back in time.",
    "key_null": "Rows of the centre have NULL for a key: no device gets them.",
    "log_missing": "The change log of a table is gone.",
    "log_size": "The room that the log takes.",
    "moved": "The database was moved here from another cluster.",
    "names_traded": "Columns have each other's names in the centre: a program that makes the table anew on"
    " the device with these has their values exchanged in the centre.",
    "not_a_replica": "The file is not a replica.",
    "not_current": "The tables are not as `init` left them, or those that take part are not those of"
    " the configuration.",
    "rules_not_current": "Tables whose rules in the configuration are others than those that `init` was"
    " given last, by which every server merges.",
    "not_followed_yet": "Tables were altered; what a server that looks, within a minute, does by itself,"
    " and what becomes of edits then.",
    "not_taking_part": "A table of the centre takes no part, and why; or what of it is not followed.",
    "not_wal": "The file is not in the journal mode `wal`: readers and writers block each other.",
    "open_conflicts": "Conflicts wait to be decided.",
    "parent_missing": "Rows refer to rows that are not there: a program writes with `foreign_keys = OFF`.",
    "pending": "How many edits wait to be sent, and since when.",
    "promoted": "A standby was promoted, or a backup restored.",
    "recovery_unfinished": "The centre went back in time or was pruned, and the recovery from that was cut"
    " off.",
    "rejected": "Edits that the centre refused are kept.",
    "replica": "The id of the file and the URL of its hub.",
    "rows_held": "A session holds rows of a table: edits of them wait.",
    "rows_local": "A table of the application refers to one that takes part; what becomes of its"
    " rows (`local_rows`).",
    "schema_refused": "A table that `syncline.toml` names is gone, or cannot take part; the others go on.",
    "state_missing": "The replica has lost its state.",
    "store_damaged": "The file, or what Syncline keeps in it, is damaged.",
    "subscription": "A table is filled by a subscription.",
    "table_changed": "A table, or one that it refers to, was changed in the centre in a way that this file"
    " cannot follow: it is not synced, nor captured.",
    "table_left_out": "`syncline.toml` names tables, but not those that the sentence names: `init` takes them"
    " out of service.",
    "table_not_made": "The centre has a table that takes no part here, since the file has its own of"
    " that name.",
    "table_waits": "The next sync brings the table.",
    "tables": "How many tables take part.",
    "tables_left": "Tables of the file that take no part in the centre any more: what is written to them is"
    " not captured.",
    "track_unfinished": "A track of further tables was cut off; all others are synced.",
    "trigger_disabled": "A capture trigger is disabled, or does not fire for replicated writes.",
    "unique_kept": "A unique index that the centre has dropped stays: a foreign key of this file needs it.",
    "unique_local": "A unique index is in this file alone: rows that it refuses wait.",
    "upgrade_waits": "Names that the centre has changed, or columns that it has dropped, are here as"
    " they were.",
    "value_demanded": "A column must have a value of which devices do not know, and has no default:"
    " devices go on without it ([schema-change.md](schema-change.md)).",
    "version": "The version of the database.",
    "wal_large": "The write-ahead log has grown: some program keeps a read transaction open.",
    "wal_reset": "The SQLite library is older than 3.51.3, and can lose writes when one connection"
    " writes while another checkpoints.",
}
"""What a finding says, by its code. A test compares these with the codes that the program gives."""

FOUND_REMEDIES = {
    "foreign_key_waits": "What the sentence names: it waits for a table to take part, or for a unique index.",
    "former_name": "Write the new name into `syncline.toml`; name the renamed column, too, where"
    " a new one has its name.",
    "grants_missing": "Run the statements that it names.",
    "key_null": "Give them a key.",
    "not_taking_part": "Nothing, if that is meant; else what the sentence names.",
    "rows_held": "Ask whose the session is, or end it.",
    "schema_refused": "Take its section out of `syncline.toml`, or put the table right, or create it again.",
    "subscription": "Nothing once `syncline init syncline.toml` has run.",
    "column_local": "Nothing, if that is meant.",
    "table_left_out": "To keep them, add their sections, `[tables.NAME]`, to `syncline.toml`, and run:"
    " syncline init syncline.toml",
    "upgrade_waits": "Run: syncline upgrade FILE",
}
"""What to do where no call says it in words of its own."""


def below(kind: type[SynclineError], depth: int = 0) -> Iterator[tuple[int, type[SynclineError]]]:
    """The classes of `syncline.errors` from `kind` downwards, in the order of the module."""
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from below(child, depth + 1)


def modules() -> Iterator[ast.Module]:
    """The modules of `syncline`, in order of files."""
    for path in sorted((HERE.parent / "syncline").rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def named(module: ast.Module) -> dict[str, str]:
    """The texts that a module gives a name to: `NAME = "..."`."""
    given = [node for node in module.body if isinstance(node, ast.Assign)]
    return {
        target.id: "".join(texts(node.value, {}))
        for node in given
        for target in node.targets
        if isinstance(target, ast.Name) and texts(node.value, {})
    }


@cache
def shared() -> dict[str, str]:
    """The named texts of all modules, without names that mean different texts in two of them."""
    found: dict[str, set[str]] = {}
    for module in modules():
        for name, text in named(module).items():
            found.setdefault(name, set()).add(text)
    return {name: text for name, (text, *others) in found.items() if not others}


def texts(node: ast.expr, names: Mapping[str, str]) -> list[str]:
    """The texts that an expression may be: a literal one, one of `names`, or either of a choice between
    such. What is put in at run time stands in capitals."""
    if isinstance(node, ast.IfExp):
        return texts(node.body, names) + texts(node.orelse, names)
    if isinstance(node, ast.JoinedStr):
        parts = [*map(part_of, node.values)]
        return [] if None in parts else ["".join(filter(None, parts))]
    if isinstance(node, ast.Name) and node.id in names:
        return [names[node.id]]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def part_of(node: ast.expr) -> str | None:
    """A literal part of a text, or the name of what is put in at run time, in capitals; None if that is more
    than a name."""
    if isinstance(node, ast.FormattedValue):
        if not isinstance(node.value, ast.Name | ast.Attribute):
            return None
        last = ast.unparse(node.value).removesuffix(".value").split(".")[-1]
        return {"path": "FILE", "name": "TABLE", "index": "NAME"}.get(last, last.strip("_").upper())
    return "".join(texts(node, {}))


def calls() -> Iterator[tuple[str, dict[str | None, list[str]]]]:
    """Name and texts among the keyword arguments of every plain call, in order of files and lines; a remedy
    may also be a text that has a name."""
    for module in modules():
        names = shared() | named(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield (
                    node.func.id,
                    {
                        word.arg: texts(word.value, names if word.arg == "remedy" else {})
                        for word in node.keywords
                    },
                )


def assigned(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is given a value, and the value, one by one; nothing where two names get the same."""
    if len(node.targets) == 1:
        targets = getattr(node.targets[0], "elts", [node.targets[0]])
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        yield from zip(targets, values, strict=False)


def class_codes() -> Iterator[tuple[str, str, str]]:
    """Code, class and remedy of the classes that give themselves a code, in every module."""
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                given = {}
                for line in node.body:
                    if isinstance(line, ast.Assign):
                        given |= {getattr(name, "id", ""): texts(value, {}) for name, value in assigned(line)}
                if given.get("code") and given.get("title"):
                    yield given["code"][0], node.name, "".join(given.get("remedy", []))


def device_reasons() -> dict[str, str]:
    """Code and remedy of the edits that a device sets aside by itself, `Reason(code, detail, remedy)`."""
    found: dict[str, str] = {}
    for module in modules():
        names = shared() | named(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason" and len(node.args) > 2:
                given, remedy = texts(node.args[0], names), texts(node.args[2], names)
                found |= {code: remedy[0] for code in given if remedy}
    return found


def _assigned(function: ast.AST, line: int, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The texts that a function gives a name to, as they stand before a line of it."""
    found: dict[str, list[str]] = {}
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.Assign) and node.lineno < line]
    for node in sorted(nodes, key=lambda one: one.lineno):
        for target, value in assigned(node):
            if isinstance(target, ast.Name):
                found[target.id] = _texts_of(value, names, {})
    return found


def _texts_of(node: ast.expr, names: Mapping[str, str], local: Mapping[str, list[str]]) -> list[str]:
    """As `texts`, and a name that the function gives, and the code or remedy of a class of errors."""
    if isinstance(node, ast.Name) and node.id in local:
        return local[node.id]
    if isinstance(node, ast.Attribute) and node.attr in ("code", "remedy"):
        kinds = [kind for _, kind in below(SynclineError) if kind.__name__ == ast.unparse(node.value)]
        return [getattr(kind, node.attr) for kind in kinds]
    return texts(node, names)


def findings() -> Iterator[tuple[str, str, list[str], list[str], list[str]]]:
    """Of every `Finding(level, code, sentence, remedy)` of the program: where it is said, the code as it is
    written there, the codes and levels that this may be, and what to do."""
    for path in sorted((HERE.parent / "syncline").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "model.finding import" not in text:
            continue
        module = ast.parse(text)
        names = shared() | named(module)
        side = "device" if "replica" in path.parts else "centre"
        for function in ast.walk(module):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                    local = _assigned(function, node.lineno, names)
                    level, code, _, *rest = node.args
                    remedy = _texts_of(rest[0], names, local) if rest else []
                    codes = _texts_of(code, names, local)
                    yield side, ast.unparse(code), codes, texts(level, names), list(filter(None, remedy))


def findings_table() -> Iterator[str]:
    """A line for each code that `doctor` may print and no error has, and for those that it says otherwise."""
    sides: dict[str, set[str]] = {}
    levels: dict[str, list[str]] = {}
    remedies: dict[str, list[str]] = {}
    for side, _, codes, given, remedy in findings():
        for code in codes:
            sides.setdefault(code, set()).add(side)
            levels[code] = list(dict.fromkeys([*levels.get(code, []), *given]))
            remedies[code] = list(dict.fromkeys([*remedies.get(code, []), *remedy]))
    for code in sorted(sides):
        to_do = " Or: ".join(remedies[code]).replace("|", "\\|") or FOUND_REMEDIES.get(code, "Nothing.")
        where = " and ".join(sorted(sides[code]))
        yield f"| `{code}` | {', '.join(levels[code])} | {where} | {FOUND[code]} | {to_do} |\n"


def precise_codes() -> list[tuple[str, str, str]]:
    """Code, exception and remedy wherever an error is raised with a code of its own, `code="..."`, and of
    the classes outside `syncline.errors`.

    A remedy that is put together at run time cannot be told here: the class's holds the place.
    """
    classes = {kind.__name__: kind for _, kind in below(SynclineError)}
    known = {kind.code for kind in classes.values()}
    found: dict[str, tuple[str, str]] = {}
    for name, given in calls():
        remedy = "".join(given.get("remedy", [])[:1])
        shown = name if name[0].isupper() else SynclineError.__name__
        for code in given.get("code", []):
            if code not in known and (remedy or code not in found):
                found[code] = (shown, remedy or classes.get(shown, SynclineError).remedy)
    for code, name, remedy in class_codes():
        if code not in known:
            found.setdefault(code, (name, remedy))
    return [(code, name, remedy) for code, (name, remedy) in sorted(found.items())]


def status_at(code: str, name: str) -> int:
    """The HTTP status of an error of this class with this code."""
    kind = {kind.__name__: kind for _, kind in below(SynclineError)}.get(name, SynclineError)
    error = kind.__new__(kind)
    error.code = code
    return status_of(error)


def errors_page() -> str:
    rows = []
    for depth, kind in below(SynclineError):
        name = "↳ " * depth + f"`{kind.__name__}`"
        again = "yes" if kind.retry else "no"
        status = status_of(kind.__new__(kind))
        rows.append(f"| `{kind.code}` | {name} | {kind.title}. | {kind.remedy} | {again} | {status} |\n")
    precise = [
        f"| `{code}` | `{name.removeprefix('_')}` | {remedy} | {status_at(code, name)} |\n"
        for code, name, remedy in precise_codes()
    ]
    reasons = {**REMEDIES, **{code: text for code, text in device_reasons().items() if code not in REMEDIES}}
    refused = [f"| `{code}` | {remedy} |\n" for code, remedy in reasons.items()]
    return "".join(
        [ERRORS_HEAD, *rows, PRECISE_HEAD, *precise, ROWS_HEAD, *refused, FOUND_HEAD, *findings_table()]
    )


CLI_HEAD = """\
# The command line

<!-- Generated from syncline/cli by `python3 run.py docs`. Do not edit. -->

Results go to standard output, messages and progress to standard error. Every verb has `--json`. A failure is
two lines, `error:` and `try:`, and an exit code:

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed: the network, a database, a file, the protocol |
| 2 | asked wrongly: arguments, `syncline.toml`, a table or a value that cannot take part |
| 3 | done, but a person is needed: rows were rejected, a conflict waits to be decided, or copies differ |
| 130 | interrupted |
"""


def helps(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Name and help text of a command and of all commands inside it."""
    context = click.Context(
        command, info_name=name, parent=above, terminal_width=100, **command.context_settings
    )
    yield context.command_path, context.get_help()
    if isinstance(command, click.Group):
        for inside in command.list_commands(context):
            yield from helps(command.commands[inside], inside, context)


def cli_page() -> str:
    texts = (f"\n## {name}\n\n```\n{text}\n```\n" for name, text in helps(application, "syncline"))
    return CLI_HEAD + "".join(texts)


POLICIES_HEAD = """\
# Policies

<!-- Generated from syncline/merge/policies.py by `python3 run.py docs`. Do not edit. -->

A policy says how two edits of the same thing are settled when neither knew of the other. It is chosen in the
centre, for each table, in `syncline.toml` or with `syncline.Table`; devices need not know it. Whatever lost
is kept with both values and the base (`syncline conflicts FILE`).

```
[tables.invoice]
merge = { total = "sum", billing_city = "review" }   # columns; or one word for whole rows
deletes = "newer_wins"
inserts = "same_row"
```
"""

COLUMNS_HEAD = """
## For a column: `merge = { column = "..." }`

Columns are settled one by one; edits of different columns of a row never meet. The first policy holds where
none is named.

| policy | what it does | travels as | columns |
|---|---|---|---|
"""

FUNCTION_TEXT = """
From Python, a policy may also be a function of `(base, ours, theirs)`: what the replica had seen, what the
centre has, what was sent. It is called only for a conflict and returns the new value; it must be pure.
Raising `syncline.Reject` refuses the edit, which the device then keeps as rejected.
Whatever else it raises refuses this edit alone, as `merge_function_failed`. It is called within the
transaction of the push: while it computes, others wait for the rows that the push has locked, and over a
SQLite centre for the whole file. A function that asks something over a network has no place there.

`max` and `min` compare what is sent with what the centre has, also where nobody else has edited it: an
edit that does not exceed (to lower a `max`, to raise a `min`) loses to the value that stays, and is kept as
a conflict like any overruled one. Who means to set such a column back decides that conflict
(`syncline conflicts FILE resolve ID --take sent`), or writes it in the centre.

After the centre was put back to a backup a `sum` may count increments of rows twice that are newer than the
backup. Each is kept as a conflict then: [retention](retention.md) says when, and what to do.
"""

TABLE_HEAD = """
## {title}

{text}

| policy | what it does |
|---|---|
"""

CASCADES_TEXT = """
## A delete that takes rows along: `ON DELETE CASCADE`

A device deletes, row by row, what it had below a row that it deletes. What others have put there since,
or moved there, it has never seen; a foreign key of the centre with ON DELETE CASCADE takes it all the
same, whatever `deletes` says: the row that it refers to is gone. So it is where a device changes the key
of a row, which travels as a delete and an insert. Each such row, however deep, is kept as a conflict of
whoever deleted, with the values that the centre had and who had edited it last. Its outcome is `replica`,
its policy `cascade`, and a delete of the row itself that had lost says so, too. To have it back, bring
back what it referred to and decide for what the hub had (`syncline conflicts FILE resolve ID --take hub`),
or decide for a value that refers to something else (`--take value`). A foreign key without an action lets
the device's delete be rejected instead.

With ON DELETE SET NULL or SET DEFAULT the row stays, and what it referred by goes. Where others had set that,
and the device had not seen it, it is kept in the same way, as a conflict of the column: policy `set_null` or
`set_default`, with the value that went. So it is with ON UPDATE SET NULL, where a device changes the value
that is referred to. To have it back, bring back what it referred to, then decide for it (`--take value`).

A foreign key that devices do not check (NOT VALID, or of values that may be spelled otherwise: `init` names
them), or an action that they do not do, is the centre's alone. What is below a row by such a key a device
leaves as it is when it deletes the row or changes its key, also where it saw it: all of it that goes, or is
emptied, is kept as a conflict, but for what the same push deletes or sets itself.
"""
INSERTS_TEXT = """
A single integer key is `key_taken` if nothing is said, unless it is a foreign key; uuid, text and composite
keys are `same_row`. Devices and the centre count integer keys up by themselves: two that are offline give the
same number to two different customers, and taking them for one row would put the one in place of the other.
Two rows that are equal in every column are one row all the same. A uuid or a text says which thing is meant,
whoever writes it; so does a number that refers to a row of another table.

What points at a rejected insert is rejected with it, by whatever way. A new row whose key has the number of
its parent in it, (1, 'HQ') of customer 1, is another thing than the row of that key which the centre has: it
waits with its parent, and so does what points at it. With the parent's new number it gets a new key.

`syncline track` of a file that has rows of its own treats a row under a counted key that differs from the
centre's in the same way, whatever `inserts` says, unless the table took part in the file before.

A rejected insert is kept on its device, as an edit: its row leaves the table until it is retried. What was
written into the row until the device heard of it is part of that edit.
`syncline rejected FILE retry N --new-key` (in Python `replica.retry(n, new_key=True)`) gives the row a
free number and lets what was rejected because of it follow, on all levels, but not what would go over what
was written since; the next sync sends them. What points at another rejected row as well (a link of two rows,
by whichever of its foreign keys) stays rejected, points at the new number, and follows with the last of them.
What the device did to its row before it heard of the other is rejected like the insert, and never touches the
other's row. A retry without `--new-key` is refused while the other's row is there. In a copy of the device's
file the edit stays rejected: discard it there, a retry would bring the row in twice.

Rows of the application's own tables, which take no part, refer to the other's row from then on, wherever
their foreign key says that number. Those that were there when the other's row came are noted with the edit
(10,000 at most), and named by `sync` and `syncline rejected FILE show N`. With `--new-key` they follow
their row, if they are as they were then, also where they refer to several such rows. Those that others than
Syncline have written or changed since may mean the other's row: they stay with it, and the retry names them.
Nothing is changed in such tables without `--new-key`.

Better still: give tables that devices insert into a uuid for a key.
"""
LOCAL_ROWS_HEAD = """
## A device's own rows that refer to a row which the centre deleted: `local_rows`

Tables of the application's own on a device may refer to rows that take part. What becomes of theirs is
said in the centre, in `[hub]` or `[tables.x]`, or on the device (`--local-rows`, `local_rows=` of
`syncline.connect`), which goes before. The first holds where nothing is said.

| value | what becomes of them |
|---|---|
"""
NOTED_HEAD = """
## What else a conflict may say

A conflict (`syncline conflicts FILE`) says by which policy it was settled. These cannot be chosen by name:

| policy | what it says |
|---|---|
"""
OUTCOMES_HEAD = """
Its outcome is one of these:

| outcome | what it says |
|---|---|
"""


def policies_page() -> str:
    columns = []
    for policy in COLUMN_POLICIES.values():
        types = "all" if policy.types is None else ", ".join(sorted(policy.types))
        columns.append(f"| `{policy.name}` | {policy.summary} | {policy.travels} | {types} |\n")
    rows = TABLE_HEAD.format(
        title='For whole rows: `merge = "..."`',
        text="Two edits of a row meet even if they touched other columns.",
    )
    deletes = TABLE_HEAD.format(
        title="An update against a delete: `deletes`",
        text="Where rows compete as a whole, their own policy settles this too.",
    )
    inserts = TABLE_HEAD.format(
        title="An insert that meets another insert of the same key: `inserts`",
        text="Equal rows are one row, whatever is chosen.",
    )
    return "".join(
        [
            *(POLICIES_HEAD, COLUMNS_HEAD, *columns, FUNCTION_TEXT),
            *(rows, *_described(ROW_POLICIES), deletes, *_described(DELETE_POLICIES)),
            *(CASCADES_TEXT, inserts, *_described(INSERT_POLICIES), INSERTS_TEXT),
            *(
                LOCAL_ROWS_HEAD,
                *(f"| `{name}` | {text} |\n" for name, text in LOCAL_ROWS.items()),
                NOTED_HEAD,
            ),
            *(f"| `{name}` | {text} |\n" for name, text in {FUNCTION: FUNCTION_SUMMARY, **NOTED}.items()),
            *(OUTCOMES_HEAD, *(f"| `{name}` | {text} |\n" for name, text in OUTCOMES.items())),
        ]
    )


def _described(policies: Mapping[str, RowPolicy | DeletePolicy | InsertPolicy]) -> list[str]:
    return [f"| `{policy.name}` | {policy.summary} |\n" for policy in policies.values()]


PYTHON_HEAD = """\
# Python

<!-- Generated from the docstrings of syncline by `python3 run.py docs`. Do not edit. -->

What `import syncline` offers. Other names may change without notice. A device needs no more than
`pip install .`; the hub and the server need the extras `server` and `postgresql`.

```python
import syncline

with syncline.connect("field.db", hub="http://127.0.0.1:8080") as replica:
    report = replica.sync()
    print(report.push.sent, report.pull.written, report.as_dict())
    for edit in replica.rejected():
        print(edit.table, edit.key, edit.code, edit.remedy)
```

Every failure is a `SynclineError` with a `code`, a `detail`, a `remedy` and `retry` ([errors.md](errors.md));
its subclasses are in `syncline.errors`. Progress is a function of `(stage, done, total)`. The fields of a
report are those that the verbs of the command line have with `--json` ([cli.md](cli.md)). Three verbs have
more, each from a call of its own: `sync` and `push` `person_needed` (`replica.status().person_needed`),
`status` `waiting` (`replica.waiting()`). A `Value` is None, an int, a float, a str or bytes, `KeyValues` a
tuple of them.
"""

HUB_RECORDS = (Finding, Listed, Prepared, Pruned)
"""What the methods of a hub return, and nobody makes."""


def python_page() -> str:
    entrances = [_called("syncline", getattr(syncline, name)) for name in ("clone", "connect")]
    return "".join(
        [
            PYTHON_HEAD,
            "\n## A device file\n",
            *entrances,
            "\n## Replica\n",
            _doc(syncline.Replica),
            *_methods(syncline.Replica, "replica"),
            "\n## What a replica tells\n\nEach is a frozen record; `as_dict()` is its JSON.\n",
            *map(_record, _reports()),
            "\n## Hub\n",
            _called("syncline", syncline.Hub),
            *_methods(syncline.Hub, "hub"),
            "\n## What a hub tells\n",
            *map(_record, HUB_RECORDS),
            "\n## Rules, actors, errors\n",
            *map(_record, (syncline.Table, syncline.Actor)),
            *(f"\n### `{kind.__name__}`\n{_doc(kind)}" for kind in (syncline.Reject, SynclineError)),
            "\n## The server\n",
            *(_called("syncline.server", getattr(server, name)) for name in ("create_app", "Snapshots")),
            *(_called("syncline.server", getattr(server, name)) for name in ("serve", "serving")),
        ]
    )


def _reports() -> list[type]:
    """The public records that a replica tells its application."""
    public = [getattr(syncline, name) for name in syncline.__all__]
    return [
        one for one in public if isinstance(one, type) and issubclass(one, (Report, syncline.ConflictNote))
    ]


def _doc(thing: object) -> str:
    return f"\n{inspect.getdoc(thing)}\n"


def _called(place: str, thing: Callable[..., object]) -> str:
    return f"\n### `{place}.{thing.__name__}{_signature(thing)}`\n{_doc(thing)}"


def _signature(thing: Callable[..., object]) -> str:
    """The parameters by name, with what they are if nothing is said."""
    found = inspect.signature(thing)
    parameters = [
        one.replace(annotation=one.empty) for one in found.parameters.values() if one.name != "self"
    ]
    return str(found.replace(parameters=parameters, return_annotation=found.empty))


def _methods(kind: type, name: str) -> Iterator[str]:
    """What a class offers by names of its own, in the order of the code."""
    for called, thing in vars(kind).items():
        if called.startswith("_"):
            continue
        if isinstance(thing, property):
            yield f"\n### `{name}.{called}`\n{_doc(thing)}"
        elif inspect.isfunction(thing):
            yield f"\n### `{name}.{called}{_signature(thing)}`\n{_doc(thing)}"


def _record(kind: type) -> str:
    typed = {one.name: one.type for one in fields(kind)} if is_dataclass(kind) else _travelling(kind)
    listed = "".join(f"- `{name}`: `{its}`\n" for name, its in typed.items())
    return f"\n### `{kind.__name__}`\n{_doc(kind)}\n{listed}"


def _travelling(kind: type) -> dict[str, str]:
    """The fields of a record that travels, as what they hold where it arrives."""
    assert issubclass(kind, msgspec.Struct), "a record is a dataclass, or travels"
    plain = {"Whole": "int", "Place": "int", "Name": "str"}
    return {
        name: re.sub(r"\w+", lambda word: plain.get(word[0], word[0]), inspect.get_annotations(kind)[name])
        for name in kind.__struct_fields__
    }


FIELDS_HEAD = r"""
A device in another language needs these; requests and answers are in [Paths](#paths).

**Stamps.** An HLC (`hlc`) is one integer, `milliseconds * 65536 + counter`: milliseconds since 1970 UTC of
the clock of whoever edited, and a counter from 0 to 65535 that tells edits of one millisecond apart. Each
stamp of a device is above all that it has made before, and above every `hlc` that an answer has told it;
the origin (a replica's id, or `hub`) decides between equal ones. It has nothing to do with the *stamps*
(`stamps`, `done`) of edits: 8 random bytes each, made when the edit is captured, told one after the other
in one binary (in JSON a text in base64).

**`hlc` of a group** has one entry a row: the first is the stamp itself, each other one the difference from
the one before, which may be negative. Rows with the stamps 1000, 1007, 1003 have `[1000, 7, -4]`.
`column_hlc` has stamps themselves, no differences.

**`base`** has one entry a row, or none at all: a place in `Push.bases`, counted from 0, of the watermark
that the device had when it made the *first* pending edit of the row. An empty list means 0 for every row.
`column_base[i][j]` is the same for column `j` (as the group names it) of row `i`, where columns of a row
were edited at different times. Without `column_hlc` or `column_base` that of the row is each column's.

**Increments.** A column with `increment` in the schema carries, in a group of `U`, what the value has grown
by and not the value: the value now minus the value before the first pending edit, NULL counting as 0.
Decimals are subtracted to the digit and travel as text. In every other operation, and in answers, it
carries the value.

**Rows.** `I` and `R` name every column that is neither in the key nor `computed`, by ascending number; `U`
those that were edited; `D` and `-` none, so that a row is its key. A row stands in one group of a push.

| in the texts below | what it is |
|---|---|
| `body.chained(before, digest)` | the first 32 hex digits of the SHA-256 of the text `before\|digest` |
| sealed with `seal`, `body.sealed` | that text, a point, `seal`; as it is where `seal` is empty |
| `body.imprint` | the first 8 bytes of the SHA-256 of all stamps of a push, in their order |
| `model.schema.to_plain(schema)` | the objects of [The schema](#the-schema) |
| `model.values.add` | the sum of two numbers: [Increments](#groups-and-fields) |
| `model.forms` | the spellings of [types.md](types.md#how-an-application-may-spell-values) |

| type | what it may be |
|---|---|
"""

SCHEMA_HEAD = """
### The schema

`SchemaAnswer.tables` are objects with these names, in the order of the foreign keys: parents before
children. Whatever has the value of the default may not be left out, but for `born` and `unchecked`, which
are not there if they are empty. The fingerprint is the first 32 hex digits of the SHA-256 of the JSON of
`{"tables": ..., "used": ...}`, names sorted, without blanks, in ASCII (`\\u` escapes).
"""

MARKED = re.compile(r"(?s)(?<=<!-- From here on generated from syncline/protocol/messages.py ).*")


def protocol_page() -> str:
    """The page as it is, with its last section from the records."""
    written = (HERE / "protocol.md").read_text(encoding="utf-8")
    told = notes_of(messages) | notes_of(schema)
    made = [
        "by `python3 run.py docs`. Do not edit. -->\n",
        FIELDS_HEAD,
        *(f"| `{name}` | {text} |\n" for name, text in WIRE_TYPES.items()),
        *(_wire_record(kind, told[kind.__name__]) for kind in travelling()),
        SCHEMA_HEAD,
        *(_wire_record(kind, told[kind.__name__]) for kind in SCHEMA_RECORDS),
    ]
    return MARKED.sub(lambda _: "".join(made), written)


SCHEMA_RECORDS = (schema.TableSchema, schema.ColumnSchema, schema.ForeignKey)
WIRE_TYPES = {
    "Value": "null, integer of 64 bits, float, text, binary: a value of a row ([types.md](types.md))",
    "Cells": "a list of `Value`: a key, or values of a row",
    "Raw": "MessagePack of a list of groups, embedded as it is; in JSON a list of objects",
    "Name": f"text of at most {messages.NAME_LENGTH} characters, no control characters",
    "Words": f"text of at most {messages.WORDS_LENGTH:,} characters",
    "Token": f"text of at most {messages.TOKEN_LENGTH:,} characters: a watermark or cursor, or a key as JSON",
    "Mark": "the same, in an answer: printable ASCII without a blank",
    "Number": "integer from 1 on",
    "Count": "integer from 0 on",
    "Whole": "integer of 64 bits",
    "Hlc": "a stamp of the hub's, see above; no later than the year 3000",
    "Place": "the number of a table or a column",
    "Index": "the same, in a request",
    "Indices": "a list of these",
    "Version": "the version of the protocol",
    "Stamps": f"binary of {messages.STAMP_BYTES} bytes for each edit",
    "Asked": f"the same of a reconcile: at most {messages.STAMPS_ASKED:,} stamps or imprints",
    "Decided": "a `Value`, or a list of them for a whole row",
    "Bases": "a list of `Token`",
    "Details": "a list of `Detail`",
    "PushOp": "operation: `I` new, `R` removed and made again, `U` edited, `D` removed, `-` made and removed",
    "HubOp": "operation: `U` these columns are so (the whole row, if it names all), `D` the row is not there",
}
"""What the types in the tables of fields are, beyond those of Python."""


def travelling() -> list[type[messages.Record]]:
    """Every record of the messages, in the order of the code."""
    found = (one for one in vars(messages).values() if isinstance(one, type))
    return [one for one in found if issubclass(one, messages.Record) and one is not messages.Record]


def notes_of(module: ModuleType) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Type, default and what stands below it, of every field of every class of a module, as it is written."""
    return {
        node.name: dict(_fields_of(node))
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef)
    }


def _fields_of(node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for one, after in pairwise([*node.body, ast.Pass()]):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            default = "" if one.value is None else ast.unparse(one.value)
            default = default.replace("PROTOCOL_VERSION", str(messages.PROTOCOL_VERSION))
            note = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                note = " ".join(str(after.value.value).split())
            if "init=False" not in default:
                yield one.target.id, (_wire_type(one.annotation), default, note)


def _wire_type(node: ast.expr) -> str:
    """A type without its bounds."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        assert isinstance(node.slice, ast.Tuple), "it has bounds"
        return ast.unparse(node.slice.elts[0])
    return ast.unparse(node).replace("'", '"')


def _wire_record(kind: type, told: Mapping[str, tuple[str, str, str]]) -> str:
    text = inspect.getdoc(kind) if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}(") else ""
    rows = (
        f"| `{name}` | {_code(type_)} | {_code(default)} | {note} |\n"
        for name, (type_, default, note) in told.items()
    )
    head = "\n| field | type | default | |\n|---|---|---|---|\n"
    return f"\n#### {kind.__name__}\n" + (f"\n{text}\n" if text else "") + head + "".join(rows)


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def pages() -> dict[Path, str]:
    """Every generated page and what must stand in it."""
    return {
        HERE / "errors.md": errors_page(),
        HERE / "cli.md": cli_page(),
        HERE / "policies.md": policies_page(),
        HERE / "python.md": python_page(),
        HERE / "protocol.md": protocol_page(),
    }


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
