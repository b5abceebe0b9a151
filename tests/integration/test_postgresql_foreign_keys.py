"""Foreign keys as devices get them: checked where SQLite can, left to the centre aloud where it cannot."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import UsageError
from tests.support.postgres import PostgresCentre


def test_l12_what_a_device_cannot_check_or_do_is_left_to_the_centre_and_said(
    postgres_url: str, tmp_path: Path
) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE TABLE rate (percent numeric PRIMARY KEY)",
        "CREATE TABLE box (stable text, n int, PRIMARY KEY (stable, n))",
        "CREATE SEQUENCE s",
        "CREATE TABLE child (id int PRIMARY KEY, percent numeric REFERENCES rate,"
        " stable text NOT NULL, n int, m int DEFAULT nextval('s'), scaled numeric(5, 2),"
        " FOREIGN KEY (stable, n) REFERENCES box ON DELETE SET NULL (n),"
        " FOREIGN KEY (stable, m) REFERENCES box ON DELETE SET DEFAULT ON UPDATE CASCADE)",
        "INSERT INTO rate VALUES (7.00)",
        "INSERT INTO box VALUES ('a', 1)",
        "INSERT INTO child VALUES (1, 7, 'a', 1, 1)",
    )
    with syncline.Hub(postgres_url) as hub:
        notes = "\n".join(hub.init().notes)
        assert "(percent) to public.rate compares values that may be spelled otherwise" in notes
        assert "(stable, n) to public.box: ON DELETE SET NULL is done in the centre alone" in notes
        assert "(stable, m) to public.box: ON DELETE SET DEFAULT is done in the centre alone" in notes
        keys = {key.columns: (key.on_delete, key.on_update) for key in hub.schema.table("child").foreign_keys}
        assert keys == {("stable", "n"): ("NO ACTION",) * 2, ("stable", "m"): ("NO ACTION", "CASCADE")}
        file = tmp_path / "device.db"
        with syncline.clone(hub, file) as replica:
            PostgresCentre(postgres_url).run("UPDATE child SET m = NULL", "DELETE FROM box")
            replica.sync()
        with closing(sqlite3.connect(file)) as device:
            assert device.execute("SELECT percent, stable, n FROM child").fetchall() == [("7", "a", None)]


def test_l8_a_trigger_on_one_partition_and_the_default_of_a_domain_reach_the_device(
    postgres_url: str, tmp_path: Path
) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE DOMAIN short AS text DEFAULT 'none'",
        "CREATE DOMAIN list AS int[]",
        "CREATE TABLE p (id int PRIMARY KEY, word short, more list[]) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.word := upper(NEW.word); RETURN NEW; END $$",
        "CREATE TRIGGER shout BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION shout()",
        """INSERT INTO p VALUES (1, 'x', ARRAY['{1,2}'::list])""",
    )
    with syncline.Hub(postgres_url, tables={"public.p": syncline.Table(merge="hub_wins")}) as hub:
        hub.init()
        file = tmp_path / "device.db"
        with syncline.clone(hub, file) as replica, closing(sqlite3.connect(file)) as device:
            device.execute("INSERT INTO p (id) VALUES (2)")
            device.commit()
            replica.sync()
            rows = device.execute("SELECT * FROM p ORDER BY id").fetchall()
        assert rows == [(1, "X", '{"{1,2}"}'), (2, "NONE", None)]
        assert hub._central.known()[1][0].row.name == "hub_wins"


@pytest.mark.parametrize("new_key", [False, True], ids=["plain", "new_key"])
def test_a_retry_whose_parent_is_missing_is_refused_at_the_commit_too(
    postgres_url: str, tmp_path: Path, new_key: bool
) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE k (id int PRIMARY KEY, p int REFERENCES p)"
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            with closing(sqlite3.connect(replica.file)) as device:
                device.execute("INSERT INTO k VALUES (9, 77)")
                device.commit()
            replica.sync()
            (kept,) = replica.rejected()
            with pytest.raises(UsageError) as refused:
                replica.retry(kept.id, new_key=new_key)
            assert refused.value.code == "retry_refused"
            assert "points at" in refused.value.remedy
            assert replica.rejected() == [kept]
