"""The ids of rejected edits: one that was given to an edit is never another's (law L12)."""

from __future__ import annotations

from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from tests.support.application import sql


def test_l12_the_id_of_an_edit_that_was_discarded_or_retried_is_never_another_ones(tmp_path: Path) -> None:
    """`rejected FILE discard 1` of a listing that is older says that there is no such edit: it forgot another
    one."""
    central, file = tmp_path / "centre.db", tmp_path / "device.db"
    sql(
        central,
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v INTEGER)",
        "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.v < 0 BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    with syncline.Hub(f"sqlite:///{central}") as hub:
        hub.init()
        with syncline.clone(hub, file) as replica:

            def refused(key: str) -> int:
                sql(file, f"INSERT INTO t VALUES ('{key}', -1)")
                (told,) = replica.sync().push.rejected
                assert told == replica.rejected()[-1] and told.key == (key,)
                return told.id

            assert refused("a") == 1
            replica.discard(1)
            assert refused("b") == 2
            replica.retry(2)
            (again,) = replica.sync().push.rejected
            assert (again.id, again.key) == (3, ("b",))
            for gone in (1, 2):
                with pytest.raises(UsageError) as caught:
                    replica.discard(gone)
                assert caught.value.code == "no_such_edit"
            sql(file, "INSERT INTO t VALUES ('c', -1)")
            assert [edit.key for edit in replica.preview().rejected] == [("c",)]
            assert [edit.id for edit in replica.sync().push.rejected] == [4]
            for number in (3, 4):
                replica.discard(number)
            sql(
                file, "UPDATE _sync_state SET watermark = 'garbled', horizon = NULL"
            )  # the file is filled again
            assert replica.sync().recovered
            assert refused("d") == 5
        with syncline.connect(file, hub) as replica:
            replica.discard(5)
            assert refused("e") == 6
