"""`python3 run.py lines`: how much there is of each adapter, and so how much a further one is to write.

A line of code is a line with anything of a statement on it, be it Python or SQL: no blank line, no comment,
no docstring (not those of attributes, either).
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATABASES = Path(__file__).resolve().parent.parent / "syncline" / "databases"

PARTS = {
    "catalogue": "before capture defaults examine findings foreign grants inturn layout layouts lines"
    " metadata pieces planning prepare preparing recorded reflect reflection removal remove"
    " shape signature strays wider",
    "log": "compact compacting log logtable ordered others page position prune retention",
    "rows": "application apply bases bounds codec counters groups holders isolation loading order parents"
    " parking read reading respelling rows screen softly spelling stage staged statements steps typed types"
    " write writing",
    "ledger": "dialect ledger tables",
    "connection": "__init__ connections database errors instant pool session sql text transaction watch",
    "its own": "breaches careful replaced undone",
}
"""The parts of the contract and the modules, by their names without an ending, that serve them. Its own: what
only this database needs, whatever it does for the contract."""

ELSEWHERE = {"sqlite/foreign": "its own", "sqlite/rows": "log"}
"""Modules that serve another part in one adapter. SQLite alone says nothing of the rows that break a deferred
foreign key, fires no triggers for what REPLACE deletes, lets a trigger undo a whole transaction, and has
triggers that cannot tell the hub's own statement from what it has caused."""

MEASURE = "sqlite"
"""The adapter that does no more than the contract asks for: a further one takes about as much."""

_PART_OF = {name: part for part, names in PARTS.items() for name in names.split()}

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
    lines = text.splitlines()
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_WORDS:
            used.update(range(token.start[0], token.end[0] + 1))
    used -= set(_docstring_lines(ast.parse(text)))
    return sum(1 for number in used if lines[number - 1].strip())


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


def left_to_write(databases: Path) -> int:
    """How many lines of code the author of a further adapter has to write, about."""
    parts = parts_of(databases / MEASURE)
    return sum(counted.code for name, counted in parts.items() if name != "its own")


def main() -> int:
    print(table(DATABASES))
    print("code: lines of Python and SQL without blank ones, comments and docstrings")
    print("its own: what no other database needs")
    print(
        f"left to write for a further adapter, as {MEASURE}'s is: {left_to_write(DATABASES):,} lines of code"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
