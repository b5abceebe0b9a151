"""`python3 run.py mutate [FILE...]`: does a test notice when the code is changed?

    python3 run.py mutate syncline/merge/decide.py
    python3 run.py mutate --sample 200 --seed 7          200 of all changes in the files that matter most

One place at a time is changed (a comparison, a condition, an operator, a value), by `mutmut`, in a copy of
the repository; the tests that concern the file and reach the place are run. What no test notices is printed
as a difference. The command ends with 1 where more than one change in twenty survives.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SURVIVE = 0.05
"""The share of changes that may survive."""
CORE = (
    "syncline/merge/decide.py",
    "syncline/merge/policies.py",
    "syncline/hub/settle.py",
    "syncline/hub/dependents.py",
    "syncline/hub/accept.py",
    "syncline/hub/commit.py",
    "syncline/replica/verdict.py",
    "syncline/replica/apply.py",
    "syncline/replica/freeze.py",
    "syncline/replica/recovery.py",
)
"""Where a mistake loses an edit: what is changed unless files are named."""
CONCERNED: dict[str, tuple[str, ...]] = {
    "merge": ("tests/unit/merge", "tests/unit/hub", "tests/simulation/test_hub_against_reference.py"),
    "hub": (
        "tests/unit/hub",
        "tests/integration/test_two_replicas.py",
        "tests/integration/test_recovery.py",
        "tests/integration/test_large_push.py",
        "tests/simulation/test_hub_against_reference.py",
    ),
    "replica": (
        "tests/unit/replica",
        "tests/property",
        "tests/integration/test_two_replicas.py",
        "tests/integration/test_recovery.py",
        "tests/integration/test_hydrate.py",
        "tests/integration/test_large_push.py",
        "tests/integration/test_verify.py",
    ),
}
"""Tests by package: those that say what it must do and run in this process. Of any other package, its unit
tests and those with any input."""
STATUS = re.compile(r"^\s*(\S+): (.+)$")
UNTRIED = "not checked"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; 1 where too many changes survive, 2 where none could be tried."""
    parser = argparse.ArgumentParser(prog="python3 run.py mutate", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", default=list(CORE))
    parser.add_argument("--sample", type=int, metavar="N", help="at most so many changes, at random")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument(
        "--tests", nargs="+", metavar="PATH", help="these instead of those that concern the files"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    files = [relative(name) for name in options.files]
    tests = options.tests or concerned(files)
    with tempfile.TemporaryDirectory(prefix="syncline-mutate-") as folder:
        copied = copy(Path(folder) / "copy", files, tests)
        chosen = sample(copied, options.sample, options.seed)
        if not chosen:
            print("there is nothing to change in these files", file=sys.stderr)
            return 2
        said = mutmut(copied, "run", "--max-children", str(options.workers), *chosen)
        return report(copied, chosen, said)


def relative(name: str) -> str:
    """A file of the package by its path in the repository. Ends the command if it is none."""
    path = Path(name).resolve()
    if not path.is_file() or not path.is_relative_to(ROOT / "syncline"):
        raise SystemExit(f"{name} is no file of the package; name files like syncline/merge/decide.py")
    return path.relative_to(ROOT).as_posix()


def concerned(files: Sequence[str]) -> list[str]:
    """The tests that concern these files."""
    found: dict[str, None] = {}
    for name in files:
        package = name.split("/")[1].removesuffix(".py")
        usual = (f"tests/unit/{package}", "tests/property")
        for path in CONCERNED.get(package, usual):
            if (ROOT / path).exists():
                found[path] = None
    return list(found)


def copy(folder: Path, files: Sequence[str], tests: Sequence[str]) -> Path:
    """A copy of the working tree, told what to change and what to run."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    others = sorted({name.split("/")[0] for name in names.split("\0")} - {"", "syncline", "tests", ".ci"})
    with open(folder / "pyproject.toml", "a", encoding="utf-8") as settings:
        settings.write(
            "\n[tool.mutmut]\n"
            f"source_paths = ['syncline']\nonly_mutate = {list(files)}\nalso_copy = {others}\n"
            "pytest_add_cli_args = ['-p', 'no:xdist', '-p', 'no:cacheprovider']\n"
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


def sample(folder: Path, count: int | None, seed: int) -> list[str]:
    """The names of the changes to try: all, or `count` at random."""
    mutmut(folder, "run", "none-of-them")  # makes the changes, and stops before any is tried
    names = [name for name, _ in statuses(folder)]
    if count is None or count >= len(names):
        return names
    return sorted(random.Random(seed).sample(names, count))


def report(folder: Path, chosen: Sequence[str], said: str) -> int:
    """Print what survived, and how many; or what was `said` where nothing could be tried."""
    wanted = set(chosen)
    ended = {name: status for name, status in statuses(folder) if name in wanted}
    counted = Counter(ended.values())
    missed = [name for name, status in ended.items() if status in ("survived", "no tests")]
    for name in missed:
        print(mutmut(folder, "show", name))
    tried = sum(counted.values()) - counted[UNTRIED]
    print(", ".join(f"{status}: {count}" for status, count in sorted(counted.items())))
    print(f"{len(missed)} of {tried} changes went unnoticed")
    if not tried:
        print(said, file=sys.stderr)
        return 2
    return 1 if len(missed) > SURVIVE * tried else 0


if __name__ == "__main__":
    sys.exit(main())
