#!/usr/bin/env python3
"""Everything a person does with this repository, with nothing but Python 3.11 and git installed.

    python3 run.py demo             a hub, three devices, a network that fails: watch them agree
    python3 run.py test [ARGS]      every test; ARGS go to pytest
    python3 run.py bench [ARGS]     the measurements; ARGS go to the benchmark
    python3 run.py lines            how much there is of each database's adapter, in lines of code
    python3 run.py simulate N       N random histories, compared with the merge rules; a failing seed replays;
                                    with --world schema, histories in which the tables change
    python3 run.py soak [ARGS]      random histories of every world for --minutes N, with --centre
                                    sqlite or postgresql; what failed is told with the command that replays it
    python3 run.py mutate [FILE..]  change the code at random places, and print what no test notices
    python3 run.py lint             format, lint, types, import layers: what is checked without running it
    python3 run.py check [ARGS]     all of lint, then every test
    python3 run.py docs             write the generated pages again
    python3 run.py protocol         record that the messages of an unreleased protocol version changed
    python3 run.py lock             pin the newest versions that pyproject.toml allows

The first call makes `.venv` beside this file and installs what requirements.txt pins, by hash. Later
calls find it made and need no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "made-from"
PINS = ROOT / "requirements.txt"
UV = "uv==0.13.8"
ON_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

Arguments = list[str]


class Stop(Exception):
    """Something is missing that this program cannot supply; the text says what to do."""


def say(text: str) -> None:
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def call(*command: str | Path) -> int:
    """Run a command in the repository and return its exit code."""
    started: list[subprocess.Popen[bytes]] = []
    ended: list[int] = []

    def end(number: int, _: object) -> None:
        """An interrupted pytest ends what it has started; a terminated one leaves all of that running."""
        ended.append(number)
        for process in started:
            process.send_signal(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell does that to what it starts beside itself
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, end)
    try:
        with subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment()) as process:
            started.append(process)
            if ended:
                process.send_signal(signal.SIGINT)
            try:
                return process.wait()
            except KeyboardInterrupt:  # the child was interrupted, too
                return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def must(*command: str | Path) -> None:
    """Run a command that has to succeed; what it prints goes to standard error."""
    words = [str(part) for part in command]
    if subprocess.run(words, cwd=ROOT, env=environment(), stdout=sys.stderr).returncode:
        raise Stop(f"this failed: {' '.join(words)}")


def environment() -> dict[str, str]:
    """The caller's environment, with `.venv` first on the path and no surprises from installers.

    What Python compiles is kept, in `.venv`, also where the caller has forbidden it beside the sources: the
    tests start some hundred processes, each of which would compile everything anew."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(VENV),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", str(VENV / "compiled")),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
    }


# The environment


