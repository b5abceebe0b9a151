"""What only the end of a transaction finds: an action or a trigger of the centre has broken a constraint that
is checked there. The rows that did it are rejected, all others are accepted (laws L2, L12), in one piece and
in chunks, over every centre; a preview says so before."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

import syncline
from syncline.protocol.messages import Limits
from tests.support.application import sql
from tests.support.either import centre_with, run
from tests.support.postgres import PostgresCentre

KEY = "id TEXT NOT NULL PRIMARY KEY"
DEFERRED = "DEFERRABLE INITIALLY DEFERRED"
FREE = f"CREATE TABLE free ({KEY}, note TEXT)"


@dataclass(frozen=True)
class Case:
    """A centre; what another has put there that the device has not seen; what the device does; which of that
    is guilty: the key and the code."""

    ddl: Sequence[str]
    theirs: Sequence[str]
    mine: Sequence[str]
    guilty: tuple[str, str]
    left: tuple[str, Sequence[tuple[str, ...]]]
    """A question to the centre afterwards, and the answer."""
    detail: str = ""


def pointing(actions: str, column: str = "up TEXT DEFAULT 'x'", target: str = "id") -> list[str]:
    return [
        f"CREATE TABLE top ({KEY}, mark TEXT UNIQUE, note TEXT)",
        f"CREATE TABLE low ({KEY}, {column} REFERENCES top ({target}) {actions}, note TEXT)",
        "INSERT INTO top VALUES ('r1', 'm1', ''), ('r2', 'm2', ''), ('r3', 'm3', '')",
    ]


BRANCH = ["INSERT INTO low VALUES ('k', 'r1', 'theirs')"]
MARKED = ["INSERT INTO low VALUES ('k', 'm1', 'theirs')"]
GONE = ["DELETE FROM top WHERE id = 'r1'", "DELETE FROM top WHERE id = 'r2'"]
LOW = ("SELECT up FROM low", [("r1",)])
MARK = ("SELECT up FROM low", [("m1",)])
BELOW = (
    f"CREATE TABLE top ({KEY}, note TEXT)",
    f"CREATE TABLE low ({KEY}, up TEXT REFERENCES top ON DELETE CASCADE)",
    f"CREATE TABLE leaf ({KEY}, up TEXT REFERENCES low {{}})",
    "INSERT INTO top VALUES ('r1', ''), ('r2', ''), ('r3', '')",
)
DEFAULTED = (*BELOW[:2], BELOW[2].replace("TEXT REF", "TEXT DEFAULT 'x' REF"), BELOW[3])
LEAVES = ["INSERT INTO low VALUES ('k', 'r1')", "INSERT INTO leaf VALUES ('l', 'k')"]
CHAIN = (
    f"CREATE TABLE top ({KEY}, mark TEXT UNIQUE)",
    f"CREATE TABLE low ({KEY}, up TEXT UNIQUE REFERENCES top (mark) {{}})",
    f"CREATE TABLE leaf ({KEY}, up TEXT REFERENCES low (up) DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO top VALUES ('r1', 'm1'), ('r2', 'm2'), ('r3', 'm3')",
)
FOREIGN, NULL = "foreign_key_violation", "not_null_violation"
CASES = {
    "set default": Case(pointing("ON DELETE SET DEFAULT"), BRANCH, GONE, ("r1", FOREIGN), LOW, "low"),
    "set default, deferred": Case(
        pointing(f"ON DELETE SET DEFAULT {DEFERRED}"), BRANCH, GONE, ("r1", FOREIGN), LOW, "low"
    ),
    "on update set default": Case(
        pointing(f"ON UPDATE SET DEFAULT {DEFERRED}", target="mark"),
        MARKED,
        ["UPDATE top SET mark = 'other' WHERE id = 'r1'", "UPDATE top SET mark = 'free' WHERE id = 'r2'"],
        ("r1", FOREIGN),
        MARK,
        "low",
    ),
    "set null of what must not be": Case(
        pointing(f"ON DELETE SET NULL {DEFERRED}", "up TEXT NOT NULL"), BRANCH, GONE, ("r1", NULL), LOW
    ),
    "set default of what must not be": Case(
        pointing("ON DELETE SET DEFAULT", "up TEXT NOT NULL"), BRANCH, GONE, ("r1", NULL), LOW
    ),
    "a cascade into no action": Case(
        [one.format(DEFERRED) for one in BELOW], LEAVES, GONE, ("r1", FOREIGN), LOW, "leaf"
    ),
    "a cascade into restrict": Case(
        [one.format("ON DELETE RESTRICT") for one in BELOW], LEAVES, GONE, ("r1", FOREIGN), LOW
    ),
    "a cascade into set default": Case(
        [one.format("ON DELETE SET DEFAULT") for one in DEFAULTED],
        LEAVES,
        GONE,
        ("r1", FOREIGN),
        LOW,
        "leaf",
    ),
    "a cascade of an update into no action": Case(
        [one.format("ON UPDATE CASCADE") for one in CHAIN],
        ["INSERT INTO low VALUES ('k', 'm1')", "INSERT INTO leaf VALUES ('l', 'm1')"],
        ["UPDATE top SET mark = 'other' WHERE id = 'r1'", "UPDATE top SET mark = 'free' WHERE id = 'r2'"],
        ("r1", FOREIGN),
        MARK,
        "leaf",
    ),
    "set null of what others point at": Case(
        [one.format("ON DELETE SET NULL") for one in CHAIN],
        ["INSERT INTO low VALUES ('k', 'm1')", "INSERT INTO leaf VALUES ('l', 'm1')"],
        GONE,
        ("r1", FOREIGN),
        MARK,
        "leaf",
    ),
}


def apart(file: str, *statements: str) -> None:
    """As an application does that lets its foreign keys work, each statement a transaction."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            connection.execute(statement)


