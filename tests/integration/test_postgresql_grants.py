"""Law L12: `init` runs as an ordinary owner, and says all rights that it lacks at once, as statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

import syncline
from syncline.errors import GrantsMissing


def test_l12_all_missing_rights_are_said_at_once_and_are_enough(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        for statement in (
            "DROP ROLE IF EXISTS poor",
            "CREATE ROLE poor LOGIN",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {name} TO poor",
            'CREATE SCHEMA "Hidden"',
            'CREATE TABLE "Hidden"."T" (id int PRIMARY KEY)',
            "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)",
            "CREATE TABLE own (id int PRIMARY KEY)",
            "ALTER TABLE own OWNER TO poor",
            "REVOKE UPDATE ON own FROM poor",
        ):
            owner.execute(statement.encode())
        with syncline.Hub(postgres_url.replace("postgres@", "poor@")) as hub:
            for dry_run in (True, False):
                with pytest.raises(GrantsMissing) as caught:
                    hub.init(dry_run=dry_run)
            assert "alter and drop it" in caught.value.detail, "what it means to hand them over"
            needed = caught.value.remedy.partition("run: ")[2]
            assert needed.rstrip(";").split("; ") == [
                f"GRANT CREATE ON DATABASE {name} TO poor",
                f"GRANT TEMPORARY ON DATABASE {name} TO poor",
                'ALTER TABLE "Hidden"."T" OWNER TO poor',
                "ALTER TABLE public.p OWNER TO poor",
                "ALTER TABLE public.p1 OWNER TO poor",
                'GRANT USAGE ON SCHEMA "Hidden" TO poor',
                "GRANT UPDATE ON public.own TO poor",
            ]
            owner.execute(needed.encode())
            hub.init()
            assert len(hub.schema.tables) == 3
            hub.remove()
        owner.execute("DROP OWNED BY poor CASCADE")
        owner.execute("DROP ROLE poor")


@contextmanager
def roles(postgres_url: str) -> Iterator[tuple[psycopg.Connection, str, str]]:
    """A superuser's connection, the role of an application, and that of a hub, which may create schemas."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        name = postgres_url.rpartition("/")[2]
        app, role = f"app_{name}", f"hub_{name}"
        admin.execute(f"CREATE ROLE {app} LOGIN")
        admin.execute(f"CREATE ROLE {role} LOGIN")
        try:
            admin.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO {role}, {app}")
            yield admin, app, role
        finally:
            for one in (role, app):
                admin.execute(f"DROP OWNED BY {one} CASCADE")
                admin.execute(f"DROP ROLE {one}")


def test_l12_to_be_a_member_of_the_owner_is_one_statement_for_all_tables(postgres_url: str) -> None:
    with roles(postgres_url) as (admin, app, role):
        for table in ("one", "two", "three"):
            admin.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
            admin.execute(f"ALTER TABLE {table} OWNER TO {app}")
        with syncline.Hub(postgres_url.replace("postgres@", f"{role}@")) as hub:
            with pytest.raises(GrantsMissing) as caught:
                hub.init()
            needed = caught.value.remedy.partition("run: ")[2]
            assert needed == f"GRANT {app} TO {role};"
            assert "alter and drop" not in caught.value.detail
            admin.execute(needed.encode())
            hub.init()
            assert len(hub.schema.tables) == 3
            hub.remove()


@pytest.mark.parametrize("owner", ["superuser", "other"])
def test_l12_a_role_without_rights_on_what_another_prepared_is_told_the_statements(
    postgres_url: str, owner: str
) -> None:
    with roles(postgres_url) as (admin, app, role):
        admin.execute("CREATE TABLE one (id int PRIMARY KEY)")
        admin.execute(f"ALTER TABLE one OWNER TO {app}")
        url = postgres_url if owner == "superuser" else postgres_url.replace("postgres@", f"{app}@")
        with syncline.Hub(url) as hub:
            hub.init()
        with syncline.Hub(postgres_url.replace("postgres@", f"{role}@")) as hub:
            for verb in (hub.init, hub.check, hub.examine):
                with pytest.raises(GrantsMissing) as caught:
                    verb()
            needed = caught.value.remedy.partition("run: ")[2]
            assert ("alter and drop it" in caught.value.detail) == (owner == "superuser")
            if owner == "superuser":
                assert needed.startswith(f"ALTER SCHEMA syncline OWNER TO {role}; ALTER ")
                needed += f"GRANT {app} TO {role};"  # what the tables need, it can find out afterwards
            else:
                assert needed == f"GRANT {app} TO {role};"
            admin.execute(needed.encode())
            assert not any(finding.level == "trouble" for finding in hub.examine())
            hub.init()
            admin.execute("ALTER TABLE one ADD COLUMN more text")
            hub.init()
            with psycopg.connect(postgres_url) as writer:
                writer.execute("INSERT INTO one VALUES (1)")
            hub.check()
            hub.remove()
