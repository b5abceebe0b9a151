"""`python3 run.py mutate [FILE...]`: does a test notice when the code is changed?

    python3 run.py mutate syncline/merge/decide.py
    python3 run.py mutate --most 20 --seed 7          20 changes in each of the files that matter most

One place at a time is changed (a comparison, a condition, an operator, a value), by `mutmut`, in a copy of
the repository; of the tests that concern the file, those that reach the place are run. What no test notices
is printed as a difference, and a table says for each file how many changes were noticed. A `strict=` of `zip`
stays, for no input can show it, and so do the words of sentences and of SQL. The command ends with 1 where
more than one change in twenty of a file survives.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SURVIVE = 0.05
"""The share of changes that may survive."""
CORE = (
    "syncline/merge/again.py",
    "syncline/merge/decide.py",
    "syncline/merge/policies.py",
    "syncline/merge/rules.py",
    "syncline/hub/accept.py",
    "syncline/hub/bases.py",
    "syncline/hub/clocks.py",
    "syncline/hub/commit.py",
    "syncline/hub/dependents.py",
    "syncline/hub/identity.py",
    "syncline/hub/large.py",
    "syncline/hub/receive.py",
    "syncline/hub/settle.py",
    "syncline/replica/verdict.py",
    "syncline/replica/apply.py",
    "syncline/replica/freeze.py",
    "syncline/replica/reconciled.py",
    "syncline/replica/recovery.py",
    "syncline/replica/rejected.py",
    "syncline/replica/shown.py",
    "syncline/replica/offer.py",
    "syncline/replica/sent.py",
    "syncline/replica/overruled.py",
    "syncline/replica/removal.py",
    "syncline/replica/parents.py",
    "syncline/replica/overlay.py",
    "syncline/replica/rows.py",
    "syncline/replica/work.py",
    "syncline/replica/refill.py",
)
"""Where a mistake loses an edit: what is changed unless files are named."""
OF_ROWS = (
    "tests/unit/replica/test_apply_pending.py",
    "tests/unit/replica/test_apply_rows.py",
    "tests/unit/replica/test_displaced.py",
    "tests/unit/replica/test_guest.py",
    "tests/unit/replica/test_join.py",
    "tests/unit/replica/test_verdict.py",
    "tests/unit/replica/test_verdict_children.py",
)
"""The tests of what an apply does with rows."""
CONCERNED: dict[str, tuple[str, ...]] = {
    "syncline/merge": ("tests/unit/merge",),
    "syncline/hub": ("tests/unit/hub",),
    "syncline/hub/accept.py": ("tests/unit/hub/test_accept.py",),
    "syncline/hub/identity.py": (
        "tests/unit/hub/test_identity.py",
        "tests/unit/hub/test_carried.py",
        "tests/unit/hub/test_push.py",
    ),
    **dict.fromkeys(
        ("syncline/hub/commit.py", "syncline/hub/dependents.py"),
        (
            "tests/unit/hub",
            "tests/integration/test_cascades.py",
            "tests/integration/test_deleted_parents.py",
        ),
    ),
    "syncline/hub/large.py": ("tests/unit/hub", "tests/integration/test_large_push.py"),
    "syncline/hub/settle.py": ("tests/unit/hub", "tests/integration/test_restored_counters.py"),
    "syncline/replica": (
        "tests/unit/replica",
        "tests/property",
        "tests/integration/test_two_replicas.py",
        "tests/integration/test_recovery.py",
        "tests/integration/test_hydrate.py",
        "tests/integration/test_large_push.py",
        "tests/integration/test_verify.py",
    ),
    "syncline/replica/apply.py": (
        "tests/unit/replica/test_verdict.py",
        "tests/unit/replica/test_apply_pending.py",
        "tests/unit/replica/test_apply_rows.py",
        "tests/unit/replica/test_nothing_new.py",
        "tests/unit/replica/test_guest.py",
        "tests/property/test_freeze.py",
        "tests/integration/test_device_file.py",
        "tests/integration/test_recovery.py",
        "tests/integration/test_two_replicas.py",
    ),
    "syncline/replica/freeze.py": (
        "tests/unit/replica/test_freeze.py",
        "tests/unit/replica/test_verdict.py",
        "tests/unit/replica/test_apply_pending.py",
        "tests/property/test_freeze.py",
        "tests/integration/test_spellings.py",
        "tests/integration/test_device_file.py",
    ),
    "syncline/replica/reconciled.py": (
        "tests/unit/replica/test_reconciled.py",
        "tests/unit/replica/test_heard_later.py",
        "tests/integration/test_identity.py",
        "tests/integration/test_recovery.py",
    ),
    "syncline/replica/recovery.py": (
        "tests/unit/replica/test_recovery_steps.py",
        "tests/integration/test_recovery.py",
        "tests/integration/test_identity.py",
        "tests/integration/test_restored_schema.py",
    ),
    "syncline/replica/rejected.py": (
        "tests/unit/replica/test_verdict.py",
        "tests/unit/replica/test_verdict_children.py",
        "tests/integration/test_retry.py",
        "tests/integration/test_rejected_that_stay.py",
        "tests/integration/test_key_taken.py",
    ),
    **dict.fromkeys(
        (
            "syncline/replica/offer.py",
            "syncline/replica/refill.py",
            "syncline/replica/sent.py",
        ),
        (
            "tests/unit/replica/test_bodies.py",
            "tests/unit/replica/test_conversations.py",
            "tests/unit/replica/test_heard_later.py",
            "tests/unit/replica/test_offered.py",
            "tests/unit/replica/test_reconciled.py",
            "tests/unit/replica/test_refilled.py",
            "tests/unit/replica/test_verdict.py",
            "tests/integration/test_recovery.py",
            "tests/integration/test_restored_schema.py",
        ),
    ),
    "syncline/replica/overlay.py": (
        *OF_ROWS,
        "tests/unit/replica/test_schema_change.py",
        "tests/integration/test_keys_spelled.py",
    ),
    "syncline/replica/overruled.py": (
        "tests/unit/replica/test_overruled.py",
        "tests/unit/replica/test_conversations.py",
        "tests/integration/test_spellings.py",
        "tests/integration/test_two_replicas.py",
    ),
    "syncline/replica/parents.py": (*OF_ROWS, "tests/integration/test_own_foreign_keys.py"),
    "syncline/replica/removal.py": (*OF_ROWS, "tests/integration/test_own_foreign_keys.py"),
    "syncline/replica/rows.py": OF_ROWS,
    "syncline/replica/shown.py": OF_ROWS,
    "syncline/replica/work.py": OF_ROWS,
    "syncline/replica/verdict.py": (
        "tests/unit/replica/test_verdict.py",
        "tests/unit/replica/test_verdict_children.py",
        "tests/unit/replica/test_apply_pending.py",
        "tests/unit/replica/test_guest.py",
        "tests/integration/test_forms.py",
        "tests/integration/test_device_file.py",
        "tests/integration/test_key_taken.py",
        "tests/integration/test_restored_rejected.py",
    ),
}
"""Tests by the package or file that they concern: those that say what it must do and run in this process. The
longest name holds; what has none has the unit tests of its package and those with any input."""
PROFILE = """
import json
import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.mutate import how_often