def asked(url: str, question: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite:///"):
        return sql(url.removeprefix("sqlite:///"), question)
    with closing(PostgresCentre(url).connect()) as connection:
        return list(connection.execute(question.encode()).fetchall())


def meet(hub: syncline.Hub, folder: Path, case: Case) -> None:
    """Both edit, unseen by the other, and the device is not stuck."""
    with (
        closing(syncline.clone(hub, folder / "one.db")) as one,
        closing(syncline.clone(hub, folder / "two.db")) as two,
    ):
        apart(two.file, *case.theirs)
        assert two.sync().push.rejected == ()
        apart(one.file, "INSERT INTO free VALUES ('a', '')", *case.mine, "INSERT INTO free VALUES ('z', '')")
        foreseen = [(edit.key, edit.code) for edit in one.preview().rejected]
        (edit,) = one.sync().push.rejected
        assert foreseen == [(edit.key, edit.code)] == [((case.guilty[0],), case.guilty[1])]
        assert case.detail in edit.detail
        report = one.sync()
        assert (report.push.sent, one.status().pending, len(one.rejected())) == (0, {}, 1)
        two.sync()
        assert one.verify().equal and two.verify().equal


@pytest.mark.parametrize("rows", [1000, 1], ids=["in one piece", "in chunks"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", CASES)
def test_l12_what_an_action_breaks_is_the_fault_of_one_row(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, kind: str, rows: int
) -> None:
    case = CASES[name]
    url = centre_with(request, kind, tmp_path, FREE, *case.ddl)
    with syncline.Hub(url, limits=Limits(push_rows=rows)) as hub:
        hub.init()
        meet(hub, tmp_path, case)
    assert asked(url, "SELECT id FROM free ORDER BY id") == [("a",), ("z",)]
    assert asked(url, case.left[0]) == list(case.left[1])


WRITTEN = (
    FREE,
    f"CREATE TABLE top ({KEY}, who TEXT)",
    f"CREATE TABLE person ({KEY})",
    "INSERT INTO person VALUES ('p'), ('q')",
    "CREATE TABLE audit (who TEXT REFERENCES person DEFERRABLE INITIALLY DEFERRED, top TEXT)",
)
NOTED = {
    "sqlite": (
        "CREATE TRIGGER noted AFTER INSERT ON top BEGIN INSERT INTO audit VALUES (NEW.who, NEW.id); END",
        "CREATE TRIGGER changed AFTER UPDATE ON top BEGIN INSERT INTO audit VALUES (NEW.who, NEW.id); END",
    ),
    "postgresql": (
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit VALUES (NEW.who, NEW.id); RETURN NEW; END $$",
        "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON top FOR EACH ROW EXECUTE FUNCTION noted()",
    ),
}


@pytest.mark.parametrize("rows", [1000, 3, 1])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_l12_what_a_trigger_writes_elsewhere_is_the_fault_of_the_rows_that_fire_it(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, rows: int
) -> None:
    url = centre_with(request, kind, tmp_path, *WRITTEN, *NOTED[kind])
    run(url, "INSERT INTO top VALUES ('there', 'p'), ('also', 'p')")
    with syncline.Hub(
        url, {"top": syncline.Table(), "free": syncline.Table()}, limits=Limits(push_rows=rows)
    ) as hub:
        hub.init()
        with closing(syncline.clone(hub, tmp_path / "one.db")) as one:
            good = [f"INSERT INTO top VALUES ('{n:02}', 'q')" for n in range(20)]
            bad = [f"INSERT INTO top VALUES ('{n:02}x', 'nobody')" for n in (0, 7, 19)]
            also = [
                "UPDATE top SET who = 'nobody' WHERE id = 'also'",
                "UPDATE top SET who = 'q' WHERE id = 'there'",
            ]
            apart(one.file, "INSERT INTO free VALUES ('a', '')", *good, *bad, *also)
            report = one.sync().push
            assert {(edit.key, edit.code) for edit in report.rejected} == {
                ((key,), "foreign_key_violation") for key in ("00x", "07x", "19x", "also")
            }
            assert all("audit" in edit.detail for edit in report.rejected)
            assert (one.status().pending, one.sync().push.sent, one.verify().equal) == ({}, 0, True)
    assert asked(url, "SELECT count(*) FROM top") == [(22,)]
    assert asked(url, "SELECT count(*) FROM audit WHERE who = 'q'") == [(21,)]
    assert asked(url, "SELECT who FROM top WHERE id IN ('also', 'there') ORDER BY id") == [("p",), ("q",)]


HEADED = (
    FREE,
    f"CREATE TABLE head ({KEY}, line TEXT NOT NULL)",
    f"CREATE TABLE line ({KEY}, head TEXT NOT NULL REFERENCES head DEFERRABLE INITIALLY DEFERRED)",
    "CREATE FUNCTION whole() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT FROM line"
    " WHERE id = NEW.line AND head = NEW.id) THEN RAISE EXCEPTION 'head % has no line', NEW.id;"
    " END IF; RETURN NEW; END $$",
    "CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON head DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION whole()",
    *WRITTEN[1:],
    *NOTED["postgresql"],
    "INSERT INTO person VALUES ('r')",
    "INSERT INTO audit VALUES ('r', '')",
)
ALSO = {
    "none": (None, {}),
    "an insert": ("INSERT INTO top VALUES ('x', 'nobody')", {("top", "x"): "foreign_key_violation"}),
    "a delete": ("DELETE FROM person WHERE id = 'r'", {("person", "r"): "foreign_key_violation"}),
}


@pytest.mark.parametrize("name", ALSO)
def test_l12_rows_that_are_only_right_together_are_not_rejected_for_another(
    postgres_url: str, tmp_path: Path, name: str
) -> None:
    """A deferred constraint trigger wants a line of every head, and the foreign key a head of every line."""
    (also, expected), url = ALSO[name], postgres_url
    run(url, *HEADED)
    tables = dict.fromkeys(("free", "head", "line", "top", "person"), syncline.Table())
    with syncline.Hub(url, tables) as hub:
        hub.init()
        with closing(syncline.clone(hub, tmp_path / "one.db")) as one:
            with closing(sqlite3.connect(one.file)) as device, device:
                device.execute("INSERT INTO head VALUES ('empty', 'none')")
                for n in range(20):
                    device.execute("INSERT INTO head VALUES (?, ?)", (f"h{n}", f"l{n}"))
                    device.execute("INSERT INTO line VALUES (?, ?)", (f"l{n}", f"h{n}"))
                device.execute("INSERT INTO top VALUES ('y', 'q')")
                if also is not None:
                    device.execute(also)
            report = one.sync().push
            found = {(edit.table, *edit.key): edit.code for edit in report.rejected}
            assert found == {("head", "empty"): "rejected_by_trigger"} | expected
            assert "head empty has no line" in str([edit.detail for edit in report.rejected])
            assert (one.status().pending, one.verify().equal) == ({}, True)
    assert asked(url, "SELECT count(*) FROM head JOIN line ON line = line.id") == [(20,)]
    assert asked(url, "SELECT who FROM audit ORDER BY who") == [("q",), ("r",)]
