"""A rejected edit whose row the file keeps as it is can be sent again, and is not forgotten (L2, L12)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.rejected import rejected
from syncline.errors import UsageError
from tests.support.application import sql

DDL = (
    "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, n INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE tag (name TEXT PRIMARY KEY)",
    "INSERT INTO t VALUES ('0', 'x', 1)",
    "INSERT INTO tag VALUES ('blue')",
)
RULE = {
    "I": "CREATE TRIGGER rule BEFORE INSERT ON t WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END",
    "U": "CREATE TRIGGER rule BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
    "D": "CREATE TRIGGER rule BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
    "tag": "CREATE TRIGGER rule BEFORE DELETE ON tag BEGIN SELECT RAISE(ABORT, 'no'); END",
}
FAVOURITE = "CREATE TABLE fav (id INT PRIMARY KEY, t TEXT NOT NULL REFERENCES t (id))"


class Centre:
    """A centre with a rule, and a device of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "central.db"
        sql(self.file, *DDL)
        self.hub = syncline.Hub(
            f"sqlite:///{self.file}",
            tables={"t": syncline.Table(merge={"n": "sum"}), "tag": syncline.Table()},
        )
        self.hub.init()
        self.device = self.clone("device.db")

    def clone(self, name: str) -> syncline.Replica:
        return syncline.clone(self.hub, str(self.folder / name))

    def rows(self, table: str = "t") -> list[tuple[object, ...]]:
        """Those of the centre, which the device has, too."""
        found = sql(self.file, f"SELECT * FROM {table} ORDER BY 1")
        assert sql(self.device.file, f"SELECT * FROM {table} ORDER BY 1") == found
        return found


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    yield made
    made.device.close()
    made.hub.close()


def sync(replica: syncline.Replica) -> list[str]:
    """The codes of what is rejected, and nothing is pending."""
    replica.sync()
    assert list(replica.log()) == []
    return [edit.code for edit in replica.rejected()]


@pytest.mark.parametrize(
    "keeps",
    [
        (FAVOURITE, "INSERT INTO fav VALUES (1, '1')"),
        ("CREATE TRIGGER mine BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'mine'); END",),
        ("CREATE TRIGGER mine BEFORE DELETE ON t BEGIN SELECT RAISE(IGNORE); END",),
    ],
    ids=["foreign key", "guard", "ignored"],
)
@pytest.mark.parametrize(
    "also", [(), ("UPDATE t SET a = 'good' WHERE id = '1'",)], ids=["as it was", "changed"]
)
def test_a_rejected_insert_that_stays_is_sent_again(
    centre: Centre, keeps: tuple[str, ...], also: tuple[str, ...]
) -> None:
    """What a retry writes is there already, so that no trigger captures it."""
    sql(centre.file, RULE["I"])
    sql(centre.device.file, "INSERT INTO t VALUES ('1', 'bad', 4)", *keeps)
    assert sync(centre.device) == ["rejected_by_trigger"]
    (row,) = centre.device.waiting()
    assert ("the centre has refused the row" in row.detail) == row.object.startswith("foreign key")
    assert "has deleted" not in row.detail
    sql(centre.file, "DROP TRIGGER rule")
    (kept,) = centre.device.rejected()
    assert [edit.op for edit in centre.device.retry(kept.id)] == ["I"]
    assert [entry.op for entry in centre.device.log()] == ["I"]
    assert centre.device.waiting() == []
    sql(centre.device.file, *also)
    assert sync(centre.device) == []
    assert centre.rows() == [("0", "x", 1), ("1", "good" if also else "bad", 4)]
    assert centre.device.waiting() == [] and centre.device.verify().equal


def test_a_retry_that_is_refused_again_stays_and_is_kept(centre: Centre) -> None:
    sql(centre.file, RULE["I"])
    sql(
        centre.device.file,
        "INSERT INTO t VALUES ('1', 'bad', 4)",
        FAVOURITE,
        "INSERT INTO fav VALUES (1, '1')",
    )
    for _ in range(3):
        assert sync(centre.device) == ["rejected_by_trigger"]
        assert [row.key for row in centre.device.waiting()] == [("1",)]
        centre.device.retry(centre.device.rejected()[0].id)
    assert sql(centre.device.file, "SELECT * FROM t WHERE id = '1'") == [("1", "bad", 4)]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("UPDATE t SET a = 'y' WHERE id = '0'", ("0", "y", 1)),
        ("UPDATE t SET n = n + 5 WHERE id = '0'", ("0", "x", 6)),
        ("UPDATE t SET a = NULL, n = n + 5 WHERE id = '0'", ("0", None, 6)),
    ],
)
def test_a_rejected_update_that_stays_is_sent_again(
    centre: Centre, edit: str, expected: tuple[object, ...]
) -> None:
    sql(centre.file, RULE["U"])
    back = "WHEN NEW.n < OLD.n OR NEW.a = 'x' AND OLD.a IS NOT 'x' BEGIN SELECT RAISE(ABORT, 'mine'); END"
    sql(centre.device.file, f"CREATE TRIGGER mine BEFORE UPDATE ON t {back}", edit)
    assert sync(centre.device) == ["rejected_by_trigger"]
    assert [row.object for row in centre.device.waiting()] == ["trigger mine"]
    sql(centre.file, "DROP TRIGGER rule")
    centre.device.retry(1)
    assert [entry.op for entry in centre.device.log()] == ["U"]
    assert sync(centre.device) == []
    assert centre.rows() == [expected]
    assert centre.device.waiting() == [] and centre.device.verify().equal


