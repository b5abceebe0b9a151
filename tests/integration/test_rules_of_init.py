"""Every server merges by the rules that `init` was given last, whatever it was started with (law L3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.cli import output, run
from syncline.errors import ConfigurationError, RulesDiffer
from syncline.hub.ruled import CHANGED
from tests.support.application import sql
from tests.support.either import centre_with
from tests.support.either import run as run_at

SUM = {"supply": syncline.Table(merge={"stock": "sum"})}
MADE = (
    "CREATE TABLE supply (code TEXT PRIMARY KEY NOT NULL, stock INT NOT NULL)",
    "INSERT INTO supply VALUES ('GLOVE', 100)",
)


def longest(base: object, ours: object, theirs: object) -> object:
    """A policy of a program."""
    return max(str(ours), str(theirs), key=len)


def shortest(base: object, ours: object, theirs: object) -> object:
    """Another one."""
    return min(str(ours), str(theirs), key=len)


def largest(base: object, ours: int, theirs: int) -> int:
    """One that a column of numbers can hold the result of."""
    return max(ours, theirs)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made = "CREATE TABLE a (id TEXT PRIMARY KEY NOT NULL, n INT)"
    return centre_with(request, request.param, tmp_path, made)


@pytest.fixture
def stale(url: str) -> Iterator[syncline.Hub]:
    """A server that runs already."""
    with syncline.Hub(url, tables={"a": syncline.Table()}) as hub:
        hub.init()
        hub.look()
        yield hub


def count_down(hub: syncline.Hub, folder: Path) -> list[syncline.Conflict]:
    """Two devices, ten fewer each; what a third has then is 80 if increments add up."""
    for name in "xy":
        syncline.clone(hub, folder / f"{name}.db").close()
    for name in "xy":
        sql(folder / f"{name}.db", "UPDATE supply SET stock = stock - 10")
    return [one for name in "xy" for one in _synced(hub, folder / f"{name}.db")]


def _synced(hub: syncline.Hub, file: Path) -> list[syncline.Conflict]:
    with syncline.connect(file, hub=hub) as replica:
        replica.sync()
        return replica.conflicts()


def stock(hub: syncline.Hub, folder: Path) -> object:
    with syncline.clone(hub, folder / "z.db"):
        return sql(folder / "z.db", "SELECT stock FROM supply")


def test_l3_a_server_that_runs_merges_a_new_table_by_the_rules_of_init(
    url: str, stale: syncline.Hub, tmp_path: Path
) -> None:
    run_at(url, *MADE)
    with syncline.Hub(url, tables={"a": syncline.Table(), **SUM}) as other:
        other.init()
    assert not count_down(stale, tmp_path)
    assert stock(stale, tmp_path) == [(80,)]


def test_l3_a_push_that_meets_new_rules_is_decided_by_these(
    url: str, stale: syncline.Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_at(url, *MADE)
    for tables in (None, {"a": syncline.Table(), "supply": syncline.Table()}):
        with syncline.Hub(url, tables=tables) as other:
            other.init()
    stale.look()
    syncline.clone(stale, tmp_path / "w.db").close()
    with syncline.Hub(url, tables={"a": syncline.Table(), **SUM}) as other:
        done = other.init()
        assert done.ruled and any("supply: its rules are others" in note for note in done.notes)
        assert not other.init().ruled
        assert not [one for one in other.examine() if one.code == "rules_not_current"]
    stale._follower._looked = float("inf")  # it does not look by itself before it is asked
    with caplog.at_level(logging.WARNING, "syncline.hub"):
        assert not count_down(stale, tmp_path)
    assert any("merging by the rules that init was given" in one.getMessage() for one in caplog.records)
    assert stock(stale, tmp_path) == [(80,)]


def test_l12_a_server_started_with_other_rules_takes_those_of_init_and_doctor_says_which_differ(
    url: str, tmp_path: Path
) -> None:
    run_at(url, *MADE)
    with syncline.Hub(url, tables=SUM) as hub:
        hub.init()
    with syncline.Hub(url, tables={"supply": syncline.Table(merge={"stock": "lww"})}) as other:
        assert not count_down(other, tmp_path)
        assert stock(other, tmp_path) == [(80,)]
        (found,) = (one for one in other.examine() if one.code == "rules_not_current")
        assert found.level == "trouble" and "supply" in found.sentence
        other.ready()
        other.init()
        assert not [one for one in other.examine() if one.code == "rules_not_current"]
    with syncline.Hub(url, tables=SUM) as hub:
        assert [one.code for one in hub.examine() if one.code == "rules_not_current"]


def test_a_key_of_the_configuration_is_one_of_the_rules(
    url: str, stale: syncline.Hub, tmp_path: Path
) -> None:
    run_at(url, "CREATE TABLE k (a INT NOT NULL, b TEXT, UNIQUE (a))", "INSERT INTO k VALUES (1, 'x')")
    tables = {"a": syncline.Table(), "k": syncline.Table(key=["a"])}
    with syncline.Hub(url, tables=tables) as other:
        other.init()
    with syncline.clone(stale, tmp_path / "k.db") as replica:
        sql(replica.file, "UPDATE k SET b = 'y'")
        assert replica.sync().push.sent == 1


@pytest.mark.parametrize("case", ["none", "one", "another"])
def test_l12_a_server_without_the_functions_of_init_or_with_others_refuses(
    url: str, case: str, tmp_path: Path
) -> None:
    run_at(url, *MADE)
    functional = {"supply": syncline.Table(merge={"stock": longest})}
    another = {"supply": syncline.Table(merge={"stock": shortest})}
    first = SUM if case == "one" else functional
    second = {"none": SUM, "one": functional, "another": another}[case]
    with syncline.Hub(url, tables=first) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "x.db").close()
        sql(tmp_path / "x.db", "UPDATE supply SET stock = 5")
        with syncline.Hub(url, tables=second) as other:
            with pytest.raises(RulesDiffer) as refused:
                other.ready()
            assert refused.value.retry and "stock" in refused.value.detail
            with syncline.connect(tmp_path / "x.db", hub=other) as replica:
                with pytest.raises(RulesDiffer):
                    replica.sync()
                other.init()
                other.ready()
                assert replica.sync().push.sent == 1
        with pytest.raises(RulesDiffer):
            hub.ready()


@pytest.mark.parametrize("given", [None, SUM], ids=["no tables", "other rules"])
@pytest.mark.parametrize("is_altered", [False, True], ids=["as prepared", "altered"])
def test_whoever_runs_a_hub_needs_none_of_its_functions_for_what_merges_nothing(
    url: str, given: dict[str, syncline.Table] | None, is_altered: bool, tmp_path: Path
) -> None:
    run_at(url, *MADE)
    with syncline.Hub(url, tables={"supply": syncline.Table(merge={"stock": largest})}) as hub:
        hub.init()
        for name in "xy":
            syncline.clone(hub, tmp_path / f"{name}.db").close()
        for name, value in zip("xy", (5, 123), strict=True):
            sql(tmp_path / f"{name}.db", f"UPDATE supply SET stock = {value}")
            _synced(hub, tmp_path / f"{name}.db")
        (noted,) = hub.conflicts()
    if is_altered:
        run_at(url, "ALTER TABLE supply ADD COLUMN more TEXT")
    with syncline.Hub(url, tables=given) as operators:
        one, other = [listed.as_dict()["replica"] for listed in operators.replicas()]
        operators.revoke(one)
        states = {listed.client.replica: listed.state for listed in operators.replicas()}
        assert states == {one: "revoked", other: "live"}
        operators.revoke(one, undo=True)
        operators.assign(one, syncline.Actor("ana"))
        operators.forget(other)
        assert [listed.as_dict()["actor"] for listed in operators.replicas()] == ["ana"]
        assert operators.conflicts() == [noted]
        assert operators.prune(dry_run=True).dry_run
        assert not operators.prune().more
        for refused in (operators.ready, operators.check, lambda: operators.resolve(noted.id, "sent")):
            with pytest.raises(RulesDiffer):
                refused()


def test_the_same_functions_go_on_without_another_init(url: str, tmp_path: Path) -> None:
    run_at(url, *MADE)
    functional = {"supply": syncline.Table(merge={"stock": longest})}
    for _ in range(2):
        with syncline.Hub(url, tables=functional) as hub:
            hub.init()
    with syncline.Hub(url, tables=functional) as hub:
        hub.check()
        count_down(hub, tmp_path)
        assert stock(hub, tmp_path) == [(90,)]


def test_a_rule_for_a_column_that_is_new_is_kept_before_the_column_is_prepared(
    url: str, stale: syncline.Hub, tmp_path: Path
) -> None:
    run_at(url, "ALTER TABLE a ADD COLUMN b INT")
    with syncline.Hub(url, tables={"a": syncline.Table(merge={"b": "sum"})}) as other:
        other.init()
    stale._follower.look_now()
    assert stale.schema.tables[0].column("b").increment


def test_init_on_the_command_line_says_which_rules_are_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(tmp_path / "c.db", *MADE)
    toml = tmp_path / "syncline.toml"
    toml.write_text('[hub]\ndatabase = "sqlite:///c.db"\n[tables.supply]\n')
    assert run(["init", str(toml)]) == output.DONE
    toml.write_text(toml.read_text() + 'merge = { stock = "sum" }\n')
    assert run(["doctor", str(toml)]) == output.PERSON_NEEDED
    assert "rules_not_current" in capsys.readouterr().out
    assert run(["init", str(toml)]) == output.DONE
    said = capsys.readouterr().out
    assert "supply: its rules are others" in said and "nothing else was to be done" in said
    assert run(["doctor", str(toml)]) == output.DONE


NO_RULES = [
    syncline.Table(merge={"n": "summ"}),
    syncline.Table(merge={"zz": "sum"}),
    syncline.Table(merge="none"),
    syncline.Table(deletes="x"),
]


@pytest.mark.parametrize("tables", [None, {"a": syncline.Table()}], ids=["all tables", "named tables"])
@pytest.mark.parametrize("rules", NO_RULES, ids=["policy", "column", "whole", "deletes"])
def test_l12_a_server_does_not_start_with_rules_that_init_refuses(
    url: str, rules: syncline.Table, tables: dict[str, syncline.Table] | None
) -> None:
    """Whether that init was given tables or took all that there are."""
    with syncline.Hub(url, tables=tables) as hub:
        hub.init()
    with syncline.Hub(url, tables={"a": rules}) as hub:
        with pytest.raises(ConfigurationError) as refused:
            hub.init()
        with pytest.raises(ConfigurationError) as caught:
            hub.check()
        assert caught.value.detail == refused.value.detail


def test_a_hub_with_a_function_can_be_prepared_again_and_given_other_rules(url: str) -> None:
    run_at(url, "CREATE TABLE stock (id integer PRIMARY KEY, note text, qty integer)")
    with syncline.Hub(url, {"stock": syncline.Table(merge={"note": longest})}) as hub:
        hub.init()
        assert hub.init(dry_run=True).statements == []
        hub.init()
        assert [one.code for one in hub.examine() if one.level == "trouble"] == []
    with syncline.Hub(url, {"stock": syncline.Table(merge={"note": shortest})}) as hub:
        assert any(CHANGED in note for note in hub.init().notes)
    with syncline.Hub(url, {"stock": syncline.Table(merge={"note": "review"})}) as hub:
        assert any(CHANGED in note for note in hub.init().notes)
        assert not any(CHANGED in note for note in hub.init().notes)