settings.register_profile("mutate", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
settings.load_profile("mutate")

PLACE = Path(__file__).resolve().parents[1]
KNOWN, NOTICED = PLACE / "mutmut-stats.json", PLACE / "noticed.txt"


def under_test() -> str:
    return os.environ.get("MUTANT_UNDER_TEST", "").rpartition("__mutmut_")[0]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and under_test():
        with open(NOTICED, "a") as known:
            print(under_test(), report.nodeid, file=known)


def is_slow(item: pytest.Item) -> bool:
    chosen = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    server = any(name.startswith("postgres") for name in [*item.fixturenames, *map(str, chosen)])
    return server or "dense" in chosen


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if is_slow(item)])
    items[:] = [item for item in items if not is_slow(item)]
    took = json.loads(KNOWN.read_text())["duration_by_test"] if KNOWN.exists() else {}
    often = how_often(NOTICED.read_text() if NOTICED.exists() else "", under_test())
    items.sort(key=lambda item: took.get(item.nodeid, 0.0) / (1 + often[item.nodeid]))
    if os.environ.get("MUTANT_UNDER_TEST") == "":
        del items[1:]
"""
"""For the copy: the same inputs for every change, none made smaller where a test fails; first those tests
that are quick, or have noticed other changes of the function or, less so, of the file. Those that need a
server are left out, and of those under two numberings the plainer one. All have passed when it was measured
how long they take: they are not run again before the first change."""
STATUS = re.compile(r"^\s*(\S+): (.+)$")
PATIENCE, GRACE = 3.0, 30.0
"""A change whose tests take so many times as long, some seconds for the start added, is an endless loop."""
UNTRIED = ("not checked", "check was interrupted by user", "skipped")
MISSED = ("survived", "no tests")
LATE = "timeout"
"""Noticed if it is an endless loop. On a loaded machine it may be slow tests: it is shown, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; 1 where too many changes survive, 2 where none could be tried."""
    parser = argparse.ArgumentParser(prog="python3 run.py mutate", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", default=list(CORE))
    parser.add_argument("--most", type=int, metavar="N", help="at most so many changes of a file, at random")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument(
        "--tests", nargs="+", metavar="PATH", help="these instead of those that concern the files"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    results: list[Result] = []
    for tests, files in together([relative(name) for name in options.files], options.tests).items():
        for name in files:
            print(f"{name}: {' '.join(tests)}", flush=True)
        with tempfile.TemporaryDirectory(prefix="syncline-mutate-") as folder:
            copied = copy(Path(folder) / "copy", files, tests)
            chosen = sample(copied, files, options.most, options.seed)
            every = [name for names in chosen.values() for name in names]
            said = mutmut(copied, "run", "--max-children", str(options.workers), *every)
            ended = dict(statuses(copied))
            results += [Result(name, Counter(ended[one] for one in chosen[name])) for name in files]
            show(copied, [name for name in every if ended[name] in (*MISSED, LATE)])
            if not any(result.tried for result in results[-len(files) :]):
                print(said, file=sys.stderr)
    return report(results)


@dataclass(frozen=True)
class Result:
    """What came of the changes of one file: how many ended in which way."""

    file: str
    ended: Counter[str]

    @property
    def tried(self) -> int:
        return sum(count for status, count in self.ended.items() if status not in UNTRIED)

    @property
    def missed(self) -> int:
        return sum(self.ended[status] for status in MISSED)

    @property
    def row(self) -> tuple[object, ...]:
        late = self.ended[LATE]
        ratio = f"{self.missed / self.tried:.1%}" if self.tried else "-"
        return self.file, self.tried, self.tried - self.missed - late, self.missed, late, ratio


def relative(name: str) -> str:
    """A file of the package by its path in the repository. Ends the command if it is none."""
    path = Path(name).resolve()
    if not path.is_file() or not path.is_relative_to(ROOT / "syncline"):
        raise SystemExit(f"{name} is no file of the package; name files like syncline/merge/decide.py")
    return path.relative_to(ROOT).as_posix()


def concerned(name: str) -> tuple[str, ...]:
    """The tests that concern a file."""
    for place in (name, *(parent.as_posix() for parent in Path(name).parents)):
        if place in CONCERNED:
            return CONCERNED[place]
    usual = f"tests/unit/{name.split('/')[1].removesuffix('.py')}", "tests/property"
    return tuple(path for path in usual if (ROOT / path).exists())


def together(files: Sequence[str], tests: Sequence[str] | None) -> dict[tuple[str, ...], list[str]]:
    """The files by the tests to run for them: those of one kind are tried in one copy."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in files:
        found.setdefault(tuple(tests or concerned(name)), []).append(name)
    return found


