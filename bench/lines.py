"""`python3 run.py lines`: how much there is of each adapter, and so how much a further one is to write.

The latter is estimated in two ways. By SQLite's adapter it is what a database takes that is like that:
columns without types, writers that follow each other, one log for all tables. By PostgreSQL's it is what one
takes whose columns have types and whose writers go beside each other, with that one log.

A line of code is a line with anything of a statement on it, be it Python or SQL: no blank line, no comment,
no docstring (not those of attributes, either).
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DATABASES = Path(__file__).resolve().parent.parent / "syncline" / "databases"

PARTS = {
    "catalogue": "before capture defaults examine findings foreign grants inturn layout layouts lines"
    " pieces planning prepare preparing recorded reflect reflection removal remove"
    " shape signature strays wider",
    "log": "compact compacting former log logtable ordered others marks page position"
    " prune retention typedlog",
    "rows": "application apply bases bounds codec counters groups holders isolation loading order parents"
    " parking placed read reading respelling rows screen singly softly spelling stage staged statements steps"
    " typed types write writing",
    "ledger": "cells dialect ledger tables",
    "connection": "__init__ connections database errors instant patient pool session sql text transaction"
    " watch",
    "its own": "breaches careful replaced undone",
}
"""The parts of the contract and the modules, by their names without an ending, that serve them. Its own: what
only this database needs, whatever it does for the contract."""

ELSEWHERE = {"sqlite/foreign": "its own", "sqlite/rows": "log"}
"""Modules that serve another part in one adapter. SQLite alone says nothing of the rows that break a deferred
foreign key, fires no triggers for what REPLACE deletes, lets a trigger undo a whole transaction, and has
triggers that cannot tell the hub's own statement from what it has caused."""

WHOLE = "*"
"""All of a file."""

ALONE: Mapping[str, Mapping[str, str]] = {
    "positions made of snapshots, and logs in no order": {
        "position.py": WHOLE,
        "prune.py": WHOLE,
        "log.py": WHOLE,
        "retention.sql": WHOLE,
        "marks.sql": WHOLE,
        "statements.py": "rivals others _others",
        "write.py": "Unseen.bound is_known look RowWriter._unseen RowWriter.rivals_of",
        "database.py": "PostgresCatalogue.arrived PostgresDatabase._newest",
    },
    "changes whose key is not known": {
        "strays.py": WHOLE,
        "strays.sql": WHOLE,
        "capture.py": "_Functions.truncate _Functions._of_statement _Functions._stray _Functions._olds"
        " _is_other _when",
    },
    "COPY": {
        "stage.py": "Straight.entries Loaded.keep_aside Loaded.is_aside Loaded.fill Loaded._copy cells_of"
        " numbered straight _lines _cells _escaped",
        "apply.py": "Application._is_straight Application._insert_straight",
        "statements.py": "copy_in copy_log",
    },
    "rows tried within the server, and constraints that are deferred": {
        "singly.sql": WHOLE,
        "apply.py": "Application.defer Application.check Application.tried Application.place_singly"
        " Application.where _singly _context",
    },
    "poolers and LISTEN": {
        "session.py": "Connection.begun Session.copy Session.values Session.scripts",
        "watch.py": "PostgresWatch.__init__ PostgresWatch.wait PostgresWatch._listen PostgresWatch.look"
        " PostgresWatch.hear",
    },
    "arrays, and errors raised by code": {
        "sql.py": "dollar array array_of _element spelled",
        "dialect.py": "PostgresDialect.extras PostgresDialect.insert PostgresDialect.upsert_set"
        " PostgresDialect._given PostgresLedgerSession.upsert_many",
        "errors.py": "Said.diag is_raised _is_in_code is_stale_plan",
        "holders.py": "Holders._members",
    },
}
"""What PostgreSQL alone needs: by the reason, files and in them functions by their names, those of methods
with that of the class."""

_PART_OF = {name: part for part, names in PARTS.items() for name in names.split()}

_BASE = "syncline.databases.base"

_NO_WORDS = frozenset(
    [tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER]
)


@dataclass(frozen=True, slots=True)
class Count:
    """Files, their lines, and the lines of code among these."""

    files: int = 0
    lines: int = 0
    code: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.files + other.files, self.lines + other.lines, self.code + other.code)


def count(file: Path) -> Count:
    """The lines of one `.py` or `.sql` file."""
    text = file.read_text("utf-8")
    code = python_lines(text) if file.suffix == ".py" else sql_lines(text)
    return Count(1, len(text.splitlines()), code)


def python_lines(text: str) -> int:
    """The lines of code in a Python module."""
    return len(_used(text))


def _used(text: str) -> set[int]:
    """The numbers of these lines."""
    lines = text.splitlines()
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_WORDS:
            used.update(range(token.start[0], token.end[0] + 1))
    used -= set(_docstring_lines(ast.parse(text)))
    return {number for number in used if lines[number - 1].strip()}


