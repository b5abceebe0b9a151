"""Law L12: `init` runs as an ordinary owner, and says all rights that it lacks at once, as statements."""

from __future__ import annotations

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
            needed = caught.value.remedy.partition("run: ")[2]
            assert needed.rstrip(";").split("; ") == [
                f"GRANT CREATE ON DATABASE {name} TO poor",
                f"GRANT TEMPORARY ON DATABASE {name} TO poor",
                'ALTER TABLE "Hidden"."T" OWNER TO poor',
                "ALTER TABLE public.p OWNER TO poor",
                "ALTER TABLE public.p1 OWNER TO poor",
                "GRANT UPDATE ON public.own TO poor",
                'GRANT USAGE ON SCHEMA "Hidden" TO poor',
            ]
            owner.execute(needed.encode())
            hub.init()
            assert len(hub.schema.tables) == 3
            hub.remove()
        owner.execute("DROP OWNED BY poor CASCADE")
        owner.execute("DROP ROLE poor")