def recipe() -> str:
    """What `.venv` depends on, as one digest."""
    parts = [UV, sys.version, (ROOT / "pyproject.toml").read_text(), PINS.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def prepare() -> None:
    """Make `.venv` if it is absent or was made from something else. A half-made one is made again."""
    if STAMP.exists() and STAMP.read_text() == recipe():
        return
    say("making .venv (once; this takes a few seconds)")
    make_venv()
    must(BIN / "python", "-m", "pip", "install", "--quiet", UV)
    must(BIN / "uv", "pip", "sync", "--quiet", "--require-hashes", PINS)
    must(BIN / "uv", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    STAMP.write_text(recipe())


def make_venv() -> None:
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        install_debian("Python's venv module", version)
    must(sys.executable, "-m", "venv", "--clear", VENV)


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def install_debian(what: str, package: str) -> None:
    """Install a Debian package; Stop if this is not Debian or not root."""
    if shutil.which("apt-get") is None or not is_root():
        raise Stop(f"{what} is missing. Install it (on Debian: sudo apt-get install {package})")
    say(f"{what} is missing: installing Debian's {package}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    must("apt-get", "update", "-qq")
    must("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)


def has_postgresql() -> bool:
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return bool(found) or shutil.which("initdb") is not None


def supply_postgresql() -> None:
    """See to it that the tests find a PostgreSQL to start. Without one they are skipped, but never on CI."""
    if has_postgresql():
        return
    try:
        install_debian("PostgreSQL", "postgresql")
    except Stop as stop:
        if ON_CI:
            raise
        say(f"{stop}. THE TESTS THAT NEED IT WILL BE SKIPPED.")


def supply_pgbouncer() -> None:
    """On CI, the pooler that tests put before PostgreSQL; elsewhere they are skipped without it."""
    if ON_CI and not Path("/usr/sbin/pgbouncer").exists() and shutil.which("pgbouncer") is None:
        install_debian("PgBouncer", "pgbouncer")


def supply_nginx() -> None:
    """On CI, the proxy that tests put before a hub; elsewhere they are skipped without it."""
    if ON_CI and not Path("/usr/sbin/nginx").exists() and shutil.which("nginx") is None:
        install_debian("nginx", "nginx-light")


# The verbs


def demo(arguments: Arguments) -> int:
    return call(BIN / "syncline", "demo", *arguments)


def test(arguments: Arguments) -> int:
    supply_postgresql()
    supply_pgbouncer()
    supply_nginx()
    chosen = any(word.startswith(("-n", "--numprocesses")) for word in arguments)
    workers = [] if chosen else ["-n", "2", "--dist", "worksteal"]
    return call(BIN / "python", "-m", "pytest", *workers, *arguments)


def bench(arguments: Arguments) -> int:
    supply_postgresql()
    return call(BIN / "python", "-m", "bench", *arguments)


def lines(arguments: Arguments) -> int:
    if arguments:
        raise Stop("lines takes no arguments")
    return call(BIN / "python", "-m", "bench.lines")


def simulate(arguments: Arguments) -> int:
    return call(BIN / "python", "-m", "syncline.testing.simulate", *arguments)


def soak(arguments: Arguments) -> int:
    if "postgresql" in arguments:
        supply_postgresql()
    return call(BIN / "python", "-m", "tests.soak", *arguments)


def mutate(arguments: Arguments) -> int:
    return call(BIN / "python", "-m", "tests.mutate", *arguments)


Steps = list[tuple[str, Callable[[], int]]]

STATIC: Steps = [
    ("format", lambda: call(BIN / "ruff", "format", "--check", ".")),
    ("lint", lambda: call(BIN / "ruff", "check", ".")),
    ("types", lambda: call(BIN / "mypy")),
    ("layers", lambda: call(BIN / "lint-imports")),
]


def lint(arguments: Arguments) -> int:
    if arguments:
        raise Stop("lint takes no arguments")
    return every(STATIC)


def check(arguments: Arguments) -> int:
    return every([*STATIC, ("tests", lambda: test(arguments))])


def every(steps: Steps) -> int:
    """Every step runs, so that one call shows all there is to mend."""
    failed = []
    for name, step in steps:
        say(name)
        if step():
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def docs(arguments: Arguments) -> int:
    return call(BIN / "python", ROOT / "docs" / "generate.py", *arguments)


def protocol(arguments: Arguments) -> int:
    return call(BIN / "python", ROOT / "docs" / "history.py", *arguments)


def lock(arguments: Arguments) -> int:
    words = "--universal --python-version 3.11 --extra server --extra postgresql --group dev --upgrade"
    form = "--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet"
    return call(BIN / "uv", "pip", "compile", *words.split(), *form.split(), "-o", PINS, "pyproject.toml")


VERBS: dict[str, Callable[[Arguments], int]] = {
    verb.__name__: verb
    for verb in (demo, test, bench, lines, simulate, soak, mutate, lint, check, docs, protocol, lock)
}


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file meets whatever Python there is
        say(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
        return 2
    verb, *arguments = sys.argv[1:] or ["help"]
    if verb not in VERBS:
        print(__doc__)
        return 0 if verb in ("help", "-h", "--help") else 2
    try:
        prepare()
        return VERBS[verb](arguments)
    except Stop as stop:
        say(str(stop))
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
