"""The sequence behind a key follows what devices insert (L13: others do not meet their keys)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from tests.support.postgres import PostgresCentre

SERIAL, IDENTITY = "id serial PRIMARY KEY", "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
DEFAULT = "id int PRIMARY KEY DEFAULT nextval('counted')"


def insert(hub: syncline.Hub, file: Path, *keys: int) -> None:
    """Insert rows on a device and send them."""
    with syncline.clone(hub, file) as replica:
        with closing(sqlite3.connect(file)) as device, device:
            device.executemany("INSERT INTO t VALUES (?, 'device')", [(key,) for key in keys])
        assert replica.sync().push.rejected == ()


def office(url: str) -> int:
    """The key that the next insert of another program gets."""
    with PostgresCentre(url).connect() as centre:
        row = centre.execute("INSERT INTO t (word) VALUES ('office') RETURNING id").fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.mark.parametrize("key", [SERIAL, IDENTITY, DEFAULT], ids=["serial", "identity", "default"])
def test_l13_the_next_insert_of_another_program_does_not_meet_a_devices_key(
    postgres_url: str, tmp_path: Path, key: str
) -> None:
    PostgresCentre(postgres_url).run("CREATE SEQUENCE counted", f"CREATE TABLE t ({key}, word text)")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        insert(hub, tmp_path / "a.db", 1, 2, 3)
        assert office(postgres_url) == 4
        insert(hub, tmp_path / "b.db", 5)
        assert office(postgres_url) == 6


def test_a_key_far_ahead_is_a_range_of_the_devices_own(postgres_url: str, tmp_path: Path) -> None:
    PostgresCentre(postgres_url).run(f"CREATE TABLE t ({SERIAL}, word text)")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        insert(hub, tmp_path / "a.db", 1, 2, 2_147_483_647)
        assert office(postgres_url) == 3


def test_a_sequence_is_followed_through_many_keys_and_never_goes_back(
    postgres_url: str, tmp_path: Path
) -> None:
    PostgresCentre(postgres_url).run(f"CREATE TABLE t ({SERIAL}, word text)")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        insert(hub, tmp_path / "a.db", *range(1, 25_001))
        assert office(postgres_url) == 25_001
        insert(hub, tmp_path / "b.db", -5)
        assert office(postgres_url) == 25_002


def test_l12_a_sequence_that_cannot_follow_is_named_at_init(postgres_url: str) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE SEQUENCE tens INCREMENT 10",
        f"CREATE TABLE s ({SERIAL})",
        "CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('tens'), word text)",
    )
    with syncline.Hub(postgres_url) as hub:
        notes = [note for note in hub.init().notes if "follow" in note]
    assert notes == ["public.t: public.tens does not follow the keys that devices insert: it counts by 10"]


def test_where_the_role_may_not_use_the_sequence_pushes_work_and_init_says_so(
    postgres_url: str, tmp_path: Path
) -> None:
    name = postgres_url.rpartition("/")[2]
    role = f"hub_{name}"
    with PostgresCentre(postgres_url).connect() as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        try:
            admin.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO {role}")
            admin.execute("CREATE SEQUENCE counted")
            admin.execute(f"CREATE TABLE t ({DEFAULT}, word text)")
            admin.execute(f"ALTER TABLE t OWNER TO {role}")
            with syncline.Hub(postgres_url.replace("postgres@", f"{role}@")) as hub:
                (note,) = [note for note in hub.init().notes if "follow" in note]
                assert note.endswith("GRANT USAGE ON SEQUENCE public.counted is missing")
                insert(hub, tmp_path / "a.db", 1)
                assert admin.execute("SELECT is_called FROM counted").fetchall() == [(False,)]
                admin.execute(f"GRANT USAGE ON SEQUENCE counted TO {role}")
                insert(hub, tmp_path / "b.db", 2)
                assert office(postgres_url) == 3
                hub.remove()
        finally:
            admin.execute(f"DROP OWNED BY {role} CASCADE")
            admin.execute(f"DROP ROLE {role}")


def test_what_an_insert_on_a_device_leaves_out_is_given_as_the_page_says(
    postgres_url: str, tmp_path: Path
) -> None:
    """docs/postgresql.md, of keys, tickets, and ranges of numbers."""
    own = "INSERT INTO t (id, word, other) SELECT coalesce(max(id), 1999) + 1, ?, 1 FROM t"
    PostgresCentre(postgres_url).run(
        f"CREATE TABLE t ({IDENTITY}, word text, ticket int GENERATED ALWAYS AS IDENTITY, other serial)",
        "CREATE TABLE u (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), word text)",
        "INSERT INTO t (id, word) OVERRIDING SYSTEM VALUE VALUES (3000, 'of another range')",
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica, closing(sqlite3.connect(replica.file)) as app:
            with app:
                app.execute("INSERT INTO u (word) VALUES ('a')")
                app.execute("INSERT INTO t (word, other) VALUES ('by itself', 1)")
                for word in ("first", "second"):
                    app.execute(f"{own} WHERE id BETWEEN 2000 AND 2999", (word,))
            with pytest.raises(sqlite3.IntegrityError, match=r"NOT NULL.*other"), app:
                app.execute("INSERT INTO t (word) VALUES ('b')")
            rows = "SELECT id, word, ticket FROM t ORDER BY id"
            given = [(2000, "first"), (2001, "second"), (3000, "of another range"), (3001, "by itself")]
            before = app.execute(rows).fetchall()
            assert before == [(*row, 1 if row[0] == 3000 else None) for row in given]
            assert (replica.sync().push.sent, len(replica.rejected())) == (4, 0)
            after = app.execute(rows).fetchall()
            assert [row[:2] for row in after] == given
            assert sorted(ticket for *_, ticket in after) == [1, 2, 3, 4]
            assert replica.verify().equal
