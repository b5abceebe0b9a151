"""`GET /sync/verify` over HTTP: both forms, and whatever stands in the query."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from syncline import Hub
from syncline.protocol import messages as m
from syncline.protocol.jsonform import key_text
from syncline.server import create_app, serving
from syncline.transports.http import HttpTransport

TABLE = "CREATE TABLE spot (a {text} NOT NULL, b bigint NOT NULL, c {blob}, PRIMARY KEY (a, b))"
KEYS = [("", 0), ("é", -1), ("é", 2), ("😀", 5), ("z", 9)]
PIECES = [
    "[", "]", "[1]", '["a",1]', '["z",9]', '["",-9]', "null", "true", "{}", '"', "\\", "\0", "'", "--",
    "[1,2,3]", "[null,null]", '[{"$blob":"AP8="},1]', '[{"$blob":"!"},1]', '[{"$float":"nan"},1]',
    "[1e999,1]", '[{"$float":"inf"},-0.0]', '["\\ud800",1]', '["\\u0000",1]', "0", "-1", "1", "99", "1.5",
    "9" * 30, "٣", "\u2028", '["' + "x" * 3000 + '",1]', "[" * 2000, "",
]  # fmt: skip


class Served:
    """A hub over HTTP, and a registered replica's fields."""

    def __init__(self, url: str) -> None:
        self.url = url
        transport = HttpTransport(url, pauses=())
        answer = transport.send(m.Register("r1"))
        transport.close()
        assert isinstance(answer, m.Registered)
        self.client = httpx2.Client()
        self.fields = {"replica": "r1", "schema": answer.schema, "after": answer.watermark}

    def get(self, **fields: Any) -> httpx2.Response:
        return self.client.get(self.url + "/sync/verify", params={**self.fields, **fields})


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    rows = ", ".join(f"('{a}', {b}, NULL)" for a, b in KEYS)
    insert = f"INSERT INTO spot VALUES {rows}"
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/centre.db"
        with closing(sqlite3.connect(tmp_path / "centre.db")) as connection, connection:
            connection.execute(TABLE.format(text="text", blob="blob"))
            connection.execute(insert)
    else:
        database = request.getfixturevalue("postgres_url")
        with psycopg.connect(database) as session:
            session.execute(TABLE.format(text='text COLLATE "en-x-icu"', blob="bytea").encode())
            session.execute(insert.encode())
    with Hub(database) as hub:
        hub.init()
        with serving(create_app(hub)) as url:
            made = Served(url)
            yield made
            made.client.close()


def test_people_read_the_answer_as_json(served: Served) -> None:
    (part,) = served.get().json()["tables"]
    assert part["rows"] == 5
    assert len(part["digest"]) == 64
    whole = served.get(table=0).json()
    assert [tuple(row[:2]) for group in whole["groups"] for row in group["rows"]] == [
        ("", 0), ("z", 9), ("é", -1), ("é", 2), ("😀", 5),
    ]  # fmt: skip
    parts = served.get(table=0, size=2, from_key='["",0]').json()["parts"]
    assert [(part["to"], part["rows"]) for part in parts] == [(["é", -1], 2), (["😀", 5], 2), (None, 0)]
    bounds = {"from_key": key_text(("é", -1)), "to_key": key_text(("é", 2))}
    (group,) = served.get(table=0, **bounds).json()["groups"]
    assert group["rows"] == [["é", 2, None]]


def test_a_range_that_is_none_is_a_problem_with_a_code(served: Served) -> None:
    for fields in ({"table": 0, "from_key": "[1]"}, {"table": 0, "to_key": "x"}, {"size": 1}):
        answer = served.get(**fields)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_range"), fields
    assert served.get(table=1).json()["code"] == "no_such_table"
    assert served.get(table=-1).json()["code"] == "malformed"
    assert served.get(table=0, size=-1).json()["code"] == "malformed"
    assert served.get(table=0, to_key="1" * 33_000).json()["code"] == "too_large"


@pytest.mark.parametrize("seed", range(2))
def test_l12_whatever_stands_in_the_query_is_answered_or_refused_with_a_code(
    served: Served, seed: int
) -> None:
    dice = random.Random(seed)
    codes = set()
    for _ in range(80):
        fields: dict[str, Any] = {"table": 0} if dice.random() < 0.8 else {}
        for name in dice.sample(["table", "from_key", "to_key", "size", "after", "schema", "replica"], 2):
            fields[name] = dice.choice(PIECES)
        answer = served.get(**fields)
        assert answer.status_code in (200, 400, 404, 409, 413), (fields, answer.text)
        if answer.status_code == 200:
            assert set(json.loads(answer.content)) >= {"changes", "tables", "parts", "groups"}
        else:
            codes.add(answer.json()["code"])
            assert answer.json()["remedy"]
    assert {"bad_range", "malformed"} <= codes
