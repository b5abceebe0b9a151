"""One record makes a policy: nothing else is edited for it, from `Table` to the device (law L6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import syncline
from syncline.errors import ConfigurationError
from syncline.hub.versions import rules_for
from syncline.merge import policies
from syncline.merge.policies import COLUMN_POLICIES, ColumnPolicy, Contest, Settled
from syncline.merge.rules import resolve as resolve_rules
from syncline.model.schema import ColumnSchema, Schema, TableSchema


def append(contest: Contest) -> Settled:
    """What the replica wrote behind the base it knew goes behind what the centre has now."""
    base, hub, sent = (str(value or "") for value in (contest.base, contest.hub, contest.sent))
    return Settled(hub + sent.removeprefix(base), "merged")


APPEND = ColumnPolicy(
    name="append",
    summary="what both wrote at the end is kept",
    settle=append,
    reads_base=True,
)
TEXT_ONLY = replace(
    APPEND, name="append_text", types=frozenset({"text"}), types_reason="only text has an end"
)


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for policy in (APPEND, TEXT_ONLY):
        monkeypatch.setitem(COLUMN_POLICIES, policy.name, policy)  # type: ignore[arg-type]
    path = tmp_path / "centre.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, stars INTEGER)")
        connection.execute("INSERT INTO note VALUES (1, 'a', 0)")
        connection.commit()
    yield path


def write(file: Path, text: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE note SET body = body || ? WHERE id = 1", (text,))
        connection.commit()


def body(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT body FROM note").fetchone()[0])


def test_a_policy_that_is_one_record_works_from_end_to_end(centre: Path, tmp_path: Path) -> None:
    hub = syncline.Hub(f"sqlite:///{centre}", tables={"note": syncline.Table({"body": "append"})})
    hub.init()
    files = [tmp_path / "one.db", tmp_path / "two.db"]
    devices = [syncline.clone(hub, file) for file in files]
    write(files[0], "b")
    write(files[1], "c")
    for device in [*devices, *devices]:
        device.sync()
    assert [body(file) for file in [centre, *files]] == ["abc"] * 3
    (note,) = devices[1].conflicts()
    assert (note.policy, note.outcome, note.resolution) == ("append", "merged", "abc")
    for device in devices:
        device.close()
    hub.close()


def test_what_its_record_needs_is_checked(centre: Path) -> None:
    hub = syncline.Hub(f"sqlite:///{centre}", tables={"note": syncline.Table({"stars": "append_text"})})
    with pytest.raises(ConfigurationError, match="only text has an end"):
        hub.init()
    hub.close()


def test_what_was_sent_before_a_column_was_merged_otherwise_needs_no_policy_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An older device sends a difference, or a value: the policy for it is found by how it travels."""
    total = replace(COLUMN_POLICIES["sum"], name="total")
    monkeypatch.setitem(COLUMN_POLICIES, "total", total)  # type: ignore[arg-type]
    others = {name: policy for name, policy in COLUMN_POLICIES.items() if name != "sum"}
    monkeypatch.setattr(policies, "COLUMN_POLICIES", others)
    counted = ColumnSchema("stars", "integer", "INTEGER", increment=True, number=1)
    plain = replace(counted, increment=False)
    key = ColumnSchema("id", "integer", "INTEGER", number=0)
    schemas = {
        column.increment: Schema((TableSchema("note", (key, column), ("id",), number=0),))
        for column in (counted, plain)
    }
    for increment, merge in ((True, {}), (False, {"stars": "total"})):
        sent, present = schemas[increment], schemas[not increment]
        rules = {0: resolve_rules(present.tables[0], syncline.Table(merge))}
        (policy,) = rules_for(rules, sent, present)[0].columns.values()
        assert policy.travels == ("difference" if increment else "value")
        assert policy.name == ("total" if increment else "lww")
