"""What the configuration names and what it leaves out: tables that are gone, and tables that devices have."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.cli import output, run
from syncline.errors import SchemaError
from syncline.hub import engine, following
from syncline.hub.central import Central
from tests.integration.test_restored_schema import Centre, PostgresCentre, SqliteCentre


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Centre:
    if request.param == "sqlite":
        return SqliteCentre(tmp_path)
    return PostgresCentre(request.getfixturevalue("postgres_database"))


def hub_of(centre: Centre, *names: str) -> syncline.Hub:
    tables = {name: syncline.Table() for name in names} if names else None
    return syncline.Hub(centre.url, tables=tables)


Found = Callable[[Central], Sequence[str] | None]


def dropping(centre: Centre, found: Found, *statements: str) -> Found:
    """What is found to take part; right after that the centre is altered, once."""
    left = [*statements]

    def then(central: Central) -> Sequence[str] | None:
        names = found(central)
        while left:
            centre.run(left.pop(0))
        return names

    return then


def test_a_table_that_is_dropped_while_the_hub_looks_keeps_nobody_out(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        centre.run(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY)")
    with hub_of(centre, "a", "b", "c") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as device:
            centre.run("CREATE TABLE more (id BIGINT PRIMARY KEY); INSERT INTO a VALUES (1)")
            monkeypatch.setattr(following, "in_force", dropping(centre, following.in_force, "DROP TABLE b"))
            hub._follower.look_now()
            assert device.sync().pull.written == 1
            assert [table.name for table in hub.schema.tables] == ["a", "c"]
            never_still = (f"DROP TABLE {name}" for name in ("c", "more"))
            with hub_of(centre, "a", "b", "c") as other:
                monkeypatch.setattr(engine, "startable", dropping(centre, engine.startable, *never_still))
                other.check()
                assert [table.name for table in other.schema.tables] == ["a"]
            assert device.verify().equal


def test_a_hub_goes_on_while_its_tables_are_altered_without_end(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        centre.run(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY)")
    with hub_of(centre, "a", "b") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as device:
            find, there = following.in_force, ["b"]

            def moved(central: Central) -> Sequence[str] | None:
                names, now = find(central), f"{there[-1]}x"
                centre.run(f"ALTER TABLE {there[-1]} RENAME TO {now}")
                there.append(now)
                return names

            centre.run("INSERT INTO a VALUES (1); ALTER TABLE b RENAME TO bx")
            there.append("bx")
            monkeypatch.setattr(following, "in_force", moved)
            hub._follower.look_now()
            assert len(there) == 2 + following.ROUNDS
            monkeypatch.setattr(following, "in_force", find)
            hub._follower.look_now()
            assert device.sync().pull.written == 1 and device.verify().equal


def narrow(centre: Centre) -> str:
    """A change of `a` that devices cannot follow."""
    if isinstance(centre, PostgresCentre):
        return "ALTER TABLE a ALTER n TYPE smallint"
    return "CREATE TABLE x (id BIGINT PRIMARY KEY, n BLOB); DROP TABLE a; ALTER TABLE x RENAME TO a"


@pytest.mark.parametrize("is_followed", [True, False])
def test_l12_a_table_that_is_gone_hides_no_other_finding(
    centre: Centre, tmp_path: Path, is_followed: bool
) -> None:
    centre.run(
        "CREATE TABLE a (id BIGINT PRIMARY KEY, n BIGINT); CREATE TABLE b (id BIGINT PRIMARY KEY, t TEXT);"
        " CREATE TABLE c (id BIGINT PRIMARY KEY)"
    )
    with hub_of(centre, "a", "b", "c") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db"):
            gone = "c"
            if is_followed:
                gone = "d"  # it had another name before it went
                centre.run("ALTER TABLE c RENAME TO d")
                hub._follower.look_now()
            centre.run(f"DROP TABLE {gone}; ALTER TABLE b RENAME TO beta; {narrow(centre)}")
            if is_followed:
                hub._follower.look_now()
            with hub_of(centre, "a", "b", "c", "never") as other:
                found = {one.sentence: one for one in other.examine() if one.level != "fact"}
                lost, never = (found[f"{name}: there is no such table"] for name in ("c", "never"))
                codes = {one.code for one in found.values()}
                assert {"schema_refused", "breaking_change", "former_name"} <= codes
                assert "[tables.c] out of syncline.toml" in lost.remedy and "create" in lost.remedy
                assert never.remedy == SchemaError.remedy
                with pytest.raises(SchemaError) as refused:
                    other.init(yes=True)
                for part in ("c: there is no such table", "never: there", "table a: ", "b: it is called "):
                    assert part in refused.value.detail
                assert lost.remedy in refused.value.remedy
            with hub_of(centre, "a", "b") as without:
                assert "schema_refused" not in {one.code for one in without.examine()}
                without.init(yes=True)
                assert [table.name for table in without.schema.tables] == ["a", "beta"]


def test_tables_that_the_configuration_alone_takes_out_are_named_with_what_keeps_them(
    centre: Centre, tmp_path: Path
) -> None:
    """Others script `init`: it goes on, and says so before and while it does it."""
    centre.run("CREATE TABLE rota (staff BIGINT NOT NULL, shift TEXT); CREATE UNIQUE INDEX k ON rota (staff)")
    centre.run(
        "CREATE TABLE visit (id BIGINT PRIMARY KEY, note TEXT); CREATE TABLE x (id BIGINT PRIMARY KEY)"
    )
    tables = {"rota": syncline.Table(key=("staff",))}
    with hub_of(centre) as hub, syncline.Hub(centre.url, tables=tables) as keyed:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            with closing(sqlite3.connect(replica.file)) as device, device:
                device.execute("INSERT INTO visit VALUES (1, 'field work')")
            foreseen = keyed.init(dry_run=True)
            assert not foreseen.asks
            (left,) = foreseen.findings
            assert [left.sentence] == foreseen.warnings
            assert (left.level, left.code) == ("warning", "table_left_out")
            assert "tables visit, x take part no longer" in left.sentence
            assert "devices: 1; counted" in left.sentence
            assert "add [tables.visit] [tables.x] to syncline.toml" in left.remedy
            assert [one for one in keyed.examine() if "visit" in one.sentence and one.level == "warning"] == [
                left
            ]
            assert replica.sync().push.rejected == ()
            done = keyed.init()
            assert (done.findings, done.warnings) == ([left], [left.sentence])
            assert [table.name for table in keyed.schema.tables] == ["rota"]
            assert "table_left_out" not in {one.code for one in keyed.examine()}
        both = {**tables, "visit": syncline.Table(), "x": syncline.Table()}
        with syncline.Hub(centre.url, tables=both) as kept:
            assert kept.init().findings == []
            assert [table.name for table in kept.schema.tables] == ["rota", "visit", "x"]


def test_l12_a_table_that_the_configuration_names_without_its_parent_is_said_to_lack_that(
    tmp_path: Path,
) -> None:
    """It is not said of it that the configuration does not name it; of its parent it is."""
    centre = SqliteCentre(tmp_path)
    centre.run(
        "CREATE TABLE p (id BIGINT PRIMARY KEY); CREATE TABLE x (id BIGINT PRIMARY KEY);"
        "CREATE TABLE c (id BIGINT PRIMARY KEY, p BIGINT REFERENCES p (id))"
    )
    with hub_of(centre, "p", "c") as hub, hub_of(centre, "c", "x") as alone:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        found = {one.code: one for one in alone.examine()}
        assert "table p takes part no longer" in found["table_left_out"].sentence
        assert "add [tables.p] to" in found["table_left_out"].remedy
        assert "c: its foreign key points at p, which does not take part" in found["schema_refused"].sentence
        assert "create the table again" not in found["schema_refused"].remedy
        assert "Add the section of the table that it points at" in found["schema_refused"].remedy
        with pytest.raises(SchemaError) as refused:
            alone.init()
        assert "[tables.c] to syncline" not in str(refused.value) and "tables p, c" not in str(refused.value)
    with hub_of(centre, "p", "c") as again:
        assert again.init().findings == []


def test_l12_init_and_doctor_say_it_on_the_command_line_and_end_as_before(
    centre: Centre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    centre.run("CREATE TABLE a (id BIGINT PRIMARY KEY); CREATE TABLE b (id BIGINT PRIMARY KEY)")
    toml = tmp_path / "syncline.toml"
    toml.write_text(f'[hub]\ndatabase = "{centre.url}"\n')
    assert run(["init", str(toml)]) == output.DONE
    with toml.open("a") as file:
        file.write("[tables.a]\n")
    assert run(["doctor", str(toml)]) == output.PERSON_NEEDED  # the tables are not those of the configuration
    capsys.readouterr()
    for verb in (["init", str(toml), "--dry-run"], ["init", str(toml)]):
        assert run([*verb, "--json"] if "--dry-run" in verb else verb) == output.DONE
        said = capsys.readouterr()
        if "--dry-run" in verb:
            (left,) = json.loads(said.out)["findings"]
            assert left["code"] == "table_left_out" and "[tables.b]" in left["remedy"]
            assert run(verb) == output.DONE
            said = capsys.readouterr()
            assert "1 warning" in said.out
        lines = (said.out + said.err).splitlines()
        (number,) = [i for i, line in enumerate(lines) if "WARNING: table b takes part no longer" in line]
        assert lines[number].endswith("[table_left_out]")
        assert "try: To keep it, add [tables.b] to syncline.toml" in lines[number + 1]


def test_the_hint_of_another_key_says_that_all_tables_must_be_named(centre: Centre) -> None:
    centre.run("CREATE TABLE rota (staff BIGINT NOT NULL)")
    with hub_of(centre, "rota") as hub, pytest.raises(SchemaError, match="must name every table"):
        hub.init()