def copy(folder: Path, files: Sequence[str], tests: Sequence[str]) -> Path:
    """A copy of the working tree, told what to change and what to run."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    others = sorted({name.split("/")[0] for name in names.split("\0")} - {"", "syncline", "tests", ".ci"})
    with open(folder / "tests" / "conftest.py", "a", encoding="utf-8") as fixtures:
        fixtures.write(PROFILE)
    with open(folder / "pyproject.toml", "a", encoding="utf-8") as settings:
        settings.write(
            "\n[tool.mutmut]\n"
            f"source_paths = ['syncline']\nonly_mutate = {list(files)}\nalso_copy = {others}\n"
            "pytest_add_cli_args = ['-p', 'no:xdist', '-p', 'no:cacheprovider']\n"
            f"timeout_multiplier = {PATIENCE}\ntimeout_constant = {GRACE}\n"
            f"pytest_add_cli_args_test_selection = {list(tests)}\n"
        )
    return folder


def mutmut(folder: Path, *words: str) -> str:
    """Run mutmut in the copy; what it printed is returned."""
    command = [sys.executable, "-m", "mutmut", *words]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        return process.stdout.read()


def statuses(folder: Path) -> Iterator[tuple[str, str]]:
    """Every change that could be made, and what came of it."""
    for line in mutmut(folder, "results", "--all", "true").splitlines():
        if found := STATUS.match(line):
            yield found[1], found[2]


def sample(folder: Path, files: Sequence[str], most: int | None, seed: int) -> dict[str, list[str]]:
    """By file the names of the changes to try: all, or `most` at random."""
    mutmut(folder, "run", "none-of-them")  # makes the changes, and stops before any is tried
    known = [name for name, _ in statuses(folder)]
    chosen = {}
    for file in files:
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        idle = unchanged((folder / "mutants" / file).read_text(encoding="utf-8"))
        of_file = [name for name in known if name.rpartition(".")[0] == module]
        names = [name for name in of_file if name.rpartition(".")[2] not in idle]
        few = most is not None and most < len(names)
        chosen[file] = sorted(random.Random(seed).sample(names, most)) if few and most else names
    return chosen


class _Meaning(ast.NodeTransformer):
    """Takes away what only guards against a mistake in the code itself, `strict` of `zip`, and how texts of
    several words are spelled, which are read by people or by SQLite."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_text = isinstance(node.value, str) and " " in node.value
        return ast.Constant("several words") if is_text else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return node