def functions_of(text: str) -> dict[str, int]:
    """The lines of code of each function of a module, by its name; of a method, with that of the class."""
    used, found = _used(text), {}
    places = [("", node) for node in ast.parse(text).body]
    while places:
        prefix, node = places.pop()
        if isinstance(node, ast.ClassDef):
            places += [(f"{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.FunctionDef):
            start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            found[prefix + node.name] = len(used & set(range(start, (node.end_lineno or start) + 1)))
    return found


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    """The lines of texts that stand alone: of modules, classes, functions, and behind attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def sql_lines(text: str) -> int:
    """The lines of code in a file of statements."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--"))


def parts_of(folder: Path) -> dict[str, Count]:
    """The lines of an adapter by the part of the contract that they serve; `other` for unknown modules."""
    found: dict[str, Count] = dict.fromkeys(PARTS, Count())
    for file in sorted([*folder.glob("*.py"), *folder.glob("*.sql")]):
        part = ELSEWHERE.get(f"{folder.name}/{file.stem}", _PART_OF.get(file.stem, "other"))
        found[part] = found.get(part, Count()) + count(file)
    return found


def folders(databases: Path) -> list[Path]:
    """What the adapters share, then each adapter."""
    adapters = sorted(file.parent for file in databases.glob("*/__init__.py"))
    return sorted(adapters, key=lambda folder: folder.name != "base")


def table(databases: Path) -> str:
    """The measure, as text: a section for each folder, a line for each part."""
    made = []
    for folder in folders(databases):
        parts = parts_of(folder)
        made.append(f"{folder.name:<14}{'files':>8}{'lines':>8}{'code':>8}")
        total = sum(parts.values(), Count())
        for name, counted in [*parts.items(), ("all", total)]:
            made.append(f"  {name:<12}{counted.files:>8}{counted.lines:>8}{counted.code:>8}")
        made.append("")
    return "\n".join(made)


def by_sqlite(databases: Path) -> int:
    """How many lines of code are left to write, as SQLite's adapter has them, but for what is its own."""
    parts = parts_of(databases / "sqlite")
    return sum(counted.code for name, counted in parts.items() if name != "its own")


def by_postgresql(databases: Path) -> int:
    """The same, as PostgreSQL's adapter has them, but for what it alone needs; and with SQLite's log."""
    code = sum(counted.code for counted in parts_of(databases / "postgresql").values())
    return code - sum(alone(databases).values()) + parts_of(databases / "sqlite")["log"].code


def alone(databases: Path) -> dict[str, int]:
    """How many lines of code PostgreSQL's adapter has for what no other database needs, by the reason.
    KeyError for a function that there is not."""
    folder, found = databases / "postgresql", dict.fromkeys(ALONE, 0)
    for why, files in ALONE.items():
        for name, functions in files.items():
            if functions == WHOLE:
                found[why] += count(folder / name).code
            else:
                sizes = functions_of((folder / name).read_text("utf-8"))
                found[why] += sum(sizes[function] for function in functions.split())
    return found


def shared(databases: Path) -> dict[str, int]:
    """How many lines of code of `base` the adapters reach by imports: `both` of them, or one alone."""
    base = databases / "base"
    sizes: dict[str, int] = {}
    for file in [*base.glob("*.py"), *base.glob("*.sql")]:
        sizes[file.stem] = sizes.get(file.stem, 0) + count(file).code
    one, other = (_reached(databases / name, base) for name in ("sqlite", "postgresql"))
    groups = {"both": one & other, "sqlite": one - other, "postgresql": other - one}
    return {name: sum(sizes[module] for module in group) for name, group in groups.items()}


def _reached(adapter: Path, base: Path) -> set[str]:
    """The modules of `base` that an adapter imports, and those that these do."""
    passed_on = _imported(base / "__init__.py", {})
    todo = [one for file in adapter.glob("*.py") for one in _imported(file, passed_on).values()]
    seen: set[str] = set()
    while todo:
        module = todo.pop()
        if module not in seen and (base / f"{module}.py").exists():
            seen.add(module)
            todo += _imported(base / f"{module}.py", passed_on).values()
    return seen


def _imported(file: Path, passed_on: Mapping[str, str]) -> dict[str, str]:
    """The names that a file imports from `base`, and their modules; some are `passed_on` by the package."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_BASE):
            inner = (node.module or "")[len(_BASE) + 1 :]
            found |= {one.name: inner or passed_on.get(one.name, one.name) for one in node.names}
    return found


def main() -> int:
    print(table(DATABASES))
    print("code: lines of Python and SQL without blank ones, comments and docstrings")
    print("its own: what no other database needs")
    reach = shared(DATABASES)
    print(
        f"base: {reach['both']:,} lines of code that both adapters reach by imports,"
        f" {reach['postgresql']:,} more PostgreSQL's, {reach['sqlite']:,} more SQLite's"
    )
    print("left to write for a further adapter, in lines of code, by two estimates:")
    print(f"  {by_sqlite(DATABASES):,} as SQLite's, without its own: no types, one writer at a time, one log")
    print(f"  {by_postgresql(DATABASES):,} as PostgreSQL's, with SQLite's log: types, several writers;")
    print("        without what only PostgreSQL needs:")
    for why, code in alone(DATABASES).items():
        print(f"    {code:>5} {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
