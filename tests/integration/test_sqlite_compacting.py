"""Compacting the log of a SQLite centre: whatever stands between two changes of a row, while others write."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.databases.base.compacting import Compaction
from syncline.databases.sqlite import open_database
from syncline.databases.sqlite.database import SqliteDatabase
from syncline.hub import retention
from syncline.hub.contract import Coverable
from syncline.hub.contract.compaction import LogEntry, covered
from syncline.model.masks import join_mask
from syncline.model.scope import UNBOUNDED
from tests.support.application import sql

ROWS = 300
T = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, n)",
    "CREATE TABLE pair (x, y, n, PRIMARY KEY (x, y))",
    f"WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {ROWS})"
    " INSERT INTO t SELECT n, 'a', 0 FROM i",
)

WRITES = [
    "UPDATE t SET n = {value} WHERE id = {key}",
    "UPDATE t SET n = {value}, a = {value} WHERE id = {key}",
    "UPDATE t SET a = {value} WHERE id = {key}",
    "INSERT OR REPLACE INTO t VALUES ({key} + 1000, 'r', {value})",
    "INSERT INTO pair VALUES ({key}, '{one}', 0) ON CONFLICT DO UPDATE SET n = {value}",
    "DELETE FROM pair WHERE x = {key}",
]


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    sql(tmp_path / "centre.db", *T)
    with syncline.Hub(f"sqlite:///{tmp_path}/centre.db") as hub:
        hub.init()
    return tmp_path / "centre.db"


def steps(database: SqliteDatabase, limit: int) -> list[int]:
    """How many entries go in each step."""
    done, more = list[int](), True
    while more:
        with database.read(UNBOUNDED) as reading:
            found = reading.log.coverable(limit)
        assert found is not None
        for part in found.parts(limit):
            with database.write(UNBOUNDED) as transaction:
                removed = transaction.log.compact(limit, part)
            done.append(removed.entries)
        more = removed.more
    return done


def test_l11_what_one_update_of_all_rows_puts_between_a_pair_does_not_hinder(centre: Path) -> None:
    sql(centre, "UPDATE t SET n = 1", "UPDATE t SET n = 2", "UPDATE t SET a = 'x' WHERE id <= 10")
    with closing(open_database(f"sqlite:///{centre}")) as database:
        done = steps(database, 20)
        assert max(done) <= 20
        assert sum(done) == ROWS
        assert sum(steps(database, 20)) == 0
    sql(centre, "UPDATE t SET n = 3", "UPDATE t SET n = 4 WHERE id = 1")
    with closing(open_database(f"sqlite:///{centre}")) as database:
        assert sum(steps(database, 20)) == 0, "what was looked through is compared with nothing any more"


def test_l13_nobody_waits_while_covered_entries_are_looked_for(
    centre: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(centre, "UPDATE t SET n = 1", "UPDATE t SET n = 2")
    looked, find = list[int](), Compaction.find

    def written(*given: object) -> Coverable:
        found = find(*given)  # type: ignore[arg-type]
        with closing(sqlite3.connect(centre, timeout=0)) as other, other:
            other.execute("INSERT INTO pair VALUES (?, 1, 1)", (len(looked),))
        looked.append(len(found.gone))
        return found

    monkeypatch.setattr(Compaction, "find", written)
    monkeypatch.setattr(retention, "COMPACTED", 20)
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        assert hub.prune(dry_run=True).compacted == looked[0] > 0
        assert hub.prune().compacted == ROWS


def test_what_is_found_is_what_the_rule_says(centre: Path) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        sql(centre, "DELETE FROM _sync_hub_log", "DELETE FROM _sync_hub_mark")
        for step in range(40):
            sql(centre, rng.choice(WRITES).format(key=rng.randint(1, 3), value=step, one=rng.choice("ab")))
            if rng.random() < 0.4:
                origin = rng.choice(["r1", "r2"])
                newest = "(SELECT max(seq) FROM _sync_hub_log)"
                sql(centre, f"UPDATE _sync_hub_log SET origin = '{origin}' WHERE seq = {newest}")
        with closing(sqlite3.connect(centre)) as file:
            rows = file.execute(
                "SELECT seq, op, hlc, origin, old, tbl, k0, k1, mask FROM _sync_hub_log ORDER BY seq"
            ).fetchall()
        entries = [
            LogEntry(seq, tuple(row), op, join_mask([mask]), hlc, origin, old is not None)
            for seq, op, hlc, origin, old, *row, mask in rows[:-1]
        ]
        with closing(open_database(f"sqlite:///{centre}")) as database, database.read(UNBOUNDED) as reading:
            found = reading.log.coverable(1000)
            assert found is not None
            assert [seq for seq, _ in found.gone] == sorted(covered(entries))