def unchanged(source: str) -> set[str]:
    """The names of the changes, in a file that has them all, that no input can show."""
    found: dict[str, str] = {}
    for node in ast.walk(_Meaning().visit(ast.parse(source))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name:
            found[node.name] = ast.unparse(ast.Module(node.body, []))
    return {
        name
        for name, text in found.items()
        if not name.endswith("orig") and text == found.get(re.sub(r"\d+$", "orig", name))
    }


def how_often(noticed: str, function: str) -> Counter[str]:
    """How much speaks for each test where a function is changed. `noticed`: a line for each test that has
    noticed a change, after the function that was changed. One of the same function counts ten times as much
    as one of another in its file."""
    found = Counter[str]()
    for line in noticed.splitlines():
        changed, _, test = line.partition(" ")
        if changed.rpartition(".")[0] == function.rpartition(".")[0]:
            found[test] += 10 if changed == function else 1
    return found


def show(folder: Path, names: Sequence[str]) -> None:
    """Print these changes as differences."""
    for name in names:
        print(mutmut(folder, "show", name), flush=True)


def report(results: Sequence[Result]) -> int:
    """Print the table; 1 where too many changes of a file survive, 2 where none could be tried."""
    rows = [("file", "mutants", "killed", "survived", "timed out", "ratio"), *(one.row for one in results)]
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(rows[0]))]
    for name, *figures in rows:
        cells = [str(figure).rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        print("  ".join([str(name).ljust(widths[0]), *cells]))
    if not any(result.tried for result in results):
        return 2
    return 1 if any(result.missed > SURVIVE * result.tried for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