def test_a_rejected_update_that_others_have_gone_beyond_is_not_put_over_it(centre: Centre) -> None:
    """The file shows its own value; what the centre has counts."""
    sql(centre.file, RULE["U"])
    guard = "CREATE TRIGGER mine BEFORE UPDATE ON t WHEN OLD.a = 'y' BEGIN SELECT RAISE(ABORT, 'mine'); END"
    sql(centre.device.file, "UPDATE t SET a = 'y' WHERE id = '0'", guard)
    assert sync(centre.device) == ["rejected_by_trigger"]
    sql(centre.file, "DROP TRIGGER rule", "UPDATE t SET a = 'z'")
    assert sync(centre.device) == ["rejected_by_trigger"]
    with pytest.raises(UsageError, match="changed since, in a") as found:
        centre.device.retry(1)
    assert found.value.code == "retry_refused" and "syncline status" in found.value.remedy
    assert [edit.values for edit in centre.device.rejected()] == [{"a": "y"}]
    sql(centre.device.file, "DROP TRIGGER mine")
    assert sync(centre.device) == ["rejected_by_trigger"]
    sql(centre.device.file, "UPDATE t SET a = 'y'")
    centre.device.discard(1)
    assert sync(centre.device) == []
    assert centre.rows() == [("0", "y", 1)]


@pytest.mark.parametrize("table", ["t", "tag"])
def test_a_rejected_delete_that_stays_is_sent_again(centre: Centre, table: str) -> None:
    """Also of a table that has nothing but its key."""
    sql(centre.file, RULE["D" if table == "t" else "tag"])
    guard = f"CREATE TRIGGER mine BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'mine'); END"
    sql(centre.device.file, f"DELETE FROM {table}", guard)
    assert sync(centre.device) == ["rejected_by_trigger"]
    assert [row.object for row in centre.device.waiting()] == ["trigger mine"]
    sql(centre.file, "DROP TRIGGER rule")
    centre.device.retry(1)
    assert [entry.op for entry in centre.device.log()] == ["D"]
    assert sync(centre.device) == []
    assert centre.rows(table) == []
    assert centre.device.waiting() == [] and centre.device.verify().equal


def test_a_rejected_replacement_that_stays_is_sent_again(centre: Centre) -> None:
    sql(centre.file, RULE["U"], RULE["D"].replace("rule", "too"))
    guard = "CREATE TRIGGER mine BEFORE UPDATE ON t WHEN NEW.a = 'x' BEGIN SELECT RAISE(ABORT, 'mine'); END"
    sql(centre.device.file, "DELETE FROM t", "INSERT INTO t VALUES ('0', 'y', 9)", guard)
    assert sync(centre.device) == ["rejected_by_trigger"]
    sql(centre.file, "DROP TRIGGER rule", "DROP TRIGGER too")
    centre.device.retry(1)
    assert list(centre.device.log())
    assert sync(centre.device) == []
    assert [row[:2] for row in centre.rows()] == [("0", "y")]


def test_a_row_of_another_that_the_file_keeps_is_not_taken_for_the_rejected_one(centre: Centre) -> None:
    sql(centre.file, RULE["I"])
    sql(centre.device.file, "INSERT INTO t VALUES ('1', 'bad', 4)")
    assert sync(centre.device) == ["rejected_by_trigger"]
    sql(centre.file, "INSERT INTO t VALUES ('1', 'other', 7)")
    assert sync(centre.device) == ["rejected_by_trigger"]
    sql(centre.device.file, FAVOURITE, "INSERT INTO fav VALUES (1, '1')")
    sql(centre.file, "DELETE FROM t WHERE id = '1'", "DROP TRIGGER rule")
    assert sync(centre.device) == ["rejected_by_trigger"]
    assert [row.key for row in centre.device.waiting()] == [("1",)]
    with pytest.raises(UsageError, match="changed since, in a, n"):
        centre.device.retry(1)
    sql(centre.device.file, "UPDATE t SET a = 'bad', n = 4 WHERE id = '1'")  # as the remedy says
    centre.device.discard(1)
    assert sync(centre.device) == []
    assert centre.rows() == [("0", "x", 1), ("1", "bad", 4)]


def test_who_discards_an_edit_whose_row_stays_hears_of_it(centre: Centre) -> None:
    """The row is told with every sync, as one that the centre does not have, until nothing keeps it."""
    sql(centre.file, RULE["I"])
    sql(
        centre.device.file,
        "INSERT INTO t VALUES ('1', 'bad', 4)",
        FAVOURITE,
        "INSERT INTO fav VALUES (1, '1')",
    )
    assert sync(centre.device) == ["rejected_by_trigger"]
    done = CliRunner().invoke(rejected, [centre.device.file, "discard", "1", "--yes"])
    assert done.exit_code == 0
    assert "the row stays in this file as it is" in done.output and "foreign key of fav" in done.output
    assert sync(centre.device) == []
    (row,) = centre.device.waiting()
    assert "the centre does not have the row" in row.detail
    sql(centre.device.file, "DELETE FROM fav")
    assert sync(centre.device) == []
    assert centre.rows() == [("0", "x", 1)]
    assert centre.device.waiting() == []
