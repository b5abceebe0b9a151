"""The story of the demo, chapter by chapter. Every chapter does something real and says what it saw."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import syncline
from syncline.cli import configuration, output
from syncline.cli.conflicts import explained
from syncline.cli.demo import application, processes
from syncline.errors import UsageError

Say = Callable[[str], None]

SYNCLINE_TOML = """\
[hub]
database = "sqlite:///central.db"

[tables.site]
[tables.visit]
[tables.part]
merge = { stock = "sum" }
"""
TAKEN = {"Ana": 2, "Bo": 3, "Cy": 5}
SEAL = f"code = '{application.COUNTED_PART}'"
BOOKING = "INSERT INTO visit VALUES ('{id}', 1, '{who}', '2026-03-05', {hour}, NULL)"

OFFLINE: list[tuple[str, str, str]] = [
    ("Ana", "UPDATE site SET phone = '555-0177' WHERE id = 1", ""),
    ("Ana", "UPDATE site SET gate_code = '1999' WHERE id = 1", ""),
    ("Ana", BOOKING.format(id="v-101", who="Ana", hour=9), ""),
    ("Bo", "UPDATE site SET phone = '555-0188' WHERE id = 1", "the same cell as Ana, a moment later"),
    ("Bo", BOOKING.format(id="v-102", who="Bo", hour=9), "the same site, day and hour as Ana"),
    ("Cy", "DELETE FROM visit WHERE id = 'v-005'", ""),
    ("Cy", "UPDATE visit SET report = 'Sealed. Ça va!' WHERE id = 'v-003'", ""),
    ("office", "UPDATE site SET name = 'Harbour pumps' WHERE id = 2", "straight into the central database"),
]


@dataclass(slots=True)
class World:
    """Where everything is. `files` maps each device's owner to the device's file."""

    folder: Path
    say: Say
    head: Say
    url: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """The owner by replica id."""

    @property
    def central(self) -> Path:
        return self.folder / "central.db"

    def chapter(self, title: str) -> None:
        self.say("")
        self.head(title)

    def device(self, owner: str) -> syncline.Replica:
        return syncline.connect(str(self.files[owner]), hub=self.url)


def tell(keep: Path | None, say: Say, head: Say) -> dict[str, Any]:
    """Tell the whole story, each chapter with its heading; the result says what was seen.

    See `syncline demo --help` for its shape."""
    started = time.monotonic()
    with _folder(keep) as folder:
        world = World(folder, say, head)
        say("A company services pumps. The office has a central database; Ana, Bo and Cy drive out with a")
        say("tablet each, often where there is no network.")
        toml = _prepare(world)
        with processes.hub(toml) as hub:
            world.url = hub.url
            say(f"The hub answers at {hub.url} (process {hub.process}).")
            _clone(world)
            _work_offline(world)
            _sync_first(world)
            conflicts, rejected = _sync_second(world)
            killed = _kill(world)
            _sync_all(world)
        outcome = _compare(world)
        end = application.stock(world.central)
        outcome["counter"] = {"start": application.STOCK, "taken": TAKEN, "end": end}
        outcome |= {"conflicts": conflicts, "rejected": rejected, "killed": killed}
        outcome["as_told"] = outcome["equal"] and _as_told(outcome)
        outcome["seconds"] = round(time.monotonic() - started, 2)
        _close(world, outcome, kept=keep is not None)
    return outcome


def _as_told(outcome: Mapping[str, Any]) -> bool:
    """Whether everything that the story promises was really seen."""
    killed = outcome["killed"]
    return (
        outcome["counter"]["end"] == _truth()
        and outcome["conflicts"] == 1
        and outcome["rejected"] == 1
        and all(killed[name] for name in ("answered", "sound", "repeat_counted_once"))
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="syncline-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"{keep} exists already", remedy="Name a new folder.") from error
    yield keep


def _prepare(world: World) -> Path:
    world.chapter("1. The centre")
    application.create(world.central)
    toml = world.folder / "syncline.toml"
    toml.write_text(SYNCLINE_TOML, encoding="utf-8")
    settings = configuration.read(toml, environment={})
    hub = syncline.Hub(settings.hub.database, tables=settings.rules(), forms=settings.forms)
    hub.init()
    hub.close()
    rows = sum(len(rows) for rows in application.rows(world.central).values())
    world.say(
        f"central.db is an ordinary database: 3 tables, {rows} rows. `syncline init` added triggers that"
    )
    world.say("record changes, and altered no table. One rule: part.stock is a counter (merge: sum).")
    return toml


def _clone(world: World) -> None:
    world.chapter("2. Three devices")
    for owner in TAKEN:
        file = world.folder / f"{owner.lower()}.db"
        with syncline.clone(world.url, str(file)) as replica:
            world.files[owner] = file
            world.names[str(replica.id)] = owner
    world.say("`syncline clone` made ana.db, bo.db and cy.db: ordinary SQLite files, with all the rows.")


def _work_offline(world: World) -> None:
    world.chapter("3. No network. Everybody goes on working, with plain SQL on their own files")
    for owner, statement, remark in OFFLINE:
        application.execute(world.files.get(owner, world.central), statement)
        world.say(f"{owner:<7} {statement}" + (f"   -- {remark}" if remark else ""))
        time.sleep(0.005)  # so that "a moment later" is later by the clock that counts milliseconds
    for owner, taken in TAKEN.items():
        statement = f"UPDATE part SET stock = stock - {taken} WHERE {SEAL}"
        application.execute(world.files[owner], statement)
        world.say(f"{owner:<7} {statement}")
    counts = ", ".join(f"{owner} {application.stock(world.files[owner])}" for owner in TAKEN)
    world.say(f"Each counts the seals left: {counts}. The truth will be {_truth()}.")


def _sync_first(world: World) -> None:
    world.chapter("4. Bo has network again and syncs first")
    with world.device("Bo") as bo:
        report = bo.sync()
    objections = report.push.conflicts + len(report.push.rejected)
    verdict = "all accepted as sent" if not objections else f"{objections} of them not accepted as sent"
    world.say(f"{output.counted(report.push.sent, 'row')} sent, {verdict}; received {report.pull.written}:")
    world.say(f"site 2 is called '{application.site_name(world.files['Bo'])}' on Bo's device too.")


def _sync_second(world: World) -> tuple[int, int]:
    world.chapter("5. Ana syncs second: a conflict, and a row that the centre cannot hold")
    with world.device("Ana") as ana:
        report = ana.sync()
        notes = ana.conflicts()
        for note in notes:
            for sentence in explained(note, world.names):
                world.say(sentence)
        gate_code = application.gate_code(world.central)
        world.say(
            f"The gate code that Ana changed in the same row met nobody's edit: the centre has {gate_code}."
        )
        for edit in report.push.rejected:
            world.say(f"Rejected: {edit.table} {output.key_text(edit.key)}: {edit.detail} [{edit.code}]")
            world.say("  Bo has that hour. Only this row came back, with its values and the reason.")
            ana.discard(edit.id)
            application.execute(world.files["Ana"], BOOKING.format(id="v-103", who="Ana", hour=11))
            world.say(f"  Ana discards it (`syncline rejected ana.db discard {edit.id}`), books 11 o'clock.")
    return len(notes), len(report.push.rejected)


def _kill(world: World) -> dict[str, Any]:
    world.chapter("6. Cy's sync is killed in the middle")
    file = world.files["Cy"]
    killed = processes.killed_sync(file, world.url)
    at_hub = application.stock(world.central)
    with world.device("Cy") as cy:
        status = cy.status()
        pending = sum(status.pending.values())
        world.say(
            f"Process {killed.process} got SIGKILL when the hub had committed and the answer was under way."
        )
        world.say(
            f"The centre has Cy's {TAKEN['Cy']} seals (stock {at_hub}); cy.db is sound, and does not know: "
            f"{output.counted(pending, 'edit')} pending."
        )
        cy.sync()
    again = application.stock(world.central)
    once = at_hub == again == _truth()
    world.say(
        f"Cy syncs again. The hub knows push {status.in_flight} by its number: "
        f"the stock is {again}, counted {'once' if once else 'NOT ONCE'}."
    )
    return asdict(killed) | {"repeat_counted_once": once, "sound": application.sound(file)}


def _sync_all(world: World) -> None:
    world.chapter("7. Everybody syncs once more")
    for owner in TAKEN:
        with world.device(owner) as replica:
            report = replica.sync()
        sent, received = report.push.sent, report.pull.written + report.pull.removed
        world.say(f"{owner:<4} sent {sent}, received {received}")


def _compare(world: World) -> dict[str, Any]:
    world.chapter("8. Four databases, compared row by row and type by type")
    centre = application.rows(world.central)
    equal = True
    for owner, file in world.files.items():
        theirs = application.rows(file)
        equal = equal and theirs == centre
        verdict = ", ".join(_verdict(name, centre, theirs) for name in centre)
        world.say(f"centre = {owner:<4} {verdict}")
    files = ["central.db", *(file.name for file in world.files.values())]
    return {"equal": equal, "files": files, "tables": {name: len(rows) for name, rows in centre.items()}}


Rows = Mapping[str, list[tuple[str, ...]]]


def _verdict(table: str, centre: Rows, theirs: Rows) -> str:
    if centre[table] == theirs[table]:
        return f"{table} {len(centre[table])} of {len(centre[table])} rows equal"
    different = set(centre[table]) ^ set(theirs[table])
    return f"{table} DIFFERS: {sorted(different)}"


def _close(world: World, outcome: Mapping[str, Any], *, kept: bool) -> None:
    world.say("")
    if outcome["as_told"]:
        taken = " - ".join(str(number) for number in TAKEN.values())
        world.say(
            f"Everything is equal. Seals: {application.STOCK} - {taken} = {_truth()}: nothing was lost,"
        )
        world.say(f"nothing was counted twice. That took {outcome['seconds']} s.")
    else:
        world.say("This is not how it should end: a defect of Syncline. Please report what is printed above.")
    if kept:
        world.say(f"Look around: syncline conflicts {world.files['Ana']} show 1")
        world.say(f"             syncline status {world.files['Cy']}")


def _truth() -> int:
    return application.STOCK - sum(TAKEN.values())
